package store

import (
	"bytes"
	"slices"

	"github.com/cespare/xxhash/v2"

	"tutti/internal/keyspace"
)

// run is what layers of a shard have come to: rows with their newest value each, in order,
// that no view changes any more. Runs lie between a layer and its snapshot of Pebble, the
// newest first, as the tables of a log-structured store do on disk. Four of a level are
// merged into one of the next, so that each row is moved a few times, next to those beside
// it, and a look for one passes a dozen at most; together they are written to Pebble as
// one batch, see writeBack. All of a run is in a few allocations without pointers, but for
// large values.
type run struct {
	level int
	data  []byte   // rows, each with its value
	refs  []runRef // in the order of the rows
	table rowTable // places in refs
	large [][]byte // values that are not in data
	bytes int      // what it takes in memory
	heavy int      // of that, large values that are written to Pebble most likely
	// first and last are the leads of its first and its last row: those of pieces are one
	// behind the other, and a row is looked for in few of them.
	first, last uint64
}

// runRef is a row of a run.
type runRef struct {
	lead uint64 // its first bytes: most rows differ there
	at   uint32 // in data: the row, and the value or its place in large
	row  uint32 // bytes
	val  uint32 // bytes
	hash uint32
	kind rowKind
}

// rowKind says what a row of a run is.
type rowKind uint8

const (
	rowPut   rowKind = 1 << iota // else it is removed
	rowFresh                     // nothing below the run has it
	rowLarge                     // its value is in large
)

const (
	// runsMerged is how many runs of a level become one of the next. Two would move rows
	// twice as often, sixteen have those who look for one pass twice as many.
	runsMerged = 4
	// runLevels is up to which level runs are merged: those of the next would hold up the
	// loop for longer than a commit may.
	runLevels = 2
	// runLarge is how large a value is that is not moved when runs are merged.
	runLarge = 4 << 10
	// runRefBytes is what a row takes beside its bytes and its place in the table.
	runRefBytes = 32
)

// newRun returns a run with room for so many rows, and bytes of rows and values.
func newRun(level, rows, data int) *run {
	return &run{level: level, refs: make([]runRef, 0, rows), data: make([]byte, 0, data)}
}

// rowTable is places of rows, from 1, by the hashes of the rows: open addressing, at most
// half full.
type rowTable []uint32

func newRowTable(rows int) rowTable {
	size := 2
	for size < 2*rows {
		size *= 2
	}
	return make(rowTable, size)
}

// enter puts the place of a row into the table, which has room.
func (t rowTable) enter(place int, hash uint32) {
	mask := len(t) - 1
	at := int(hash) & mask
	for t[at] != 0 {
		at = (at + 1) & mask
	}
	t[at] = uint32(place + 1)
}

func rowHash(row []byte) uint32 { return uint32(xxhash.Sum64(row)) }

// lead returns the first bytes of a row: rows with different ones are in their order.
func lead(row []byte) uint64 {
	if len(row) >= 8 {
		return be.Uint64(row)
	}
	var b [8]byte
	copy(b[:], row)
	return be.Uint64(b[:])
}

// runBytes is what a row takes in the data of a run.
func runBytes(row, val []byte) int {
	if len(val) >= runLarge {
		return len(row) + 4
	}
	return len(row) + len(val)
}

// add adds a row behind all others.
func (r *run) add(row, val []byte, kind rowKind, hash uint32) {
	x := runRef{lead: lead(row), at: uint32(len(r.data)), row: uint32(len(row)), val: uint32(len(val)), hash: hash, kind: kind &^ rowLarge}
	r.data = append(r.data, row...)
	if len(val) >= runLarge {
		x.kind |= rowLarge
		r.data = be.AppendUint32(r.data, uint32(len(r.large)))
		r.large = append(r.large, val)
		if _, is := isPiece(row); !is { // those are removed before long
			r.heavy += len(val)
		}
	} else {
		r.data = append(r.data, val...)
	}
	r.refs = append(r.refs, x)
}

// seal makes the rows be found, behind the last of them.
func (r *run) seal() *run {
	if n := len(r.refs); n > 0 {
		r.first, r.last = r.refs[0].lead, r.refs[n-1].lead
	}
	r.table = newRowTable(len(r.refs))
	for i := range r.refs {
		r.table.enter(i, r.refs[i].hash)
	}
	r.bytes = cap(r.data) + runRefBytes*cap(r.refs) + 4*len(r.table)
	for _, val := range r.large {
		r.bytes += len(val)
	}
	return r
}

func (r *run) key(i int) []byte {
	x := &r.refs[i]
	return r.data[x.at : x.at+x.row : x.at+x.row]
}

// value returns the value of a row, nil if it is removed.
func (r *run) value(i int) []byte {
	x := &r.refs[i]
	at := x.at + x.row
	switch {
	case x.kind&rowPut == 0:
		return nil
	case x.kind&rowLarge != 0:
		return r.large[be.Uint32(r.data[at:])]
	}
	return r.data[at : at+x.val : at+x.val]
}

// each calls put or del for each of the first n rows.
func (r *run) each(n int, put func(row, val []byte) error, del func(row []byte) error) (err error) {
	for i := 0; i < n && err == nil; i++ {
		if r.refs[i].kind&rowPut != 0 {
			err = put(r.key(i), r.value(i))
		} else {
			err = del(r.key(i))
		}
	}
	return err
}

// ofNoKey returns how many rows are of no key. They are the first.
func (r *run) ofNoKey() (n int) {
	for n < len(r.refs) && ofNoKey(r.key(n)) {
		n++
	}
	return n
}

// find returns the place of a row, -1: it has none.
func (r *run) find(row []byte, hash uint32) int {
	mask := len(r.table) - 1
	for at := int(hash) & mask; r.table[at] != 0; at = (at + 1) & mask {
		i := int(r.table[at] - 1)
		if r.refs[i].hash == hash && bytes.Equal(r.key(i), row) {
			return i
		}
	}
	return -1
}

// seek returns the place of the first row that is not before row.
func (r *run) seek(row []byte) int {
	first := lead(row)
	i, _ := slices.BinarySearchFunc(r.refs, row, func(x runRef, row []byte) int {
		switch {
		case x.lead < first:
			return -1
		case x.lead > first:
			return 1
		}
		return bytes.Compare(r.data[x.at:x.at+x.row], row)
	})
	return i
}

// runs are those of a shard, the newest first. A list is never changed.
type runs []*run

// get returns what a row is; known: a run has it.
func (l runs) get(row []byte, hash uint32) (val []byte, ok, known bool) {
	at := lead(row)
	for _, r := range l {
		if at < r.first || at > r.last {
			continue
		}
		if i := r.find(row, hash); i >= 0 {
			val := r.value(i)
			return val, val != nil, true
		}
	}
	return nil, false, false
}

func (l runs) bytes() (n int) {
	for _, r := range l {
		n += r.bytes
	}
	return n
}

// heavy returns how many bytes of large values there are.
func (l runs) heavy() (n int) {
	for _, r := range l {
		n += r.heavy
	}
	return n
}

// add returns a list with r before all others, which may be merged into it: all but the
// keep oldest ones.
func (l runs) add(r *run, keep int) runs {
	list := append(runs{r}, l...)
	for len(list)-keep >= runsMerged && list[0].level < runLevels && list[:runsMerged].level(list[0].level) {
		list = append(runs{list[:runsMerged].merge()}, list[runsMerged:]...)
	}
	return list
}

// level reports whether all are of a level.
func (l runs) level(level int) bool {
	return !slices.ContainsFunc(l, func(r *run) bool { return r.level != level })
}

// merge makes one run of all.
func (l runs) merge() *run {
	rows, data := 0, 0
	for _, r := range l {
		rows, data = rows+len(r.refs), data+len(r.data)
	}
	to := newRun(l[0].level+1, rows, data)
	_ = l.each(func(r *run, i int, kind rowKind) error {
		to.add(r.key(i), r.value(i), kind, r.refs[i].hash)
		return nil
	})
	if len(to.refs) < rows/2 { // much was written again
		to.refs, to.data = slices.Clip(slices.Clone(to.refs)), slices.Clip(slices.Clone(to.data))
	}
	return to.seal()
}

// each calls f with the newest of each row, in order: it is the i-th one of r. What came
// and went, and is not below the runs, is left out.
func (l runs) each(f func(r *run, i int, kind rowKind) error) error {
	var heads [runsMerged * 8]int
	at := heads[:]
	if len(l) > len(at) {
		at = make([]int, len(l))
	}
	for {
		first := -1
		var key []byte
		for n, r := range l {
			if at[n] == len(r.refs) {
				continue
			}
			if first >= 0 {
				if a, b := r.refs[at[n]].lead, l[first].refs[at[first]].lead; a > b || a == b && bytes.Compare(r.key(at[n]), key) >= 0 {
					continue
				}
			}
			first, key = n, r.key(at[n])
		}
		if first < 0 {
			return nil
		}
		r, i := l[first], at[first]
		kind := r.refs[i].kind
		at[first]++
		for n := first + 1; n < len(l); n++ { // older ones of the same row
			if x := l[n]; at[n] < len(x.refs) && x.refs[at[n]].lead == r.refs[i].lead && bytes.Equal(x.key(at[n]), key) {
				kind |= x.refs[at[n]].kind & rowFresh
				at[n]++
			}
		}
		if kind&(rowPut|rowFresh) == rowFresh {
			continue
		}
		if err := f(r, i, kind); err != nil {
			return err
		}
	}
}

// over lays the rows in [lower, upper) over those of base.
func (l runs) over(base keyspace.Iterator, lower, upper []byte) keyspace.Iterator {
	w := &runWalk{}
	for _, r := range l {
		if from, to := r.seek(lower), r.seek(upper); from < to {
			w.list = append(w.list, runPart{r, from, to, from})
		}
	}
	if len(w.list) == 0 {
		return base
	}
	return keyspace.Merge(base, w)
}

// runWalk walks over rows of runs. It implements keyspace.Overlay.
type runWalk struct {
	list []runPart // the newest first
	on   int       // whose row it is; -1: none
	back bool
}

// runPart is the rows from one place of a run to another, and which is next.
type runPart struct {
	*run
	from, to, at int
}

func (w *runWalk) First() {
	w.back = false
	for i := range w.list {
		w.list[i].at = w.list[i].from
	}
	w.choose()
}

func (w *runWalk) Last() {
	w.back = true
	for i := range w.list {
		w.list[i].at = w.list[i].to - 1
	}
	w.choose()
}

func (w *runWalk) Seek(row []byte, back bool) {
	w.back = back
	for i := range w.list {
		p := &w.list[i]
		p.at = min(max(p.seek(row), p.from), p.to)
		if back {
			p.at--
		}
	}
	w.choose()
}

func (w *runWalk) Step(back bool) {
	row := w.Row()
	for i := range w.list {
		if p := &w.list[i]; p.in() && (i == w.on || bytes.Equal(p.key(p.at), row)) {
			if back {
				p.at--
			} else {
				p.at++
			}
		}
	}
	w.choose()
}

func (p *runPart) in() bool { return p.at >= p.from && p.at < p.to }

// choose finds the row that is next, the newest of those that are equal.
func (w *runWalk) choose() {
	w.on = -1
	var key []byte
	for i := range w.list {
		p := &w.list[i]
		if !p.in() {
			continue
		}
		k := p.key(p.at)
		if w.on >= 0 {
			if c := bytes.Compare(k, key); c == 0 || (c > 0) != w.back {
				continue
			}
		}
		w.on, key = i, k
	}
}

func (w *runWalk) OK() bool { return w.on >= 0 }

func (w *runWalk) Row() []byte {
	p := &w.list[w.on]
	return p.key(p.at)
}

func (w *runWalk) Val() []byte {
	p := &w.list[w.on]
	return p.value(p.at)
}
