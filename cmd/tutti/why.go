package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/command"
)

func whyCommand() *cobra.Command {
	var t target
	var asJSON bool
	var db int
	c := &cobra.Command{
		Use:   "why KEY|TASK",
		Short: "Say what a key or a task waits for, and what would free it",
		Long: "Says of a key or a task where it lives, who leads its shard since when, what it waits for, and\n" +
			"what would free it. It takes the right to read the key, or the task's queue. Exit code 1: there\n" +
			"is no such thing; 5: its shard has no leader or no majority.",
		Example: "  tutti why '{4ZB}mail:1'\n  tutti why user:17 --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s := newSession(t, true)
			defer s.close()
			if db != 0 {
				if _, err := s.ask("SELECT", strconv.Itoa(db)); err != nil {
					return err
				}
			}
			v, err := s.ask("TUTTI.WHY", args[0])
			if err != nil {
				return err
			}
			var w command.Why
			if err := json.Unmarshal(v.Str, &w); err != nil {
				return errUnlike("TUTTI.WHY")
			}
			return printWhy(os.Stdout, w, asJSON)
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().IntVarP(&db, "db", "n", 0, "the database of the key")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// printWhy prints the answer and ends with the exit code that it means.
func printWhy(out io.Writer, w command.Why, asJSON bool) error {
	if asJSON {
		if err := printJSON(w); err != nil {
			return err
		}
	} else if err := writeWhy(out, w); err != nil {
		return failed(err, "")
	}
	switch {
	case w.Found == nil:
		return &exitError{code: exitUnavailable} // the answer has said it
	case !*w.Found:
		return &exitError{code: exitFailed}
	}
	return nil
}

// writeWhy says the answer first, then where the thing lives, then what else is in
// its way.
func writeWhy(out io.Writer, w command.Why) error {
	fmt.Fprintln(out, onTerminal(w.Text))
	if w.Do != "" {
		fmt.Fprintln(out, "  do     "+onTerminal(w.Do))
	}
	lead := "led by nobody that answers"
	if l := w.Leader; l.Node != 0 {
		lead = "led by " + nodeText(l.Node, l.Name)
		if l.Since != 0 {
			lead += " since " + time.UnixMilli(l.Since).UTC().Format(time.RFC3339)
		}
		lead += fmt.Sprintf(" (term %d)", l.Term)
	}
	var copies []string
	for _, c := range w.Copies {
		text := nodeText(c.Node, c.Name)
		if c.Role != "voter" {
			text += ", " + c.Role
		}
		if c.State != "up" {
			text += ", " + c.State
		}
		copies = append(copies, text)
	}
	_, err := fmt.Fprintf(out, "  where  slot %d, %s, %s; copies: %s\n", w.Slot, shardText(w.Shard), lead, strings.Join(copies, "; "))
	for i, r := range w.Reasons {
		if i == 0 {
			continue // it is the answer
		}
		_, err = fmt.Fprintf(out, "  also   %s\n", onTerminal(r.Text))
		if r.Do != "" {
			_, err = fmt.Fprintf(out, "         %s\n", onTerminal(r.Do))
		}
	}
	return err
}

// onTerminal is text without what a terminal would not show: names may hold anything.
func onTerminal(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

func nodeText(id cluster.NodeID, name string) string {
	if name == "" {
		return fmt.Sprintf("node %d", id)
	}
	return fmt.Sprintf("node %d (%s)", id, name)
}
