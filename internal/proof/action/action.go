// Package action is the vocabulary in which faults are written, one line of text
// each: a word, what it is done to, and name=value settings. Nodes have numbers
// from 1, and are hosts n1, n2, … in the network. The simulation and bench, which
// hurts real processes, both understand
//
//	start N | stop N | kill N | pause N | resume N
//	cut A>B … | mend A>B …      directions between hosts
//	link A>B name=value …       how a direction behaves; nothing: as usual
//	reset A B                   all connections of two hosts break
//
// What can be done beyond that to a simulated disk or clock stands in package
// sim.
package action

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Action is a line taken apart. Its methods keep the first mistake.
type Action struct {
	Name  string
	Words []string
	Set   map[string]string
	err   error
}

// Parse takes a line apart.
func Parse(line string) *Action {
	a := &Action{Set: make(map[string]string)}
	for i, w := range strings.Fields(line) {
		name, value, ok := strings.Cut(w, "=")
		switch {
		case i == 0:
			a.Name = w
		case ok:
			a.Set[name] = value
		default:
			a.Words = append(a.Words, w)
		}
	}
	return a
}

// Err is the first mistake in the line.
func (a *Action) Err() error { return a.err }

// Fail notes a mistake.
func (a *Action) Fail(err error) {
	if a.err == nil && err != nil {
		a.err = err
	}
}

// Word is the i-th word behind the name.
func (a *Action) Word(i int) string {
	if i >= len(a.Words) {
		a.Fail(fmt.Errorf("%d words are too few", len(a.Words)))
		return ""
	}
	return a.Words[i]
}

// Node is the first word, the number of one of count nodes; 1 if it is none.
func (a *Action) Node(count int) int {
	i, err := strconv.Atoi(a.Word(0))
	if err == nil && (i < 1 || i > count) {
		err = fmt.Errorf("no node %d", i)
	}
	if err != nil {
		a.Fail(err)
		return 1
	}
	return i
}

// Number is the i-th word, a number.
func (a *Action) Number(i int) int {
	n, err := strconv.Atoi(a.Word(i))
	a.Fail(err)
	return n
}

// Way is the i-th word, a direction between hosts.
func (a *Action) Way(i int) (from, to string) {
	from, to, ok := strings.Cut(a.Word(i), ">")
	if !ok {
		a.Fail(fmt.Errorf("%q is no direction", from))
	}
	return from, to
}

// Int is a setting, which must be there.
func (a *Action) Int(name string) int {
	n, err := strconv.Atoi(a.Set[name])
	a.Fail(err)
	return n
}

// Float is a setting; 0 if it is not there.
func (a *Action) Float(name string) float64 {
	text := a.Set[name]
	if text == "" {
		return 0
	}
	f, err := strconv.ParseFloat(text, 64)
	a.Fail(err)
	return f
}

// Duration is a setting; d if it is not there.
func (a *Action) Duration(name string, d time.Duration) time.Duration {
	text := a.Set[name]
	if text == "" {
		return d
	}
	d, err := time.ParseDuration(text)
	a.Fail(err)
	return d
}

// Rand is for the choices of this action, which follow from its seed alone.
func (a *Action) Rand() *rand.Rand {
	n, err := strconv.ParseUint(a.Set["seed"], 10, 64)
	a.Fail(err)
	return rand.New(rand.NewPCG(n, 4))
}
