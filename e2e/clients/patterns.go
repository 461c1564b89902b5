package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// patterns is what a program reports that does more than plain commands: a lock that
// keeps two commands together, a lock whose holder stands still, and a rate limiter.
type patterns struct {
	Counted      int     `json:"counted"`       // increments under the lock that were acknowledged
	CountsFailed int     `json:"counts_failed"` // and those that were not
	Slow         int     `json:"slow"`          // how often so much time went by that the lock may have ended
	Counter      int     `json:"counter"`
	Asked        int     `json:"asked"`
	AsksFailed   int     `json:"asks_failed"`
	Granted      []int64 `json:"granted"` // when, in microseconds
	Limit        int     `json:"limit"`   // so many are granted
	WindowUS     int64   `json:"window_us"`
	Paused       paused  `json:"paused"`
	PausesFailed int     `json:"pauses_failed"` // how often that had to be begun again

	Errors []string `json:"errors"`
}

// paused is what became of a holder that stood still until its lock had ended.
type paused struct {
	HolderExtended bool `json:"holder_extended"`
	HolderReleased bool `json:"holder_released"`
	HolderWrote    bool `json:"holder_wrote"` // with a token that is too old
	OtherKept      bool `json:"other_kept"`   // what the one who took the lock has and wrote is there
}

func (p *patterns) window() time.Duration { return time.Duration(p.WindowUS) * time.Microsecond }

// failed counts what the application was told errors of.
func (p *patterns) failed() int { return p.CountsFailed + p.AsksFailed + p.PausesFailed }

// judge says what was not as promised. Through a gateway nothing may fail.
func (p *patterns) judge(m mode) (err error) {
	wrong := func(format string, args ...any) { err = errors.Join(err, fmt.Errorf(format, args...)) }
	if p.Slow > 0 {
		wrong("%d increments took so long that the lock may have ended: no verdict", p.Slow)
	}
	if p.Counter < p.Counted || p.Counter > p.Counted+p.CountsFailed {
		wrong("the counter is %d after %d increments under the lock, and %d that failed", p.Counter, p.Counted, p.CountsFailed)
	}
	slices.Sort(p.Granted)
	for i := p.Limit; i < len(p.Granted); i++ {
		if took := p.Granted[i] - p.Granted[i-p.Limit]; took < p.WindowUS {
			wrong("%d were granted within %d µs", p.Limit+1, took)
			break
		}
	}
	if p.Paused.HolderExtended || p.Paused.HolderReleased || p.Paused.HolderWrote || !p.Paused.OtherKept {
		wrong("a holder that stood still: %+v", p.Paused)
	}
	if m == modeGateway && p.failed() > 0 {
		wrong("%d failed through a gateway", p.failed())
	}
	if p.Counted < 10 || len(p.Granted) <= p.Limit || len(p.Granted) == p.Asked {
		wrong("%d increments, %d of %d granted: too little for a verdict", p.Counted, len(p.Granted), p.Asked)
	}
	return err
}

// tryPatterns has the program do that in each mode while all nodes are killed.
func tryPatterns(o options, binary, dir string) error {
	x := special{library: "redis-py", file: "patterns.py", run: "patterns", modes: modes}
	return x.try(o, binary, dir, alone, func(l *load) error {
		var told patterns
		if err := l.end(&told); err != nil {
			return err
		}
		if wrong := told.judge(l.subject.mode); wrong != nil {
			return fmt.Errorf("%w; it was told %s", wrong, strings.Join(told.Errors, "; "))
		}
		say("HELD: redis-py %s (%s), %d nodes killed: %d increments under its Lock, none lost; %d of %d granted, never more than %d in %v; a holder that stood still could neither extend nor release nor write; %d steps failed",
			l.subject.version, l.subject.mode, storageNodes, told.Counted, len(told.Granted), told.Asked, told.Limit, told.window(), told.failed())
		return nil
	})
}
