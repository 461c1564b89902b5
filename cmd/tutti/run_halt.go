package main

import (
	"fmt"
	"strconv"
	"strings"
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
	halt       halt
	all        int
	done, bad  int
	halted     bool
	code       int // the exit code, if halted
	lastCode   int // of the command that ended last
	lastNumber int
}

// add counts a command that has ended. It reports whether the run is to be halted now.
func (t *tally) add(number int, failed bool, exit, signal int) bool {
	t.lastNumber, t.lastCode = number, 0
	if failed {
		t.bad++
		if t.lastCode = exit; signal != 0 {
			t.lastCode = 128 + signal
		}
		if t.lastCode == 0 {
			t.lastCode = 1 // it was killed, and exited in peace
		}
	} else {
		t.done++
	}
	if t.halted || !t.reached() {
		return false
	}
	t.halted, t.code = true, t.haltCode()
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
// waited for, or how many have failed, or how many of a hundred.
func (t *tally) haltCode() int {
	switch {
	case t.halt.percent:
		return t.bad * 100 / t.all
	case t.halt.count == 1:
		return t.lastCode
	}
	return min(t.bad, runFailedMax)
}

// verdict is the exit code of a run that has ended.
func (t *tally) verdict(queue string) error {
	if !t.halted {
		return verdictOf(queue, t.bad, t.all)
	}
	if t.code == 0 {
		return nil
	}
	return &exitError{code: t.code}
}

// says tells of a run that is halted.
func (t *tally) says(queue string) string {
	then := "the others that run are waited for, no more begin"
	if t.halt.now {
		then = "the others are killed"
	}
	return fmt.Sprintf("command %d ended with %d: %s: tutti job show %s\n", t.lastNumber, t.lastCode, then, queue)
}
