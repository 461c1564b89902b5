package keyspace

import (
	"fmt"
	"slices"
)

// A list of rows holds element i at position head+i, and its positions have no
// gaps, unless it was changed in its middle: see listRuns. Both ends move freely
// around listMiddle, so pushing, popping and indexing cost one row each. Ranges
// are read from head on, never from the start of the prefix: a queue leaves the
// tombstones of all its popped elements there.

// shiftChunk is the number of elements that are read before they are written
// at their new positions: enough to spare most seeks, few enough to hold.
const shiftChunk = 256

// PushHead adds an element in front. The object keeps val until Save.
func (o *Object) PushHead(val []byte) {
	if !o.rowed {
		o.items = slices.Insert(o.items, 0, item{sub: val})
		o.growList()
		return
	}
	if o.runs != nil {
		pushRun(o, true, val)
		return
	}
	o.head--
	o.count++
	o.putElement(0, val)
}

// PushTail adds an element at the end. The object keeps val until Save.
func (o *Object) PushTail(val []byte) {
	if !o.rowed {
		o.items = append(o.items, item{sub: val})
		o.growList()
		return
	}
	if o.runs != nil {
		pushRun(o, false, val)
		return
	}
	o.count++
	o.putElement(int(o.count)-1, val)
}

// growList turns a packed list into one of rows if it has become too big.
func (o *Object) growList() {
	if !o.overflows() {
		return
	}
	for _, it := range o.startRows() {
		o.PushTail(it.sub)
	}
}

// PopHead removes the first element and returns it; it must not be changed.
// The list must not be empty.
func (o *Object) PopHead() []byte {
	val := o.Index(0)
	o.Trim(1, o.Len())
	return val
}

// PopTail removes the last element and returns it; it must not be changed. The
// list must not be empty.
func (o *Object) PopTail() []byte {
	n := o.Len()
	val := o.Index(n - 1)
	o.Trim(0, n-1)
	return val
}

// Index returns element i, 0 <= i < Len; it must not be changed.
func (o *Object) Index(i int) []byte {
	if !o.rowed {
		return o.items[i].sub
	}
	o.checkIndex(i)
	pos, ok := position(o, i)
	if !ok {
		return nil
	}
	o.tx.buf = listRow(o.tx.buf[:0], o.slot, o.id, pos)
	val, ok := o.tx.Get(o.tx.buf, nil)
	if !ok {
		o.damaged("list without its element %d", i)
	}
	return val
}

// SetIndex replaces element i, 0 <= i < Len. The object keeps val until Save.
func (o *Object) SetIndex(i int, val []byte) {
	if !o.rowed {
		o.items[i].sub = val
		o.growList()
		return
	}
	o.checkIndex(i)
	o.putElement(i, val)
}

func (o *Object) checkIndex(i int) {
	if i < 0 || uint64(i) >= o.count {
		panic(fmt.Sprintf("keyspace: index %d of list %q with %d elements", i, o.Key, o.count))
	}
}

// putElement writes the row of element i, which may lie beside a list of one run.
func (o *Object) putElement(i int, val []byte) {
	if pos, ok := position(o, i); ok {
		putAt(o, pos, val)
	}
}

// putAt writes the row of the element at a position.
func putAt(o *Object, pos uint64, val []byte) {
	o.tx.buf = listRow(o.tx.buf[:0], o.slot, o.id, pos)
	o.tx.Put(o.tx.buf, val)
}

func deleteAt(o *Object, pos uint64) {
	o.tx.buf = listRow(o.tx.buf[:0], o.slot, o.id, pos)
	o.tx.Delete(o.tx.buf)
}

// ListEach calls f for the elements from index from on to the tail, or with
// reverse to the head, until f returns false. An index outside the list has no
// elements. The slice is valid during the call only; f must not change the
// object.
func (o *Object) ListEach(from int, reverse bool, f func(val []byte) bool) {
	n := o.Len()
	if from < 0 || from >= n {
		return
	}
	if !o.rowed {
		o.eachItem(from, reverse, f)
		return
	}
	if reverse {
		eachOf(o, stretches(o, 0, from+1), true, f)
	} else {
		eachOf(o, stretches(o, from, n), false, f)
	}
}

// eachOf calls f for the elements of runs, or with reverse for those of the last run
// first and backwards, until f returns false.
func eachOf(o *Object, runs []run, reverse bool, f func(val []byte) bool) {
	if len(runs) == 0 {
		return
	}
	lower, upper := runs[0].at, runs[0].end()
	for _, r := range runs[1:] {
		lower, upper = min(lower, r.at), max(upper, r.end())
	}
	it := o.tx.Iter(listRow(nil, o.slot, o.id, lower), listRow(nil, o.slot, o.id, upper))
	defer it.Close()
	for i := range runs {
		r := runs[i]
		if reverse {
			r = runs[len(runs)-1-i]
		}
		var ok bool
		switch {
		case len(runs) == 1 && reverse:
			ok = it.Last()
		case len(runs) == 1:
			ok = it.First()
		case reverse:
			o.tx.Spend(1)
			ok = it.SeekLT(listRow(nil, o.slot, o.id, r.end()))
		default:
			o.tx.Spend(1)
			ok = it.SeekGE(listRow(nil, o.slot, o.id, r.at))
		}
		if !walkRun(o, it, r, ok, reverse, f) {
			return
		}
	}
}

// walkRun calls f for the elements of a run, at whose first one the iterator stands, or
// with reverse at its last. It returns false if f has, or an element is not there.
func walkRun(o *Object, it Iterator, r run, ok, reverse bool, f func(val []byte) bool) bool {
	pos, step, move := r.at, uint64(1), it.Next
	if reverse {
		pos, step, move = r.end()-1, ^uint64(0), it.Prev
	}
	for left := r.n; ; pos += step {
		if !ok {
			return o.damaged("list that lacks its last %d elements", left)
		}
		k := it.Key()
		if at := be.Uint64(k[len(k)-8:]); at != pos {
			return o.damaged("list of %d elements with position %d where %d is due", o.count, at, pos)
		}
		if !f(it.Value()) {
			return false
		}
		if left--; left == 0 {
			return true
		}
		ok = move()
	}
}

func (o *Object) eachItem(from int, reverse bool, f func(val []byte) bool) {
	items := o.items
	if reverse {
		for _, it := range slices.Backward(items[:from+1]) {
			if !f(it.sub) {
				return
			}
		}
		return
	}
	for _, it := range items[from:] {
		if !f(it.sub) {
			return
		}
	}
}

// Insert puts val before element at, 0 <= at <= Len. Near an end, or while a member
// knows no runs, the elements of the shorter side move. The object keeps val until Save.
func (o *Object) Insert(at int, val []byte) {
	if !o.rowed {
		o.items = slices.Insert(o.items, at, item{sub: val})
		o.growList()
		return
	}
	n := int(o.count)
	switch {
	case o.runs != nil && (at == 0 || at == n):
		pushRun(o, at == 0, val)
		return
	case o.runs != nil, mayRun(o.tx) && min(at, n-at) > shiftMax:
		insertRun(o, at, val)
		return
	}
	if at < n-at {
		o.shift(0, at, -1)
		o.head--
	} else {
		o.shift(at, n-at, 1)
	}
	o.count++
	o.putElement(at, val)
}

// Remove removes the elements at the given indices, which ascend. Near an end, or while
// a member knows no runs, it closes the gaps from the side where fewer elements have to
// move.
func (o *Object) Remove(at ...int) {
	if len(at) == 0 {
		return
	}
	if !o.rowed {
		items := o.items
		for _, i := range slices.Backward(at) {
			items = slices.Delete(items, i, i+1)
		}
		o.items = items
		return
	}
	n, gone := int(o.count), len(at)
	if gone > trashMin && n-gone < gone {
		o.rewrite(0, n, at)
		return
	}
	moved := min(at[gone-1]+1, n-at[0]) - gone
	if o.runs == nil && (moved <= shiftMax || !mayRun(o.tx)) {
		closeGaps(o, at)
		return
	}
	if !removeRuns(o, at) {
		o.rewrite(0, n, at)
	}
}

// closeGaps removes elements of a list of one run, which stays one.
func closeGaps(o *Object, at []int) {
	n, gone := int(o.count), len(at)
	if at[gone-1]+1 < n-at[0] {
		next := at[gone-1]
		for k, i := range slices.Backward(at[:gone-1]) {
			o.shift(i+1, next-i-1, gone-1-k)
			next = i
		}
		o.shift(0, next, gone)
		o.Trim(gone, n)
		return
	}
	for k, i := range at {
		next := n
		if k+1 < gone {
			next = at[k+1]
		}
		o.shift(i+1, next-i-1, -(k + 1))
	}
	o.Trim(0, n-gone)
}

// shift writes the n elements of a list of one run from index from on again, by
// positions further to the right (negative: left), starting on that side. It gives up when the
// command has written more than it may: the command fails then.
func (o *Object) shift(from, n, by int) {
	if n <= 0 {
		return
	}
	vals := make([][]byte, 0, min(n, shiftChunk))
	for done := 0; done < n && o.tx.Written() <= WriteSetMax; done += len(vals) {
		chunk := min(n-done, shiftChunk)
		first := from + done
		if by > 0 {
			first = from + n - done - chunk
		}
		vals = vals[:0]
		o.ListEach(first, false, func(val []byte) bool {
			vals = append(vals, slices.Clone(val))
			return len(vals) < chunk
		})
		if len(vals) < chunk {
			return // the Reader failed
		}
		for i, val := range vals {
			o.putElement(first+i+by, val)
		}
	}
}

// Trim keeps the elements with start <= index < end and removes the others.
func (o *Object) Trim(start, end int) {
	n := o.Len()
	end = min(end, n)
	start = min(max(start, 0), max(end, 0))
	kept := end - start
	switch {
	case kept >= n:
	case kept <= 0:
		o.refill(nil)
	case !o.rowed:
		o.items = slices.Delete(slices.Delete(o.items, end, n), 0, start)
	case n-kept > trashMin && kept < n-kept:
		o.rewrite(start, end, nil)
	default:
		o.deleteElements(0, start)
		o.deleteElements(end, n)
		if o.runs != nil {
			keepRuns(o, start, end)
			return
		}
		o.head += uint64(start)
		o.count = uint64(kept)
	}
}

// rewrite makes a new list of the elements with start <= index < end, without
// those at the indices in except, which ascend. The old rows become garbage:
// that is cheaper than deleting each where few elements stay.
func (o *Object) rewrite(start, end int, except []int) {
	var items []item
	i, size := start, 0
	o.ListEach(start, false, func(val []byte) bool {
		if len(except) > 0 && except[0] == i {
			except = except[1:]
		} else {
			items = append(items, item{sub: slices.Clone(val)})
			size += len(val)
		}
		i++
		return i < end && size <= WriteSetMax // beyond it the command fails
	})
	o.refill(items)
}

// refill replaces all elements of a list.
func (o *Object) refill(items []item) {
	o.dropRows()
	o.items, o.val = items, nil
	o.growList()
}

// deleteElements deletes the rows of the elements with start <= index < end,
// as far as a command may.
func (o *Object) deleteElements(start, end int) {
	for _, r := range stretches(o, start, end) {
		for k := uint64(0); k < r.n && o.tx.Written() <= WriteSetMax; k++ {
			deleteAt(o, r.at+k)
		}
	}
}
