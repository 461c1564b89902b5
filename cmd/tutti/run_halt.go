package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// halt is what ends a run before all of its commands have ended: --halt. The zero
// halt is never.
type halt struct {
	now     bool // what runs is killed; else it is waited for
	what    string
	count   int
	percent bool // count is one of a hundred commands
}

// What --halt counts.
const (
	haltFail    = "fail"
	haltSuccess = "success"
	haltDone    = "done"
)

// parseHalt reads what GNU parallel's --halt takes, also the numbers of its early
// versions.
func parseHalt(text string) (h halt, err error) {
	bad := usageError(fmt.Sprintf("--halt takes never, or now or soon with fail=N, success=N or done=N, where N may be so many percent: not %q", text), "tutti run")
	switch text {
	case "", "never", "0":
		return halt{}, nil
	case "1":
		text = "soon,fail=1"
	case "2":
		text = "now,fail=1"
	}
	when, rest, _ := strings.Cut(text, ",")
	what, number, _ := strings.Cut(rest, "=")
	number, percent := strings.CutSuffix(number, "%")
	n, err := strconv.Atoi(number)
	if when != "now" && when != "soon" || what != haltFail && what != haltSuccess && what != haltDone || err != nil || n < 1 || percent && n > 100 {
		return halt{}, bad
	}
	return halt{now: when == "now", what: what, count: n, percent: percent}, nil
}

// tally counts how the commands of a run have ended.
type tally struct {
	halt      halt
	all       int
	done, bad int
	halted    bool
	atHalt    int      // of the commands, how many had failed when it halted
	last      countEnd // the one that ended last
	first     countEnd // of those that are counted; what ends together is told in any order
}

// countEnd is a command that has ended.
type countEnd struct {
	number int
	code   int
	at     time.Time
}

// add counts a command that has ended. It reports whether the run is to be halted now.
func (t *tally) add(number int, failed bool, exit, signal int, at time.Time) bool {
	t.last = countEnd{number, 0, at}
	counts := t.halt.what == haltDone
	if failed {
		t.bad++
		if t.last.code = exit; signal != 0 {
			t.last.code = 128 + signal
		}
		t.last.code = max(1, t.last.code) // it was killed, and exited in peace
		counts = counts || t.halt.what == haltFail
	} else {
		t.done++
		counts = counts || t.halt.what == haltSuccess
	}
	if f := t.first; counts && (f.number == 0 || at.Before(f.at) || at.Equal(f.at) && number < f.number) {
		t.first = t.last
	}
	if t.halted || !t.reached() {
		return false
	}
	t.halted, t.atHalt = true, t.bad
	return true
}

func (t *tally) counted() int {
	switch t.halt.what {
	case haltFail:
		return t.bad
	case haltSuccess:
		return t.done
	}
	return t.bad + t.done
}

func (t *tally) reached() bool {
	h := t.halt
	switch {
	case h.count == 0:
		return false
	case h.percent:
		return t.counted()*100 >= h.count*t.all
	}
	return t.counted() >= h.count
}

// haltCode is the exit code as GNU parallel has it: that of the one command that was
// waited for, or how many had failed, or how many of a hundred.
func (t *tally) haltCode() int {
	switch {
	case t.halt.percent:
		return t.atHalt * 100 / t.all
	case t.halt.count == 1:
		return t.first.code
	}
	return min(t.atHalt, runFailedMax)
}

// verdict is the exit code of a run that has ended.
func (t *tally) verdict(queue string) error {
	if !t.halted {
		return verdictOf(queue, t.bad, t.all)
	}
	if code := t.haltCode(); code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// says tells of a run that is halted.
func (t *tally) says(queue string) string {
	then := "the others that run are waited for, no more begin"
	if t.halt.now {
		then = "the others are killed"
	}
	return fmt.Sprintf("command %d ended with %d: %s: tutti job show %s\n", t.last.number, t.last.code, then, queue)
}
