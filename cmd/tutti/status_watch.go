package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"tutti/internal/node"
)

// watchEvery is how often status --watch asks.
const watchEvery = time.Second

// Codes of a terminal: from the top, to the end of a line, to the end of the
// screen. Lines are drawn over the old ones, so nothing flickers.
const (
	drawHome    = "\x1b[H"
	drawLineEnd = "\x1b[K\n"
	drawRest    = "\x1b[J"
)

// watchStatus shows the status until Ctrl-C, also while no node can be reached:
// that is when somebody watches.
func watchStatus(o statusOptions) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	show := (&changesShown{}).show
	drawn := !o.asJSON && term.IsTerminal(int(os.Stdout.Fd()))
	switch {
	case o.asJSON:
		show = func(s node.Status, err error) error {
			if err != nil {
				return nil // nothing is known that could be printed
			}
			return json.NewEncoder(os.Stdout).Encode(s)
		}
	case drawn:
		show = redraw
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		s, err := o.status(statusTimeout)
		if err == nil && (o.asJSON || drawn) {
			askMembers(o.target, &s)
		}
		if err != nil {
			err = o.unreachable(err)
		}
		if err := show(s, err); err != nil {
			return failed(err, "")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// redraw draws all of the status over what the terminal shows.
func redraw(s node.Status, err error) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s\n", time.Now().Format(time.TimeOnly))
	if err != nil {
		fmt.Fprintf(&text, "%v\n", err)
	} else if err := writeStatus(&text, s); err != nil {
		return err
	}
	_, werr := fmt.Print(drawHome + strings.ReplaceAll(text.String(), "\n", drawLineEnd) + drawRest)
	return werr
}

// changesShown prints a line when something has changed, for logs and pipes.
type changesShown struct{ last string }

func (c *changesShown) show(s node.Status, err error) error {
	line := s.Cluster + "  " + s.Verdict
	if err != nil {
		line = err.Error()
	}
	if line == c.last {
		return nil
	}
	c.last = line
	_, werr := fmt.Printf("%s  %s\n", time.Now().Format(time.TimeOnly), line)
	return werr
}
