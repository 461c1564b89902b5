package keyspace

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// A list that is changed in its middle falls into runs: stretches of elements whose
// positions have no gaps. Who inserts between two elements cuts their run in two and puts
// the new one where there is room; who removes leaves a gap. So no other element moves.
// The order of the runs is that of the list; their positions may lie in any order.
//
// The object row has the first run and the last, so pushing and popping cost what they
// cost with one run. An end has room for good: a run begins in the middle of the widest
// room, 2^51 positions from all others at least, and what it is cut into stays in order,
// so its first part has none of the others before it and its last none behind it. Those between lie in one row, which is read by who works there: by
// index, or walking. It is written when the middle changes, and when an end run is used
// up.
//
// Elements are looked for by walking, which costs a step for each; so the runs may be
// about the root of that many: then to read and write their row costs less, and so does
// joining the two smallest neighbours, which keeps it short.

// formatRuns is the format of lists of several runs.
const formatRuns = 4

// mayRun reports whether all members know lists of several runs.
func mayRun(t *Tx) bool { return t.Format == 0 || t.Format >= formatRuns }

const (
	// runsMin and runsSoft bound how many runs a list has before some are joined.
	runsMin  = 8
	runsSoft = 1024
	// runsMax bounds them whatever joining costs: their row has 50 KiB at most.
	runsMax = 4096
	// joinsMax is how often one command joins two runs: it makes two runs more, or for
	// each element that it removes one.
	joinsMax = 8
	// joinElements and joinBytes bound what one command moves for that.
	joinElements = 8192
	joinBytes    = 256 << 10
	// shiftMax is how many elements move so that a list keeps its one run: queues have
	// theirs removed near an end.
	shiftMax = 8
)

// run is n elements at the positions from at on.
type run struct{ at, n uint64 }

func (r run) end() uint64 { return r.at + r.n }

// listRuns are the runs of a list that has more than one.
type listRuns struct {
	first, last run
	inner       []run // those between, once they are read
	read        bool
}

// append appends what the object row has of the runs.
func (l *listRuns) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, l.first.n)
	dst = be.AppendUint64(dst, l.last.at)
	return binary.AppendUvarint(dst, l.last.n)
}

// decodeRuns reads what append wrote, behind the position of the first element.
func decodeRuns(o *Object, body []byte) *RowError {
	l := &listRuns{first: run{at: o.head}}
	var w, w2 int
	if l.first.n, w = binary.Uvarint(body); w > 0 && len(body) > w+8 {
		l.last.at = be.Uint64(body[w:])
		l.last.n, w2 = binary.Uvarint(body[w+8:])
	}
	if w2 <= 0 || len(body) != w+8+w2 || l.first.n > o.count || l.last.n > o.count-l.first.n || !apart([]run{l.first, l.last}) {
		return malformed(o.Key, "runs of a list of %d bytes", len(body))
	}
	l.read = l.first.n+l.last.n == o.count
	o.runs = l
	return nil
}

// apart reports whether runs have elements, and no position twice.
func apart(runs []run) bool {
	for _, r := range runs {
		if r.n == 0 || r.n > math.MaxUint64-r.at {
			return false
		}
	}
	if len(runs) == 2 { // those of most object rows
		return runs[0].end() <= runs[1].at || runs[1].end() <= runs[0].at
	}
	sorted := byPosition(runs)
	for i := 1; i < len(sorted); i++ {
		if sorted[i].at < sorted[i-1].end() {
			return false
		}
	}
	return true
}

func byPosition(runs []run) []run {
	return slices.SortedFunc(slices.Values(runs), func(a, b run) int { return cmp.Compare(a.at, b.at) })
}

// runsRow is the row of the runs between the first and the last.
func runsRow(dst []byte, slot uint16, id uint64) []byte { return subPrefix(dst, slot, id) }

// allRuns returns the runs of a list of rows, for the caller to keep. Without any the
// transaction has failed.
func allRuns(o *Object) []run {
	l := o.runs
	if l == nil {
		return []run{{o.head, o.count}}
	}
	all := append([]run{l.first}, l.inner...)
	if !l.read {
		val, _ := o.tx.Get(runsRow(nil, o.slot, o.id), nil)
		for ; len(val) >= 16; val = val[16:] {
			all = append(all, run{be.Uint64(val), be.Uint64(val[8:])})
		}
		all = append(all, l.last)
		if o.tx.err != nil {
			return nil
		}
		if len(val) > 0 || elementsOf(all) != o.count || !apart(all) {
			o.damaged("list of %d elements in runs that don't fit", o.count)
			return nil
		}
		l.inner, l.read = slices.Clone(all[1:len(all)-1]), true
		return all
	}
	return append(all, l.last)
}

// elementsOf returns how many elements runs have; wrong if they have more than there are
// numbers, which apart finds.
func elementsOf(runs []run) (n uint64) {
	for _, r := range runs {
		n += r.n
	}
	return n
}

// setRuns makes a list one of these runs. Their elements lie in their rows, or will.
func setRuns(o *Object, all []run) {
	all = compact(all)
	var was []run
	if o.runs != nil {
		was = o.runs.inner
	}
	o.runs, o.count = nil, elementsOf(all)
	if len(all) > 0 {
		o.head = all[0].at
	}
	var inner []run
	if n := len(all); n > 1 {
		inner = all[1 : n-1]
		o.runs = &listRuns{first: all[0], last: all[n-1], inner: inner, read: true}
	}
	if slices.Equal(inner, was) {
		return
	}
	row := runsRow(nil, o.slot, o.id)
	if len(inner) == 0 {
		o.tx.Delete(row)
		return
	}
	val := make([]byte, 0, 16*len(inner))
	for _, r := range inner {
		val = be.AppendUint64(be.AppendUint64(val, r.at), r.n)
	}
	o.tx.Put(row, val)
}

// compact leaves out runs without elements, and makes one of those that follow each
// other by position too.
func compact(all []run) []run {
	var out []run
	for _, r := range all {
		switch n := len(out); {
		case r.n == 0:
		case n > 0 && out[n-1].end() == r.at:
			out[n-1].n += r.n
		default:
			out = append(out, r)
		}
	}
	return out
}

// room returns how many free positions a run has before and behind it.
func room(all []run, r run) (before, behind uint64) {
	before, behind = r.at, math.MaxUint64-r.end()
	for _, other := range all {
		if other.at < r.at {
			before = min(before, r.at-other.end())
		} else if other.at > r.at {
			behind = min(behind, other.at-r.end())
		}
	}
	return before, behind
}

// fresh returns the position of n new elements: in the middle of the widest room, so
// that what begins there can grow on both sides.
func fresh(all []run, n uint64) uint64 {
	var from, widest, at uint64
	for _, r := range append(byPosition(all), run{at: math.MaxUint64}) {
		if r.at-from > widest {
			widest, at = r.at-from, from
		}
		from = r.end()
	}
	return at + (widest-n)/2
}

// position returns where element i of a list of rows is, or with one before or behind
// the list that an end is to grow by, would be. ok is false if the transaction failed.
func position(o *Object, i int) (pos uint64, ok bool) {
	l := o.runs
	if l == nil {
		return o.head + uint64(i), true
	}
	at := uint64(i)
	if at < l.first.n {
		return l.first.at + at, true
	}
	if from := o.count - l.last.n; at >= from {
		return l.last.at + at - from, true
	}
	for _, r := range allRuns(o) {
		if at < r.n {
			return r.at + at, true
		}
		at -= r.n
	}
	return 0, false
}

// stretches returns the runs of the elements with start <= index < end.
func stretches(o *Object, start, end int) []run {
	from, to := uint64(start), uint64(end)
	if from >= to {
		return nil
	}
	l := o.runs
	switch {
	case l == nil:
		return []run{{o.head + from, to - from}}
	case to <= l.first.n:
		return []run{{l.first.at + from, to - from}}
	case from >= o.count-l.last.n:
		return []run{{l.last.at + from - (o.count - l.last.n), to - from}}
	}
	return cutRuns(allRuns(o), from, to)
}

// cutRuns returns the parts of runs that have the elements with from <= index < to.
func cutRuns(all []run, from, to uint64) []run {
	var out []run
	for _, r := range all {
		if lo, hi := min(from, r.n), min(to, r.n); lo < hi {
			out = append(out, run{r.at + lo, hi - lo})
		}
		from -= min(from, r.n)
		to -= min(to, r.n)
	}
	return out
}

// pushRun adds an element at an end of a list of several runs.
func pushRun(o *Object, front bool, val []byte) {
	l := o.runs
	o.count++
	if front {
		l.first.at, l.first.n = l.first.at-1, l.first.n+1
		o.head = l.first.at
		o.putElement(0, val)
		return
	}
	l.last.n++
	o.putElement(int(o.count)-1, val)
}

// keepRuns takes off a list of several runs what is not in start <= index < end, and
// whose rows are deleted.
func keepRuns(o *Object, start, end int) {
	l, cut, rest := o.runs, uint64(start), o.count-uint64(end)
	if cut < l.first.n && rest < l.last.n {
		l.first = run{l.first.at + cut, l.first.n - cut}
		l.last.n -= rest
		o.head, o.count = l.first.at, o.count-cut-rest
		return
	}
	if all := allRuns(o); all != nil {
		setRuns(o, cutRuns(all, cut, o.count-rest))
	}
}

// insertRun puts val before element at, which is not the first, and moves none.
func insertRun(o *Object, at int, val []byte) {
	all := allRuns(o)
	if all == nil {
		return
	}
	i, in := 0, uint64(at)
	for in >= all[i].n {
		in -= all[i].n
		i++
	}
	var pos uint64
	_, behind := room(all, all[max(i-1, 0)])
	before, _ := room(all, all[i])
	switch {
	case in > 0:
		pos = fresh(all, 1)
		r := all[i]
		all = slices.Replace(all, i, i+1, run{r.at, in}, run{pos, 1}, run{r.at + in, r.n - in})
	case behind > 0:
		pos = all[i-1].end()
		all[i-1].n++
	case before > 0:
		pos = all[i].at - 1
		all[i] = run{pos, all[i].n + 1}
	default:
		pos = fresh(all, 1)
		all = slices.Insert(all, i, run{pos, 1})
	}
	putAt(o, pos, val)
	setRuns(o, join(o, all))
}

// removeRuns removes the elements at the given indices, which ascend, and moves none.
// With false there would be too many runs, and nothing was done.
func removeRuns(o *Object, at []int) bool {
	all := allRuns(o)
	if all == nil {
		return true
	}
	var left []run
	var gone []uint64
	begin := 0 // index of the first element of a run
	for _, r := range all {
		n, from := int(r.n), 0
		for ; len(at) > 0 && at[0] < begin+n; at = at[1:] {
			i := at[0] - begin
			gone = append(gone, r.at+uint64(i))
			left = append(left, run{r.at + uint64(from), uint64(i - from)})
			from = i + 1
		}
		left = append(left, run{r.at + uint64(from), uint64(n - from)})
		begin += n
	}
	if left = compact(left); len(left) > runsMax {
		return false
	}
	for _, pos := range gone {
		if o.tx.Written() > WriteSetMax {
			return true // the command fails
		}
		deleteAt(o, pos)
	}
	setRuns(o, join(o, left))
	return true
}

// join makes runs fewer if there are more than a list of so many elements should have.
func join(o *Object, all []run) []run {
	all = compact(all)
	most := min(max(int(math.Sqrt(float64(elementsOf(all)))), runsMin), runsSoft)
	elements, size := joinElements, joinBytes
	for n := 0; len(all) > most && o.tx.Written() <= WriteSetMax && o.tx.err == nil; n++ {
		must := len(all) > runsMax
		if !must && n == joinsMax {
			break
		}
		if must {
			elements, size = math.MaxInt, WriteSetMax
		}
		i := smallest(all)
		a, b := all[i], all[i+1]
		joined := run{n: a.n + b.n}
		_, behind := room(all, a)
		before, _ := room(all, b)
		var moves []move
		switch {
		case b.n <= a.n && behind >= b.n:
			joined.at, moves = a.at, []move{{b, a.end()}}
		case a.n < b.n && before >= a.n:
			joined.at, moves = b.at-a.n, []move{{a, b.at - a.n}}
		default:
			joined.at = fresh(all, joined.n)
			moves = []move{{a, joined.at}, {b, joined.at + a.n}}
		}
		vals, ok := movable(o, moves, elements, size)
		if !ok && must { // they are more than a command may write, so this one fails
			for k, val := range vals {
				putAt(o, joined.at+uint64(k), val)
			}
		}
		if !ok {
			break
		}
		for _, m := range moves {
			elements -= int(m.from.n)
			for k := range m.from.n {
				size -= len(vals[0])
				putAt(o, m.to+k, vals[0])
				deleteAt(o, m.from.at+k)
				vals = vals[1:]
			}
		}
		all = slices.Replace(all, i, i+2, joined)
	}
	return all
}

// move is a run whose elements get other positions, none of which any has.
type move struct {
	from run
	to   uint64
}

// smallest returns the first of the two neighbours that have the fewest elements.
func smallest(all []run) int {
	at := 0
	for i := 1; i+1 < len(all); i++ {
		if all[i].n+all[i+1].n < all[at].n+all[at+1].n {
			at = i
		}
	}
	return at
}

// movable reads what is to be moved. It is not ok if that is too much, or can't be read.
func movable(o *Object, moves []move, elements, size int) (vals [][]byte, ok bool) {
	var n uint64
	var runs []run
	for _, m := range moves {
		n += m.from.n
		runs = append(runs, m.from)
	}
	if n > uint64(elements) {
		return nil, false
	}
	eachOf(o, runs, false, func(val []byte) bool {
		vals = append(vals, slices.Clone(val))
		size -= len(val)
		return size >= 0
	})
	return vals, size >= 0 && uint64(len(vals)) == n
}
