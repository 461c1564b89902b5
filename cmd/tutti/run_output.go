package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// outputOrder prints output, in the order of the numbers if it is to keep that.
type outputOrder struct {
	keep bool
	next int
	held map[int]printOutput
}

// printOutput prints what a command has written.
type printOutput func(stdout, stderr io.Writer) error

func newOutputOrder(keep bool) outputOrder {
	return outputOrder{keep: keep, next: 1, held: map[int]printOutput{}}
}

func (o *outputOrder) add(number int, output printOutput) error {
	if !o.keep {
		return output(os.Stdout, os.Stderr)
	}
	o.held[number] = output
	for {
		output, ok := o.held[o.next]
		if !ok {
			return nil
		}
		delete(o.held, o.next)
		o.next++
		if err := output(os.Stdout, os.Stderr); err != nil {
			return err
		}
	}
}

// flush prints what is held behind a command that has no output to come.
func (o *outputOrder) flush() (err error) {
	for _, n := range slices.Sorted(maps.Keys(o.held)) {
		err = errors.Join(err, o.held[n](os.Stdout, os.Stderr))
	}
	return err
}

// tagged is output of which each line begins with a tag.
func tagged(tag string, output printOutput) printOutput {
	return func(stdout, stderr io.Writer) error {
		return output(&tagWriter{to: stdout, tag: tag}, &tagWriter{to: stderr, tag: tag})
	}
}

// tagWriter writes a tag before each line.
type tagWriter struct {
	to     io.Writer
	tag    string
	inLine bool
}

func (w *tagWriter) Write(p []byte) (int, error) {
	var b bytes.Buffer
	for line := range bytes.Lines(p) {
		if !w.inLine {
			b.WriteString(w.tag + "\t")
		}
		b.Write(line)
		w.inLine = line[len(line)-1] != '\n'
	}
	if _, err := w.to.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// noOutput is that of a command that was not run.
func noOutput(_, _ io.Writer) error { return nil }

// joblog is the file of --joblog, in the format of GNU parallel; nil: none is asked for.
type joblog struct{ f *os.File }

// logLine is a line of it.
type logLine struct {
	number       int
	host         string
	began        time.Time
	took         time.Duration
	received     int64 // bytes of its output
	exit, signal int
	argv         []string
}

func openJoblog(name string) (*joblog, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Create(name)
	if err == nil {
		_, err = fmt.Fprintln(f, "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand")
	}
	if err != nil {
		return nil, &exitError{code: exitFailed, what: "--joblog: " + err.Error(), safe: "nothing was changed"}
	}
	return &joblog{f}, nil
}

func (l *joblog) add(x logLine) error {
	if l == nil {
		return nil
	}
	_, err := fmt.Fprintf(l.f, "%d\t%s\t%.3f\t%.3f\t0\t%d\t%d\t%d\t%s\n", x.number, x.host, float64(x.began.UnixMilli())/1000, x.took.Seconds(),
		x.received, x.exit, x.signal, strings.ReplaceAll(asTyped(x.argv), "\n", "\x00")) // as there: a command is one line
	return err
}

func (l *joblog) close() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}
