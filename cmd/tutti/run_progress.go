package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/term"
)

// progress is a line on the terminal that says how far a run is; nil: there is none.
type progress struct {
	all   int
	began time.Time
	shown bool
}

// newProgress returns nil unless it is asked for and stderr is a terminal.
func newProgress(wanted bool, all int) *progress {
	if !wanted || !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	return &progress{all: all, began: time.Now()}
}

// clear makes way for what is printed.
func (p *progress) clear() {
	if p != nil && p.shown {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
		p.shown = false
	}
}

// show says how far the run is.
func (p *progress) show(ended, bad int) {
	if p == nil {
		return
	}
	fmt.Fprint(os.Stderr, "\r\x1b[K"+progressLine(p.all, ended, bad, time.Since(p.began)))
	p.shown = true
}

// progressLine says how far a run is after a while, and how long the rest takes if it
// goes on so.
func progressLine(all, ended, bad int, after time.Duration) string {
	line := fmt.Sprintf("%d of %d commands", ended, all)
	if bad > 0 {
		line += fmt.Sprintf(", %d failed", bad)
	}
	if ended == 0 || ended == all {
		return line
	}
	left := time.Duration(float64(after) / float64(ended) * float64(all-ended))
	return line + ", ETA " + left.Round(time.Second).String()
}
