package waiter

import (
	"slices"

	"tutti/internal/group"
)

// line is who waits for a topic: by kind, as what is not there for one is not there
// for the others of its kind either, so that a line of thousands is not gone through
// whenever one of them is served.
type line []kindLine

type kindLine struct {
	kind string
	list []*Waiter // by order
}

func (l line) insert(w *Waiter) line {
	k := slices.IndexFunc(l, func(k kindLine) bool { return k.kind == w.Kind })
	if k < 0 {
		return append(l, kindLine{w.Kind, []*Waiter{w}})
	}
	at, _ := slices.BinarySearchFunc(l[k].list, w, byOrder)
	l[k].list = slices.Insert(l[k].list, at, w)
	return l
}

func (l line) remove(w *Waiter) line {
	for k := range l {
		if l[k].kind != w.Kind {
			continue
		}
		at, ok := slices.BinarySearchFunc(l[k].list, w, byOrder)
		if !ok {
			return l
		}
		if l[k].list = slices.Delete(l[k].list, at, at+1); len(l[k].list) == 0 {
			return slices.Delete(l, k, k+1)
		}
		return l
	}
	return l
}

// Walk goes along the line of a topic, in the order of those who wait. Waiters may
// be removed and added meanwhile.
type Walk struct {
	r     *Registry
	topic string
	after uint64             // the order of the last that is passed over at once
	at    map[string]*Waiter // kind -> who of it was met last
	over  []string           // kinds that are through
}

// Walk begins a walk along the line of a topic, behind those of an order; 0: with the
// first.
func (r *Registry) Walk(topic string, after uint64) *Walk {
	return &Walk{r: r, topic: topic, after: after, at: make(map[string]*Waiter)}
}

// Next returns who comes next and can be told, or nil.
func (w *Walk) Next() *Waiter {
	var first *Waiter
	for _, k := range w.r.lines[w.topic] {
		if slices.Contains(w.over, k.kind) {
			continue
		}
		if next := w.next(k); next != nil && (first == nil || byOrder(next, first) < 0) {
			first = next
		}
	}
	if first != nil {
		w.at[first.Kind] = first
	}
	return first
}

func (w *Walk) next(k kindLine) *Waiter {
	from, _ := slices.BinarySearchFunc(k.list, w.after, func(x *Waiter, after uint64) int {
		if x.Order <= after {
			return -1
		}
		return 1
	})
	if last := w.at[k.kind]; last != nil {
		at, found := slices.BinarySearchFunc(k.list, last, byOrder)
		if from = at; found {
			from++
		}
	}
	for _, x := range k.list[from:] {
		if !w.r.silent[group.SessionNode(x.Session)] {
			return x
		}
	}
	return nil
}

// Over ends the walk for a kind: there is nothing for it.
func (w *Walk) Over(kind string) { w.over = append(w.over, kind) }
