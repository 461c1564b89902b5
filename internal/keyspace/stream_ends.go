package keyspace

import (
	"errors"
	"slices"
)

// streamEnds remembers entries of the streams that are read on a leader: those that a
// reader gets next. Who reads what a group has not had, or what has come since, looks
// for the row behind an id: a seek in the store, which was measured to be a third of the
// work of XADD and XREADGROUP by turns. What a reader of the end wants next is mostly
// what was added last; who is further behind has some entries read ahead for him.
//
// It describes the applied state of one leader's term, as Known does, which it is a
// part of: told of each row that is applied; empty in a new term.
type streamEnds struct {
	streams  map[uint64]*streamEnd // by object id
	bytes    int                   // of all of them
	bytesMax int
}

// streamEnd is a part of a stream.
//
// Invariant: entries are those above floor in the applied state, in order: all of them,
// or with more those up to the last of these.
type streamEnd struct {
	floor   StreamID
	entries []endEntry
	more    bool
	ahead   int // how many were read ahead the last time
}

// endEntry is an entry. A value that is too long is not kept.
type endEntry struct {
	id   StreamID
	val  []byte
	read bool
}

const (
	// endsBytesMax bounds what is remembered of all streams of a node.
	endsBytesMax = 4 << 20
	// endCost and endEntryCost are about what a stream and an entry take, without values.
	endCost, endEntryCost = 128, 56
	// endMax is how many entries of one stream are remembered.
	endMax = 512
	// endValueMax bounds the values: what is longer costs more to copy than to look for.
	endValueMax = 2 << 10
	// aheadMin and aheadMax are how many entries are read ahead: more each time that all
	// were wanted, and few again for one who comes from elsewhere.
	aheadMin, aheadMax = 4, 64
)

// entryRowLen is the length of the row of an entry.
const entryRowLen = 4 + 8 + rowIDLen

func newStreamEnds(shards int) streamEnds {
	return streamEnds{bytesMax: max(endsBytesMax/shards, 64<<10)}
}

func (e *streamEnds) forget() { e.streams, e.bytes = nil, 0 }

func (x *endEntry) cost() int { return endEntryCost + len(x.val) }

// take counts what is added, and makes room for it.
func (e *streamEnds) take(bytes int) {
	if e.bytes += bytes; e.bytes > e.bytesMax {
		e.shrink()
	}
}

// shrink forgets what has been read, and if that was little everything.
func (e *streamEnds) shrink() {
	for _, s := range e.streams {
		n := slices.IndexFunc(s.entries, func(x endEntry) bool { return !x.read })
		if n < 0 {
			n = len(s.entries)
		}
		e.cut(s, n)
	}
	if e.bytes > e.bytesMax/2 {
		e.forget()
	}
}

// cut forgets the first n entries of a stream, of which it keeps the last if there may
// be more: that is how far it knows.
func (e *streamEnds) cut(s *streamEnd, n int) {
	if s.more {
		n = min(n, len(s.entries)-1)
	}
	if n <= 0 {
		return
	}
	for i := range n {
		e.bytes -= s.entries[i].cost()
	}
	s.floor = s.entries[n-1].id
	s.entries = slices.Clone(s.entries[n:]) // somebody may walk over what it had
}

// drop forgets a stream.
func (e *streamEnds) drop(id uint64, s *streamEnd) {
	delete(e.streams, id)
	e.bytes -= s.cost()
}

func (s *streamEnd) cost() int {
	n := endCost
	for i := range s.entries {
		n += s.entries[i].cost()
	}
	return n
}

// from returns the entries from an id on, if they are known: all that there are, or with
// more at least one.
func (s *streamEnd) from(id StreamID) (entries []endEntry, more, known bool) {
	if s == nil || id.Compare(s.floor) <= 0 {
		return nil, false, false
	}
	at := s.place(id)
	return s.entries[at:], s.more, !s.more || at < len(s.entries)
}

// place returns which is the first entry from an id on.
func (s *streamEnd) place(id StreamID) int {
	at, _ := slices.BinarySearchFunc(s.entries, id, func(x endEntry, id StreamID) int { return x.id.Compare(id) })
	return at
}

// put learns from the row of an entry that has been applied.
func (e *streamEnds) put(row, val []byte) {
	of, s := e.of(row)
	if s == nil {
		return
	}
	id, n := rowID(row[entryRowLen-rowIDLen:]), len(s.entries)
	switch {
	case id.Compare(s.floor) <= 0:
	case n > 0 && id.Compare(s.entries[n-1].id) <= 0: // ids have begun again below the last, as XSETID can have it
		e.drop(of, s)
	case s.more:
	case n == endMax && !s.entries[n/2].read: // whoever reads is as far behind
		s.more = true
	default:
		if n == endMax {
			e.cut(s, n/2)
		}
		e.add(s, id, val)
	}
}

func (e *streamEnds) add(s *streamEnd, id StreamID, val []byte) {
	x := newEndEntry(id, val)
	s.entries = append(s.entries, x)
	e.take(x.cost())
}

func newEndEntry(id StreamID, val []byte) endEntry {
	if len(val) > endValueMax {
		return endEntry{id: id}
	}
	return endEntry{id: id, val: slices.Clone(val)}
}

// delete learns from the removal of the row of an entry that has been applied.
func (e *streamEnds) delete(row []byte) {
	of, s := e.of(row)
	if s == nil {
		return
	}
	id := rowID(row[entryRowLen-rowIDLen:])
	at := s.place(id)
	if at == len(s.entries) || s.entries[at].id != id {
		return
	}
	e.bytes -= s.entries[at].cost()
	if s.entries = slices.Delete(s.entries, at, at+1); len(s.entries) == 0 && s.more {
		e.drop(of, s)
	}
}

// of returns whose entry a row would be; nil if nothing of that is known.
func (e *streamEnds) of(row []byte) (stream uint64, s *streamEnd) {
	if len(e.streams) == 0 || len(row) != entryRowLen || row[3] != kindSub {
		return 0, nil
	}
	stream = be.Uint64(row[4:])
	return stream, e.streams[stream]
}

// readAhead has entries from an id on be known to whoever reads them next. Where the end
// is known already it stays so: one reader who is far behind is no reason to forget it.
func readAhead(s *Stream, from StreamID) {
	t := s.o.tx
	if t.Known == nil || t.err != nil {
		return
	}
	e := &t.Known.ends
	end := e.streams[s.o.id]
	if _, _, known := end.from(from); known || end != nil && !end.more {
		return
	}
	ahead := aheadMin
	if end != nil {
		if n := len(end.entries); from.Compare(end.entries[n-1].id) > 0 && end.entries[n-1].read {
			ahead = min(2*end.ahead, aheadMax)
		}
		e.drop(s.o.id, end)
	}
	if end = endFrom(s, from, ahead); end == nil {
		return
	}
	if e.streams == nil {
		e.streams = make(map[uint64]*streamEnd)
	}
	e.streams[s.o.id] = end
	e.take(end.cost())
}

// endFrom reads entries of a stream from an id on in the state that a transaction reads.
// Nil: that failed.
func endFrom(s *Stream, from StreamID, most int) *streamEnd {
	t, end := s.o.tx, &streamEnd{ahead: most}
	end.floor, _ = from.Prev()
	prefix := subPrefix(nil, s.o.slot, s.o.id)
	it, err := t.base.Iter(idRange(prefix, from, StreamIDMax()))
	if err != nil {
		t.fail(err)
		return nil
	}
	for ok := it.First(); ok && !end.more; ok = it.Next() {
		if end.more = len(end.entries) == most; !end.more {
			end.entries = append(end.entries, newEndEntry(rowID(it.Key()[len(prefix):]), it.Value()))
		}
	}
	if t.closeIter(it) != nil {
		return nil
	}
	return end
}

// remembered returns an iterator over the entries of a stream in the state that the
// transaction reads, from one id to another, if the first of them are known.
func remembered(s *Stream, prefix []byte, from, to StreamID) (it *endIter, known bool) {
	t := s.o.tx
	if t.Known == nil || t.err != nil {
		return nil, false
	}
	entries, more, known := t.Known.ends.streams[s.o.id].from(from)
	if !known {
		return nil, false
	}
	if n := len(entries); n > 0 && entries[n-1].id.Compare(to) >= 0 {
		end := streamEnd{entries: entries}
		at := end.place(to)
		if at < n && entries[at].id == to {
			at++
		}
		entries, more = entries[:at], false
	}
	it = &endIter{t: t, prefix: prefix, entries: entries, more: more, at: -1}
	it.lower, it.upper = idRange(prefix, from, to)
	return it, true
}

// endIter walks over entries that are remembered, and where these end over the store;
// forwards only.
type endIter struct {
	Iterator     // of the store; nil: it is not needed yet
	t            *Tx
	prefix       []byte
	lower, upper []byte
	entries      []endEntry
	more         bool
	at           int
	row          []byte
	err          error
}

func (i *endIter) First() bool { return i.to(0) }

func (i *endIter) Next() bool {
	if i.Iterator != nil {
		return i.Iterator.Next()
	}
	return i.to(i.at + 1)
}

func (i *endIter) to(at int) bool {
	i.at = at
	if at < len(i.entries) {
		i.row = appendRowID(append(i.row[:0], i.prefix...), i.entries[at].id)
		return true
	}
	if !i.more || i.err != nil {
		return false
	}
	it, err := i.t.base.Iter(i.lower, i.upper)
	if i.err = err; err != nil {
		return false
	}
	i.Iterator = it
	return it.SeekGE(append(i.row, 0))
}

func (i *endIter) Key() []byte {
	if i.Iterator != nil {
		return i.Iterator.Key()
	}
	return i.row
}

func (i *endIter) Value() []byte {
	if i.Iterator != nil {
		return i.Iterator.Value()
	}
	x := &i.entries[i.at]
	x.read = true
	if x.val != nil {
		return x.val
	}
	val, _, err := i.t.base.Get(i.row, nil)
	i.err = err
	return val
}

func (i *endIter) Close() error {
	if i.Iterator != nil {
		return errors.Join(i.err, i.Iterator.Close())
	}
	return i.err
}
