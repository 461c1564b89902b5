package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tutti/internal/resp"
)

func taskCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "task",
		Short:   "Look at tasks, take dead ones up again, cancel them",
		Example: "  tutti task ls mail --state dead\n  tutti task show '{4ZB}mail:1'",
		Args:    noSuchCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(taskListCommand(), taskShowCommand(), taskRetryCommand(), taskCancelCommand())
	return c
}

// taskView is a task as the list shows it.
type taskView struct {
	ID      string    `json:"id"`
	State   string    `json:"state"`
	Attempt int64     `json:"attempt"`
	Since   time.Time `json:"since"` // when it ended, was claimed or else was added
	Worker  string    `json:"worker,omitempty"`
}

// taskPageLen is how many tasks are asked for at once.
const taskPageLen = 1000

// taskListLimits are which tasks of a queue are listed.
type taskListLimits struct {
	state string // empty: all
	count int
}

// listTasks calls f for tasks of a queue until there are no more, or enough.
func listTasks(s *session, queue string, limits taskListLimits, f func(taskView) error) error {
	for cursor, left := "", limits.count; left > 0 && cursor != "0"; {
		args := []string{"TASK.LIST", queue, "COUNT", strconv.Itoa(min(left, taskPageLen))}
		if limits.state != "" {
			args = append(args, "STATE", limits.state)
		}
		if cursor != "" {
			args = append(args, "CURSOR", cursor)
		}
		v, err := s.ask(args...)
		if err != nil {
			return err
		}
		if len(v.Elems) != 2 {
			return errUnlike("TASK.LIST")
		}
		cursor = string(v.Elems[0].Str)
		for _, e := range v.Elems[1].Elems {
			if len(e.Elems) < 5 {
				return errUnlike("TASK.LIST")
			}
			left--
			t := taskView{string(e.Elems[0].Str), string(e.Elems[1].Str), e.Elems[2].Int, time.UnixMilli(e.Elems[3].Int).UTC(), string(e.Elems[4].Str)}
			if err := f(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// errUnlike is the error of an answer that this version cannot read.
func errUnlike(command string) error {
	return &exitError{code: exitFailed, what: "the answer to " + command + " is not as this version of tutti knows it", do: "use the version of tutti that the node runs: tutti status"}
}

func taskListCommand() *cobra.Command {
	var t target
	var asJSON bool
	var limits taskListLimits
	c := &cobra.Command{
		Use: "ls QUEUE", Short: "List the tasks of a queue", Args: cobra.ExactArgs(1),
		Example: "  tutti task ls mail\n  tutti task ls mail --state dead --limit 1000 --json",
		RunE: func(_ *cobra.Command, args []string) error {
			if limits.count < 1 {
				return usageError("--limit must be at least 1", "tutti task ls")
			}
			s := newSession(t, true)
			defer s.close()
			if asJSON {
				list := []taskView{}
				if err := listTasks(s, args[0], limits, func(v taskView) error { list = append(list, v); return nil }); err != nil {
					return err
				}
				if err := foundSome(s, args[0], len(list)); err != nil {
					return err
				}
				return printJSON(list)
			}
			n := 0
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "TASK\tSTATE\tATTEMPT\tSINCE\tWORKER")
			if err := listTasks(s, args[0], limits, func(v taskView) error {
				n++
				_, err := fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", v.ID, v.State, v.Attempt, v.Since.Format(time.RFC3339), v.Worker)
				return err
			}); err != nil {
				return err
			}
			if err := foundSome(s, args[0], n); err != nil {
				return err
			}
			return w.Flush()
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().StringVar(&limits.state, "state", "", "only those that are waiting, scheduled, ready, running, done, dead or cancelled")
	c.Flags().IntVar(&limits.count, "limit", 100, "list at most so many")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// foundSome tells a queue in which n tasks were found, maybe none, from a name that is
// no queue's.
func foundSome(s *session, queue string, n int) error {
	if n > 0 {
		return nil
	}
	known, err := isQueue(s, queue)
	if err == nil && !known {
		err = &exitError{code: exitFailed, what: fmt.Sprintf("there is no queue %q: it has neither tasks nor settings", queue), do: "tutti queue ls"}
	}
	return err
}

func taskShowCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: "show TASK", Short: "Show all about a task: its payload, result, and last errors", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s := newSession(t, true)
			defer s.close()
			v, err := s.ask("TASK.GET", args[0])
			switch {
			case err != nil:
				return err
			case v.Null:
				return noSuchTask(args[0])
			case asJSON:
				return printJSON(jsonValue(v))
			}
			return printTask(os.Stdout, v)
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON (bytes that are no UTF-8 become U+FFFD)")
	return c
}

func noSuchTask(id string) error {
	return &exitError{code: exitFailed, what: fmt.Sprintf("there is no task %q: it never was, or its record was kept long enough", id), do: "tutti queue ls, and tutti task ls QUEUE"}
}

// printTask prints the fields of a task that say something. Bytes of others are
// quoted: they may be meant for a terminal.
func printTask(out io.Writer, v resp.Value) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(v.Elems); i += 2 {
		name, e := string(v.Elems[i].Str), v.Elems[i+1]
		switch {
		case e.Null || e.Kind == resp.KindInt && e.Int == 0 || e.Kind == resp.KindBulk && len(e.Str) == 0:
		case isTaskTime(name):
			fmt.Fprintf(w, "%s\t%s\n", name, time.UnixMilli(e.Int).UTC().Format(time.RFC3339))
		case e.Kind == resp.KindArray:
			for _, text := range e.Elems {
				fmt.Fprintf(w, "%s\t%s\n", name, printable(text.Str))
			}
		case e.Kind == resp.KindInt:
			fmt.Fprintf(w, "%s\t%d\n", name, e.Int)
		default:
			fmt.Fprintf(w, "%s\t%s\n", name, printable(e.Str))
		}
	}
	return w.Flush()
}

func isTaskTime(name string) bool {
	switch name {
	case "added", "run-at", "started", "ended", "expires":
		return true
	}
	return false
}

// printable is text as it is, or in quotes if a terminal would not show it so, or it
// looks like one that is in quotes.
func printable(text []byte) string {
	s := string(text)
	if strings.HasPrefix(s, `"`) || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

func taskRetryCommand() *cobra.Command {
	return taskChangeCommand("retry", "Take tasks up again that ended dead or cancelled", "TASK.RETRY", "taken up again", "it is not dead or cancelled")
}

func taskCancelCommand() *cobra.Command {
	return taskChangeCommand("cancel", "End tasks that have not ended", "TASK.CANCEL", "cancelled", "it has ended")
}

// taskChangeCommand is a subcommand that sends the RESP command for each task.
func taskChangeCommand(verb, short, command, done, why string) *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: verb + " TASK...", Short: short, Args: cobra.MinimumNArgs(1),
		Long: short + ". Exit code 1: some were left as they were, each is said why.",
		RunE: func(_ *cobra.Command, args []string) error {
			s := newSession(t, true)
			defer s.close()
			return changeTasks(s, args, command, done, why, taskReport{asJSON: asJSON, out: os.Stdout, errors: os.Stderr})
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, a line for each task")
	return c
}

// taskReport says of each task whether it was changed.
type taskReport struct {
	asJSON      bool
	out, errors io.Writer
}

func (r taskReport) say(id string, changed bool, text string) error {
	if r.asJSON {
		return json.NewEncoder(r.out).Encode(struct {
			ID      string `json:"id"`
			Changed bool   `json:"changed"`
			Text    string `json:"text"`
		}{id, changed, text})
	}
	out := r.out
	if !changed {
		out = r.errors
	}
	_, err := fmt.Fprintf(out, "%s  %s\n", id, text)
	return err
}

// changeTasks sends the command for one task after another, so that what is said of
// each is true also if a later one fails.
func changeTasks(s *session, ids []string, command, done, why string, report taskReport) error {
	left := 0
	for _, id := range ids {
		v, err := s.ask(command, id)
		if err != nil {
			return err
		}
		text := done
		if v.Int == 0 {
			left++
			text = "left as it is: there is no such task, or " + why
		}
		if err := report.say(id, v.Int != 0, text); err != nil {
			return failed(err, "")
		}
	}
	if left > 0 {
		return &exitError{code: exitFailed, what: fmt.Sprintf("%d of %d tasks were left as they were", left, len(ids)), do: "tutti task show " + strings.Join(ids[:1], "")}
	}
	return nil
}
