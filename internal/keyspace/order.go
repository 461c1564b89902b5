package keyspace

import (
	"bytes"
	"slices"
)

// order is the writes of a transaction in the order of their rows: sorted runs of
// indices of ops, where each run is of ops that were written one after the other.
//
// A range read sorts what was written since the last one, and merges it with runs that
// are not much longer. So n writes and n range reads by turns cost n log n steps, where
// one sorted list would be made again for each read. A run is never changed once it is
// made: whoever reads from it goes on while others are made.
type order struct {
	runs [][]int32 // each one more than twice as long as the next
	end  int       // ops[:end] are in runs
}

// sort brings the order up to date.
func (e *effects) sort() {
	o := &e.order
	if o.end == len(e.ops) {
		return
	}
	run := make([]int32, 0, len(e.ops)-o.end)
	for i := o.end; i < len(e.ops); i++ {
		run = append(run, int32(i))
	}
	slices.SortFunc(run, e.compare)
	o.runs, o.end = append(o.runs, run), len(e.ops)
	for n := len(o.runs); n > 1 && len(o.runs[n-2]) <= 2*len(o.runs[n-1]); n-- {
		e.mergeLast()
	}
}

// whole brings the order up to date and returns all of it.
func (e *effects) whole() []int32 {
	e.sort()
	for len(e.order.runs) > 1 {
		e.mergeLast()
	}
	if len(e.order.runs) == 0 {
		return nil
	}
	return e.order.runs[0]
}

func (e *effects) compare(i, j int32) int { return bytes.Compare(e.ops[i].row, e.ops[j].row) }

// mergeLast makes one of the last two runs.
func (e *effects) mergeLast() {
	runs := e.order.runs
	n := len(runs)
	a, b := runs[n-2], runs[n-1]
	merged := make([]int32, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if e.compare(a[0], b[0]) < 0 {
			merged, a = append(merged, a[0]), a[1:]
		} else {
			merged, b = append(merged, b[0]), b[1:]
		}
	}
	runs[n-2] = append(append(merged, a...), b...)
	e.order.runs = runs[:n-1]
}

// truncate forgets the ops from end on.
func (o *order) truncate(end int) {
	if o.end <= end {
		return
	}
	o.end = end
	for n := len(o.runs); n > 0; n-- {
		kept := make([]int32, 0, len(o.runs[n-1]))
		for _, i := range o.runs[n-1] {
			if int(i) < end {
				kept = append(kept, i)
			}
		}
		if len(kept) > 0 { // those before it are of older ops
			o.runs[n-1] = kept
			return
		}
		o.runs = o.runs[:n-1]
	}
}

func (o *order) reset() { clear(o.runs); o.runs, o.end = o.runs[:0], 0 }

// place returns where row belongs in a run.
func (e *effects) place(run []int32, row []byte) int {
	i, _ := slices.BinarySearchFunc(run, row, func(i int32, row []byte) int { return bytes.Compare(e.ops[i].row, row) })
	return i
}

// between returns the writes whose rows are in [lower, upper).
func (e *effects) between(lower, upper []byte) *ownRows {
	e.sort()
	own := &ownRows{e: e, at: -1}
	for _, run := range e.order.runs {
		if lo, hi := e.place(run, lower), e.place(run, upper); lo < hi {
			own.runs = append(own.runs, ownRun{ops: run[lo:hi]})
		}
	}
	return own
}

// ownRows walks over some runs in the order of their rows. It is turned around by
// seeking only.
type ownRows struct {
	e    *effects
	runs []ownRun
	at   int // which run has the current row; -1: none
}

// ownRun is a part of a run, and where the walk is in it: at its first row that is not
// before the current one, or, backwards, at its last that is not behind it.
type ownRun struct {
	ops []int32
	i   int
}

// OK implements Overlay, as do the methods behind it.
func (o *ownRows) OK() bool    { return o.at >= 0 }
func (o *ownRows) op() *op     { return o.runs[o.at].op(o.e) }
func (o *ownRows) Row() []byte { return o.op().row }
func (o *ownRows) Val() []byte { return o.op().val }

func (r *ownRun) op(e *effects) *op { return &e.ops[r.ops[r.i]] }

func (o *ownRows) First() {
	for k := range o.runs {
		o.runs[k].i = 0
	}
	o.choose(false)
}

func (o *ownRows) Last() {
	for k := range o.runs {
		o.runs[k].i = len(o.runs[k].ops) - 1
	}
	o.choose(true)
}

func (o *ownRows) Seek(row []byte, back bool) {
	for k := range o.runs {
		r := &o.runs[k]
		if r.i = o.e.place(r.ops, row); back {
			r.i--
		}
	}
	o.choose(back)
}

func (o *ownRows) Step(back bool) {
	if back {
		o.runs[o.at].i--
	} else {
		o.runs[o.at].i++
	}
	o.choose(back)
}

// choose makes the nearest row of all runs the current one.
func (o *ownRows) choose(back bool) {
	o.at = -1
	for k := range o.runs {
		r := &o.runs[k]
		if r.i < 0 || r.i >= len(r.ops) {
			continue
		}
		if o.at < 0 || (bytes.Compare(r.op(o.e).row, o.Row()) < 0) != back {
			o.at = k
		}
	}
}
