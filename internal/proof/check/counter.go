package check

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// checkCounter judges a number that only grows: it lies between what was
// acknowledged before it was looked at and all that may have been added by
// then; and no two additions were told the same.
func checkCounter(h *History, k keyOps) (found []Violation, err error) {
	var acked, called []moment
	final := false
	for _, i := range k.ops {
		op := &h.Ops[i]
		final = final || op.Client == FinalReader && op.Outcome == OK
		amount := int64(0)
		for _, c := range op.Cmds {
			n, err := amountOf(c)
			if err != nil {
				return nil, fmt.Errorf("counter %v: %w", op, err)
			}
			amount += n
		}
		if amount == 0 || op.Outcome == Failed {
			continue
		}
		called = append(called, moment{op.Call, amount})
		if op.Outcome == OK {
			acked = append(acked, moment{op.Return, amount})
		}
	}
	if !final {
		return nil, fmt.Errorf("counter %s: no final read", quote(k.key))
	}
	accumulate(acked)
	accumulate(called)
	type interval struct {
		from, to int64
		op       int
	}
	var added []interval
	for _, i := range k.ops {
		op := &h.Ops[i]
		if op.Outcome != OK {
			continue
		}
		own := int64(0)
		for _, c := range op.Cmds {
			d, _ := amountOf(c)
			own += d
			n, ok := numberOf(c.Reply)
			least, most := before(acked, op.Call)+own, before(called, op.Return)
			if !ok || n < least || n > most {
				found = append(found, Violation{Name: "count", Key: k.key, Ops: []int{i},
					Text: fmt.Sprintf("%v: at least %d was acknowledged before, and at most %d can have been added", op, least, most)})
			}
			if d > 0 {
				added = append(added, interval{n - d, n, i})
			}
		}
	}
	slices.SortFunc(added, func(a, b interval) int { return cmp.Compare(a.to, b.to) })
	for i := 1; i < len(added); i++ {
		if a, b := added[i-1], added[i]; b.from < a.to {
			found = append(found, Violation{Name: "counted-twice", Key: k.key, Ops: []int{a.op, b.op},
				Text: fmt.Sprintf("two additions were told the same: %v and %v", &h.Ops[a.op], &h.Ops[b.op])})
		}
	}
	return found, nil
}

// moment is when something was added: alone at first, with all before it after
// accumulate.
type moment struct{ at, sum int64 }

func accumulate(m []moment) {
	slices.SortFunc(m, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	for i := 1; i < len(m); i++ {
		m[i].sum += m[i-1].sum
	}
}

// before is the sum of what lies before a place.
func before(m []moment, at int64) int64 {
	i, _ := slices.BinarySearchFunc(m, at, func(m moment, at int64) int { return cmp.Compare(m.at, at) })
	if i == 0 {
		return 0
	}
	return m[i-1].sum
}

func amountOf(c Cmd) (int64, error) {
	switch {
	case c.Args[0] == "GET":
		return 0, nil
	case c.Args[0] == "INCR":
		return 1, nil
	case c.Args[0] == "INCRBY" && len(c.Args) == 3:
		if n, err := strconv.ParseInt(c.Args[2], 10, 64); err == nil && n > 0 {
			return n, nil
		}
	}
	return 0, errors.New("counters have INCR, INCRBY by more than 0, and GET")
}

func numberOf(r Reply) (int64, bool) {
	switch r.Kind {
	case KindInt:
		return r.Int, true
	case KindNil:
		return 0, true
	case KindString:
		n, err := strconv.ParseInt(r.Str, 10, 64)
		return n, err == nil
	}
	return 0, false
}
