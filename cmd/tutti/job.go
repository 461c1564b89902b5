package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tutti/internal/resp"
	"tutti/internal/runner"
)

func jobCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "job",
		Short:   "Look at what tutti run has run, follow it, cancel it, run what failed again",
		Example: "  tutti job ls\n  tutti job attach run-K3VQ5TDGBN",
		Args:    noSuchCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(jobListCommand(), jobShowCommand(), jobAttachCommand(), jobCancelCommand(), jobResumeCommand())
	return c
}

// jobView is how far a run is.
type jobView struct {
	ID        string `json:"id"`
	Commands  int64  `json:"commands"`
	Unended   int64  `json:"unended"`
	Running   int64  `json:"running"` // of the unended
	Done      int64  `json:"done"`
	Dead      int64  `json:"dead"`
	Cancelled int64  `json:"cancelled"`
}

func jobOf(queue resp.Value) jobView {
	n := func(name string) int64 { return fieldOf(queue, name).Int }
	return jobView{ID: string(fieldOf(queue, "name").Str), Commands: n("total-added"), Unended: unended(queue), Running: n("running"),
		Done: n("total-done"), Dead: n("dead"), Cancelled: n("cancelled")}
}

func printJobs(list []jobView) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "JOB\tCOMMANDS\tUNENDED\tRUNNING\tDONE\tDEAD\tCANCELLED")
	for _, j := range list {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", printable([]byte(j.ID)), j.Commands, j.Unended, j.Running, j.Done, j.Dead, j.Cancelled)
	}
	return w.Flush()
}

func jobListCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Short: "List the runs and how far they are", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s := newSession(t, true)
			defer s.close()
			list, err := askJobs(s)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(list)
			}
			return printJobs(list)
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// askJobs returns how far the runs are.
func askJobs(s *session) (list []jobView, err error) {
	for _, prefix := range []string{runner.Prefix, hereQueuePrefix} {
		queues, err := askQueues(s, []string{prefix + "*"})
		if err != nil {
			return nil, err
		}
		for _, q := range queues {
			if j := jobOf(q); isJob(j.ID) {
				list = append(list, j)
			}
		}
	}
	return list, nil
}

// isJob reports whether a name can be that of a run.
func isJob(id string) bool { return runner.IsRun(id) || strings.HasPrefix(id, hereQueuePrefix) }

// askJob returns how far a run is; its name must be that of one.
func askJob(s *session, id string) (jobView, error) {
	none := &exitError{code: exitFailed, what: fmt.Sprintf("there is no job %q", id), do: "tutti job ls"}
	if !isJob(id) {
		return jobView{}, none
	}
	q, err := askQueue(s, id)
	if err == nil && jobOf(q).Commands == 0 {
		err = none
	}
	return jobOf(q), err
}

func jobShowCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: "show JOB", Short: "Show how far a run is, and what has failed or not ended", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s := newSession(t, true)
			defer s.close()
			j, err := askJob(s, args[0])
			if err != nil {
				return err
			}
			var rest []taskView
			for _, state := range []string{"dead", "cancelled", "running", "scheduled", "ready"} {
				limits := taskListLimits{state: state, count: jobShowMax}
				if err := listTasks(s, args[0], limits, func(v taskView) error { rest = append(rest, v); return nil }); err != nil {
					return err
				}
			}
			if asJSON {
				return printJSON(struct {
					jobView
					Tasks []taskView `json:"tasks"`
				}{j, rest})
			}
			if err := printJobs([]jobView{j}); err != nil {
				return err
			}
			for _, v := range rest {
				fmt.Printf("%s  %s\n", v.ID, v.State)
			}
			return nil
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// jobShowMax bounds how many tasks of a state are shown.
const jobShowMax = 100

func jobCancelCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "cancel JOB", Short: "Cancel the commands of a run that have not ended; those that run are killed within 10 s", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s := newSession(t, true)
			defer s.close()
			if _, err := askJob(s, args[0]); err != nil {
				return err
			}
			n, err := cancelJob(s, args[0], true)
			if err == nil {
				fmt.Printf("%d commands of %s were cancelled\n", n, args[0])
			}
			return err
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	return c
}

// cancelJob cancels what has not ended, or only what does not run, a page at a time:
// first what waits, so that nothing of it begins meanwhile.
func cancelJob(s *session, id string, running bool) (n int64, err error) {
	states := []string{"ready", "scheduled"}
	if running {
		states = append(states, "running")
	}
	for _, state := range states {
		ids := []string{"TASK.CANCEL"}
		limits := taskListLimits{state: state, count: runArgsMax}
		if err := listTasks(s, id, limits, func(v taskView) error { ids = append(ids, v.ID); return nil }); err != nil {
			return n, err
		}
		for rest := ids[1:]; len(rest) > 0; rest = rest[min(len(rest), runAddsMax):] {
			v, err := s.ask(append(ids[:1:1], rest[:min(len(rest), runAddsMax)]...)...)
			if err != nil {
				return n, err
			}
			n += v.Int
		}
	}
	return n, nil
}
