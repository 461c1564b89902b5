package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tutti/internal/resp"
)

func queueCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "queue",
		Short:   "Look at queues of tasks, and stop their tasks from being claimed",
		Example: "  tutti queue ls\n  tutti queue pause mail",
		Args:    noSuchCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(queueListCommand(),
		queueSetCommand("pause", "Let no more tasks of a queue be claimed; those that run go on", "PAUSE", "paused: its tasks are not claimed until tutti queue resume"),
		queueSetCommand("resume", "Let tasks of a paused queue be claimed again", "RESUME", "open: its tasks are claimed"))
	return c
}

// askQueue returns the settings and counts of a queue.
func askQueue(s *session, name string) (resp.Value, error) {
	v, err := s.ask("TASK.QUEUE", name)
	if err == nil && v.Kind != resp.KindMap {
		err = errUnlike("TASK.QUEUE")
	}
	return v, err
}

// fieldOf returns the value of a field of a map; the zero Value if it has none.
func fieldOf(v resp.Value, name string) resp.Value {
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if string(v.Elems[i].Str) == name {
			return v.Elems[i+1]
		}
	}
	return resp.Value{}
}

func queueListCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: "ls [PATTERN]", Short: "List the queues and how many tasks of each state they have", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s := newSession(t, true)
			defer s.close()
			list, err := askQueues(s, args)
			if err != nil {
				return err
			}
			if asJSON {
				out := make([]any, len(list))
				for i, q := range list {
					out[i] = jsonValue(q)
				}
				return printJSON(out)
			}
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "QUEUE\tWAITING\tSCHEDULED\tREADY\tRUNNING\tDONE\tDEAD\tCANCELLED\tPAUSED")
			for _, q := range list {
				fmt.Fprint(w, printable(fieldOf(q, "name").Str))
				for _, state := range []string{"waiting", "scheduled", "ready", "running", "done", "dead", "cancelled"} {
					fmt.Fprintf(w, "\t%d", fieldOf(q, state).Int)
				}
				fmt.Fprintf(w, "\t%s\n", pausedWord(q))
			}
			return w.Flush()
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func pausedWord(queue resp.Value) string {
	if p := fieldOf(queue, "paused"); p.Bool || p.Int != 0 {
		return "yes"
	}
	return "no"
}

// askQueues returns the queues that match a pattern, if one is given, by name.
func askQueues(s *session, pattern []string) ([]resp.Value, error) {
	names, err := s.ask(append([]string{"TASK.QUEUES"}, pattern...)...)
	if err != nil {
		return nil, err
	}
	sorted := make([]string, len(names.Elems))
	for i, e := range names.Elems {
		sorted[i] = string(e.Str)
	}
	slices.Sort(sorted)
	list := make([]resp.Value, 0, len(sorted))
	for _, name := range sorted {
		q, err := askQueue(s, name)
		if err != nil {
			return nil, err
		}
		list = append(list, q)
	}
	return list, nil
}

// isQueue reports whether there is a queue of a name.
func isQueue(s *session, name string) (bool, error) {
	var literal strings.Builder
	for i := range len(name) {
		if strings.IndexByte(`\*?[]^-`, name[i]) >= 0 {
			literal.WriteByte('\\')
		}
		literal.WriteByte(name[i])
	}
	names, err := s.ask("TASK.QUEUES", literal.String())
	return len(names.Elems) > 0, err
}

// queueSetCommand is a subcommand that sets one word of TASK.QUEUE.
func queueSetCommand(verb, short, word, says string) *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: verb + " QUEUE", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s := newSession(t, true)
			defer s.close()
			known, err := isQueue(s, args[0])
			if err != nil {
				return err
			}
			v, err := s.ask("TASK.QUEUE", args[0], word)
			if err != nil {
				return err
			}
			if !known { // it may be meant, before the first task is added; or misspelt
				fmt.Fprintf(os.Stderr, "queue %s is new, it had neither tasks nor settings: tutti queue ls shows those that have\n", printable([]byte(args[0])))
			}
			if asJSON {
				return printJSON(jsonValue(v))
			}
			fmt.Printf("queue %s is %s (%d ready, %d running)\n", printable([]byte(args[0])), says, fieldOf(v, "ready").Int, fieldOf(v, "running").Int)
			return nil
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
