package check

import (
	"fmt"
	"maps"
	"slices"
)

// Transactions that append unique values to lists and read whole lists reveal
// their order: a list shows who appended in which order, and a read what came
// before it and what after (Kingsbury and Alvaro, "Elle", 2020). RPUSH says as
// well at which place it appended, even if nobody read that far.

// appends is what a history says about its lists.
type appends struct {
	h     *History
	txns  []txn
	lists []*list
	found []Violation
	more  map[string]int // violations by name, those found included
}

// txn is an operation of appends and reads.
type txn struct {
	op      int  // in the history
	applied bool // answered, or seen by others
}

// list is one key.
type list struct {
	key string
	// order is the longest read; tail what is known to follow, by the lengths
	// that appends were told. Each place stands once.
	order []string
	tail  []element
	// beyond are appends that were applied and are in neither: they follow order
	// somewhere.
	beyond []string
	// broken says that an element stands twice: order tells nothing.
	broken bool
	// writers of the values, whether they were ever read or not.
	writers map[string]write
	values  []string       // the keys of writers, in the order of the history
	place   map[string]int // in order
	reader  int            // txn that read order; -1: nobody
	// last is the txn with the latest call that read the list; -1: none.
	last  int
	reads []read
}

type element struct {
	place int
	value string
}

type write struct {
	txn   int
	final bool // the last of its transaction to that list
}

// read is one LRANGE of an applied transaction.
type read struct {
	txn  int
	list []string
	// prefix says that it is the beginning of order.
	prefix bool
}

// checkAppends judges the transactions at places ops of the history.
func checkAppends(h *History, ops []int) ([]Violation, error) {
	a := &appends{h: h, more: make(map[string]int)}
	if err := a.collect(ops); err != nil {
		return nil, err
	}
	for _, l := range a.lists {
		l.place = make(map[string]int, len(l.order))
		a.elements(l, l.reader, l.order, l.place)
	}
	for _, l := range a.lists {
		a.readsOf(l)
		a.places(l)
	}
	for t := range a.txns {
		a.internal(t)
	}
	a.cycles(a.graph())
	for _, name := range slices.Sorted(maps.Keys(a.more)) {
		if n := a.more[name] - foundMax; n > 0 {
			a.found = append(a.found, Violation{Name: name, Text: fmt.Sprintf("and %d more", n)})
		}
	}
	return a.found, nil
}

// foundMax bounds the violations reported under one name.
const foundMax = 10

func (a *appends) report(v Violation) {
	if a.more[v.Name]++; a.more[v.Name] <= foundMax {
		a.found = append(a.found, v)
	}
}

func (a *appends) reportf(name, key string, txns []int, format string, args ...any) {
	v := Violation{Name: name, Key: key, Text: fmt.Sprintf(format, args...)}
	for _, t := range txns {
		if t < 0 {
			continue // nobody read the list
		}
		if op := a.txns[t].op; !slices.Contains(v.Ops, op) {
			v.Ops = append(v.Ops, op)
		}
	}
	a.report(v)
}

func (a *appends) op(t int) *Op { return &a.h.Ops[a.txns[t].op] }

// collect sorts out who wrote and read what, and finds the order of each list.
func (a *appends) collect(ops []int) error {
	lists := make(map[string]*list)
	of := func(key string) *list {
		l := lists[key]
		if l == nil {
			l = &list{key: key, writers: make(map[string]write), reader: -1, last: -1}
			lists[key] = l
			a.lists = append(a.lists, l)
		}
		return l
	}
	for t, i := range ops {
		op := &a.h.Ops[i]
		a.txns = append(a.txns, txn{op: i, applied: op.Outcome == OK})
		for n, c := range op.Cmds {
			switch {
			case c.Args[0] == "RPUSH" && len(c.Args) == 3:
				l := of(c.Args[1])
				if w, twice := l.writers[c.Args[2]]; twice {
					return fmt.Errorf("%v\n%v: values must be unique", op, a.op(w.txn))
				}
				l.values = append(l.values, c.Args[2])
				l.writers[c.Args[2]] = write{t, !appendsLater(op.Cmds[n+1:], l.key)}
			case c.Args[0] == "LRANGE" && len(c.Args) == 4 && c.Args[2] == "0" && c.Args[3] == "-1":
				if err := of(c.Args[1]).read(t, op, c); err != nil {
					return err
				}
			default:
				return fmt.Errorf("%v: transactions are of RPUSH key value and LRANGE key 0 -1", op)
			}
		}
	}
	return nil
}

func appendsLater(cmds []Cmd, key string) bool {
	return slices.ContainsFunc(cmds, func(c Cmd) bool { return c.Args[0] == "RPUSH" && c.Args[1] == key })
}

// read takes a read for the order of its list.
func (l *list) read(t int, op *Op, c Cmd) error {
	if c.Reply.Kind == KindNone || op.Outcome == Failed {
		return nil
	}
	elems, ok := c.Reply.strings()
	if !ok {
		return fmt.Errorf("%v: a list was expected", op)
	}
	l.reads = append(l.reads, read{txn: t, list: elems})
	if op.Outcome == OK && (l.reader < 0 || len(elems) > len(l.order)) {
		l.order, l.reader = elems, t
	}
	return nil
}

// next returns the first known element at place or behind.
func (l *list) next(place int) (element, bool) {
	if place < len(l.order) {
		return element{place, l.order[place]}, true
	}
	i, _ := slices.BinarySearchFunc(l.tail, place, func(e element, p int) int { return e.place - p })
	if i == len(l.tail) {
		return element{}, false
	}
	return l.tail[i], true
}
