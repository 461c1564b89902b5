package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func jobAttachCommand() *cobra.Command {
	var t target
	var o outputOptions
	c := &cobra.Command{
		Use: "attach JOB", Short: "Print what comes of the commands of a run, from the first one on, until all have ended",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return ofRun(usageError("one job is to be named", "tutti job attach"))
			}
			return nil
		},
		Long: "Prints what comes of the commands of a run on nodes, from the first one on, and waits until all\nhave ended. Exit codes are those of tutti run. Ctrl-C leaves the nodes at work.",
		RunE: func(_ *cobra.Command, args []string) error { return ofRun(attach(t, o, args[0])) },
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return ofRun(usageError(err.Error(), "tutti job attach")) })
	targetFlags(c, &t)
	anyNode(c, &t)
	o.flags(c)
	return c
}

// onNodes refuses a job that no node runs.
func onNodes(id string) error {
	if strings.HasPrefix(id, hereQueuePrefix) {
		return &exitError{code: exitFailed, what: id + " was run by the machine that asked for it, with --here, and its output went there", do: "tutti job show " + id}
	}
	return nil
}

func attach(t target, o outputOptions, id string) error {
	if _, err := parseHalt(o.halt); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := newSession(t, true)
	defer s.close()
	j, err := askJob(s, id)
	if err == nil {
		err = onNodes(id)
	}
	if err != nil {
		return err
	}
	f, err := askCrew(s)
	if err != nil && j.Unended > 0 {
		return err
	}
	ids, err := jobTasks(s, id, "")
	if err != nil {
		return err
	}
	if j.Unended > 0 && j.Running == 0 {
		fmt.Fprintf(os.Stderr, "job %s: %d commands wait for a node; if that lasts: tutti job resume %s\n", id, j.Unended, id)
	}
	log, err := openJoblog(o.joblog)
	if err != nil {
		return err
	}
	return follow(ctx, s, o, log, f, id, ids)
}

// jobTasks lists the commands of a job that are in a state, or all, in the order in
// which they were added.
func jobTasks(s *session, id, state string) (ids []string, err error) {
	limits := taskListLimits{state: state, count: runArgsMax}
	err = listTasks(s, id, limits, func(v taskView) error { ids = append(ids, v.ID); return nil })
	return ids, err
}

func jobResumeCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "resume JOB", Short: "Run the commands of a run again that failed or were cancelled, and those that wait for a node", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s := newSession(t, true)
			defer s.close()
			return resumeJob(s, args[0])
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	return c
}

func resumeJob(s *session, id string) error {
	if _, err := askJob(s, id); err != nil {
		return err
	}
	if err := onNodes(id); err != nil {
		return err
	}
	f, err := askCrew(s)
	if err != nil {
		return err
	}
	var again int64
	for _, state := range []string{"dead", "cancelled"} {
		ids, err := jobTasks(s, id, state)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(ids, runAddsMax) {
			v, err := s.ask(append([]string{"TASK.RETRY"}, part...)...)
			if err != nil {
				return err
			}
			again += v.Int
		}
	}
	j, err := askJob(s, id)
	if err != nil {
		return err
	}
	if j.Running == 0 { // else those who run it go on with the others
		if err := addPlaces(s, id, int(min(j.Unended, int64(f.runners)))); err != nil {
			return err
		}
	}
	fmt.Printf("%d commands of %s are run again, %d have not ended: tutti job attach %s\n", again, id, j.Unended, id)
	return nil
}
