package check

import (
	"cmp"
	"fmt"
	"slices"
)

// dependency is why one transaction comes before another.
type dependency uint8

const (
	ww       dependency = 1 << iota // it appended before
	wr                              // its append was read
	rw                              // it read what was before the append
	realtime                        // it had returned before the call
)

// edge leads to the later transaction.
type edge struct {
	to   int32
	why  dependency
	list int32 // of ww, wr, rw
	// place of the element that the later one appended (ww, rw) or read last
	// (wr).
	place int32
}

// beyond is added to the place of an element in list.beyond.
const beyond = 1 << 30

// graph is the edges that leave each transaction.
type graph [][]edge

// graph finds all dependencies. Of those in real time it leaves out what others
// imply, so their number grows with the concurrency, not with its square.
func (a *appends) graph() graph {
	g := make(graph, len(a.txns))
	add := func(from, to int, why dependency, list, place int) {
		if from != to {
			g[from] = append(g[from], edge{int32(to), why, int32(list), int32(place)})
		}
	}
	for n, l := range a.lists {
		if l.broken {
			continue
		}
		a.appended(n, l, add)
		for _, r := range l.reads {
			if !r.prefix {
				continue
			}
			if k := len(r.list); k > 0 {
				if w, ok := l.writers[r.list[k-1]]; ok {
					add(w.txn, r.txn, wr, n, k-1)
				}
			}
			if len(r.list) == len(l.order) {
				for i, v := range l.beyond {
					add(r.txn, l.writers[v].txn, rw, n, beyond+i)
				}
			}
			if e, ok := l.next(len(r.list)); ok {
				if w, ok := l.writers[e.value]; ok {
					add(r.txn, w.txn, rw, n, e.place)
				}
			}
		}
	}
	a.realtime(add)
	return g
}

// appended adds the edges between the writers of neighbours.
func (a *appends) appended(n int, l *list, add func(from, to int, why dependency, list, place int)) {
	before := -1
	for place := 0; ; {
		e, ok := l.next(place)
		if !ok {
			return
		}
		if w, ok := l.writers[e.value]; ok {
			if before >= 0 {
				add(before, w.txn, ww, n, e.place)
			}
			before = w.txn
		}
		place = e.place + 1
	}
}

// realtime sweeps over calls and returns. The front is the transactions that
// have returned and are not before another of the front.
func (a *appends) realtime(add func(from, to int, why dependency, list, place int)) {
	type event struct {
		at   int64
		txn  int
		call bool
	}
	var events []event
	for t := range a.txns {
		op := a.op(t)
		if !a.txns[t].applied {
			continue
		}
		events = append(events, event{op.Call, t, true})
		if op.Outcome == OK {
			events = append(events, event{op.Return, t, false})
		}
	}
	slices.SortFunc(events, func(x, y event) int { return cmp.Compare(x.at, y.at) })
	var front []int
	for _, e := range events {
		if e.call {
			for _, f := range front {
				add(f, e.txn, realtime, 0, 0)
			}
			continue
		}
		call := a.op(e.txn).Call
		front = slices.DeleteFunc(front, func(f int) bool { return a.op(f).Return < call })
		front = append(front, e.txn)
	}
}

// explain says in words why the edge is there.
func (a *appends) explain(e edge) string {
	if e.why == realtime {
		return "it had returned before the next was called"
	}
	l := a.lists[e.list]
	at, _ := l.next(int(e.place))
	if e.place >= beyond {
		at.value = l.beyond[e.place-beyond]
	}
	key, value := quote(l.key), quote(at.value)
	switch e.why {
	case ww:
		return fmt.Sprintf("it appended to %s before the next appended %s", key, value)
	case wr:
		return fmt.Sprintf("it appended %s to %s, which the next read", value, key)
	case rw:
		return fmt.Sprintf("it read %s without %s, which the next appended", key, value)
	}
	panic(fmt.Sprintf("dependency %d", e.why))
}
