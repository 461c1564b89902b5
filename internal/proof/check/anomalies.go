package check

import "slices"

// readsOf compares the reads of a list with its order.
func (a *appends) readsOf(l *list) {
	for i := range l.reads {
		r := &l.reads[i]
		if !a.txns[r.txn].applied {
			continue // a read under WATCH; it counts if its transaction does
		}
		if a.op(r.txn).Outcome != OK && len(r.list) > len(l.order) && slices.Equal(r.list[:len(l.order)], l.order) {
			// Its client knew what it had read under WATCH, but not that it counts.
			clear(l.place)
			l.order, l.reader = r.list, r.txn
			a.elements(l, r.txn, r.list, l.place)
		}
		r.prefix = len(r.list) <= len(l.order) && slices.Equal(r.list, l.order[:len(r.list)])
		if !r.prefix {
			a.elements(l, r.txn, r.list, make(map[string]int, len(r.list)))
			a.reportf("incompatible-order", l.key, []int{r.txn, l.reader},
				"two reads of it, neither of which is the beginning of the other: %v and %v", array(r.list...), array(l.order...))
		}
		a.intermediate(l, r)
		if l.last < 0 || a.op(r.txn).Call > a.op(l.last).Call {
			l.last = r.txn
		}
	}
}

// elements judges each element of a read and notes its place.
func (a *appends) elements(l *list, reader int, elems []string, places map[string]int) {
	for i, v := range elems {
		if first, twice := places[v]; twice {
			a.reportf("duplicate-append", l.key, []int{reader}, "%s stands at place %d and at %d", quote(v), first, i)
			l.broken = true
			continue
		}
		places[v] = i
		w, known := l.writers[v]
		switch {
		case !known:
			a.reportf("garbage-read", l.key, []int{reader}, "%s at place %d was never written", quote(v), i)
		case a.op(w.txn).Outcome == Failed:
			a.reportf("G1a", l.key, []int{w.txn, reader}, "%s was appended by a transaction that was not applied, and read", quote(v))
			fallthrough
		default:
			a.txns[w.txn].applied = true // seen, whatever its client knows
		}
	}
}

// intermediate looks for a read that ends in the middle of a transaction.
func (a *appends) intermediate(l *list, r *read) {
	if len(r.list) == 0 {
		return
	}
	v := r.list[len(r.list)-1]
	if w, known := l.writers[v]; known && !w.final && w.txn != r.txn {
		a.reportf("G1b", l.key, []int{w.txn, r.txn}, "a read ends with %s, after which the same transaction appended more", quote(v))
	}
}

// places compares what appends were told with the order, and extends it by
// those that nobody has read. It looks for the lost among them: acknowledged
// before a read was called that does not have them, nor has any other.
func (a *appends) places(l *list) {
	for _, v := range l.values {
		w := l.writers[v]
		op := a.op(w.txn)
		place, told := a.told(l, v, w)
		at, seen := l.place[v]
		switch {
		case told && place < len(l.order) && l.order[place] == v:
		case told && seen:
			a.reportf("incompatible-order", l.key, []int{w.txn, l.reader}, "%s was appended at place %d, and read at %d", quote(v), place, at)
		case seen:
		case told && place < len(l.order):
			a.reportf("lost-append", l.key, []int{w.txn, l.reader}, "%s was appended at place %d, where %s was read", quote(v), place, quote(l.order[place]))
		case l.last >= 0 && op.Outcome == OK && op.Return < a.op(l.last).Call:
			a.reportf("lost-append", l.key, []int{w.txn, l.last}, "%s was acknowledged, and is in no read, not even in one called later", quote(v))
		case told:
			l.tail = append(l.tail, element{place, v})
		case a.txns[w.txn].applied && len(l.beyond) < beyondMax:
			l.beyond = append(l.beyond, v)
		}
	}
	slices.SortFunc(l.tail, func(x, y element) int { return x.place - y.place })
	for i := 1; i < len(l.tail); i++ {
		if x, y := l.tail[i-1], l.tail[i]; x.place == y.place {
			a.reportf("incompatible-order", l.key, []int{l.writers[x.value].txn, l.writers[y.value].txn},
				"%s and %s were both appended at place %d", quote(x.value), quote(y.value), x.place)
		}
	}
	l.tail = slices.CompactFunc(l.tail, func(x, y element) bool { return x.place == y.place })
}

// beyondMax bounds the appends of a list without a known place that are looked
// at: each depends on every read of all that is known.
const beyondMax = 100

// told returns the place of an append by the length it was answered.
func (a *appends) told(l *list, v string, w write) (place int, ok bool) {
	op := a.op(w.txn)
	if op.Outcome != OK {
		return 0, false
	}
	for _, c := range op.Cmds {
		if c.Args[0] == "RPUSH" && c.Args[1] == l.key && c.Args[2] == v && c.Reply.Kind == KindInt {
			return int(c.Reply.Int) - 1, true
		}
	}
	return 0, false
}

// internal compares the reads of a transaction with what it did before.
func (a *appends) internal(t int) {
	op := a.op(t)
	if !a.txns[t].applied || op.Outcome == Failed {
		return
	}
	for i, c := range op.Cmds {
		if c.Args[0] != "LRANGE" || c.Reply.Kind == KindNone {
			continue
		}
		base, mine := []string(nil), []string(nil) // read before, appended since
		known := false
		for _, b := range op.Cmds[:i] {
			switch {
			case b.Args[1] != c.Args[1]:
			case b.Args[0] == "RPUSH":
				mine = append(mine, b.Args[2])
			case b.Reply.Kind != KindNone:
				base, _ = b.Reply.strings()
				known, mine = true, nil
			}
		}
		got, _ := c.Reply.strings()
		n := len(got) - len(mine)
		if n < 0 || !slices.Equal(got[n:], mine) || known && !slices.Equal(got[:n], base) {
			a.reportf("internal", c.Args[1], []int{t}, "a read says %v, which does not agree with what the transaction had done", c.Reply)
		}
	}
}
