package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

// The progress bar.
const (
	barWidth    = 30
	barInterval = 100 * time.Millisecond // between two drawings on a terminal
	barSteps    = 4                      // lines for a bar where there is no terminal
)

// view is what a person sees of the demo, and what a program reads of it.
type view struct {
	out      io.Writer
	terminal bool // out is one: bars are drawn
	records  *json.Encoder
}

// newView writes lines for people to stdout; with asJSON the claims go there,
// and the lines to stderr. gone is called when nobody reads them any more.
func newView(asJSON bool, gone func()) *view {
	out, lines := audience{os.Stdout, gone}, audience{os.Stderr, gone}
	if asJSON {
		return &view{out: lines, records: json.NewEncoder(out)}
	}
	return &view{out: out, terminal: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb"}
}

// audience is whoever reads what is written. It may go, as head does.
type audience struct {
	to   io.Writer
	gone func()
}

func (a audience) Write(b []byte) (int, error) {
	n, err := a.to.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		a.gone()
	}
	return n, err
}

func (v *view) line(format string, args ...any) { fmt.Fprintf(v.out, format+"\n", args...) }

// claim writes the record of a claim.
func (v *view) claim(record any) error {
	if v.records == nil {
		return nil
	}
	return v.records.Encode(record)
}

// result is a line that begins with a mark.
func (v *view) result(held bool, format string, args ...any) {
	mark := "✓"
	if !held {
		mark = "✗"
	}
	v.line("   "+mark+" "+format, args...)
}

// bar shows how much of total is done. It may be called from many goroutines.
type bar struct {
	view  *view
	label string
	total int64

	mu    sync.Mutex // guards the rest
	done  int64
	steps int64     // lines written
	drawn time.Time // last time, on a terminal
}

func (v *view) bar(label string, total int64) *bar { return &bar{view: v, label: label, total: total} }

func (b *bar) add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += n
	if !b.view.terminal {
		if step := b.done * barSteps / max(b.total, 1); step > b.steps && step < barSteps {
			b.steps = step
			b.view.line("   %s  %3d %%", b.label, step*100/barSteps)
		}
		return
	}
	if time.Since(b.drawn) < barInterval {
		return
	}
	b.drawn = time.Now()
	filled := int(b.done * barWidth / max(b.total, 1))
	fmt.Fprintf(b.view.out, "\r   %s  %s%s  %s of %s\x1b[K", b.label, strings.Repeat("█", filled), strings.Repeat("░", barWidth-filled), mebibytes(b.done), mebibytes(b.total))
}

// end removes the bar.
func (b *bar) end() {
	if b.view.terminal {
		fmt.Fprint(b.view.out, "\r\x1b[K")
	}
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// seconds is d with one decimal, for records.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }

// milliseconds never calls a gap shorter than it was.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// grouped is n with commas: 31,077.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
