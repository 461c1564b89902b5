package keyspace

import (
	"bytes"
	"slices"
)

// streamEnds remembers the newest ids of the streams that are read on a leader. Who
// reads what a group has not had, or what has come since, looks for the row behind an
// id: a seek in the store, which was measured to be a third of the work of XADD and
// XREADGROUP by turns. Here the ids are known, and rows of known ids are looked up as
// any other, in memory.
//
// It describes the applied state of one leader's term, as Known does, which it is a
// part of: told of each row that is applied, and of nothing else; empty in a new term.
type streamEnds struct {
	streams map[uint64]*streamEnd // by object id
	unset   int                   // of them, those that are not followed yet
	ids     int                   // of all of them
	idsMax  int
}

// streamEnd is the end of a stream that somebody has read.
//
// Invariant: once it is set, ids are those of all entries above floor in the applied
// state, in order.
type streamEnd struct {
	set   bool // the row of the stream has been applied since, which tells floor
	floor StreamID
	ids   []StreamID
}

const (
	// endIDsMax is how many ids are known of one stream: who is further behind takes
	// many at a time.
	endIDsMax = 512
	// endsIDsMax bounds the ids known of all streams of a node, 2 MiB; a stream counts
	// for endCost beside its own. What goes beyond begins anew.
	endsIDsMax = 1 << 17
	endCost    = 8
)

// entryRowLen is the length of the row of an entry.
const entryRowLen = 4 + 8 + rowIDLen

func newStreamEnds(shards int) streamEnds {
	return streamEnds{idsMax: max(2*endIDsMax, endsIDsMax/shards)}
}

func (e *streamEnds) forget() { e.streams, e.unset, e.ids = nil, 0, 0 }

// follow has the ids be known that a stream gets from its next change on.
func (e *streamEnds) follow(id uint64) {
	if e.streams[id] != nil {
		return
	}
	if e.ids+endCost > e.idsMax {
		e.forget()
	}
	if e.streams == nil {
		e.streams = make(map[uint64]*streamEnd)
	}
	e.streams[id] = &streamEnd{}
	e.unset++
	e.ids += endCost
}

// from returns the ids from an id on, if they are known.
func (e *streamEnds) from(stream uint64, id StreamID) (ids []StreamID, known bool) {
	s := e.streams[stream]
	if s == nil || !s.set || id.Compare(s.floor) <= 0 {
		return nil, false
	}
	at, _ := slices.BinarySearchFunc(s.ids, id, StreamID.Compare)
	return s.ids[at:], true
}

// put learns from the row of an entry that has been applied.
func (e *streamEnds) put(row []byte) {
	of, s := e.of(row)
	if s == nil {
		return
	}
	id := rowID(row[entryRowLen-rowIDLen:])
	switch n := len(s.ids); {
	case id.Compare(s.floor) <= 0:
		return
	case n > 0 && id.Compare(s.ids[n-1]) <= 0: // ids have begun again below the last, as XSETID can have it
		e.ids -= endCost + n
		delete(e.streams, of)
		return
	case n == endIDsMax:
		s.floor = s.ids[n/2-1]
		s.ids = s.ids[:copy(s.ids, s.ids[n/2:])]
		e.ids -= n / 2
	}
	if e.ids == e.idsMax {
		e.forget()
		return
	}
	s.ids = append(s.ids, id)
	e.ids++
}

// delete learns from the removal of the row of an entry that has been applied.
func (e *streamEnds) delete(row []byte) {
	_, s := e.of(row)
	if s == nil {
		return
	}
	if at, found := slices.BinarySearchFunc(s.ids, rowID(row[entryRowLen-rowIDLen:]), StreamID.Compare); found {
		s.ids = slices.Delete(s.ids, at, at+1)
		e.ids--
	}
}

// of returns whose entry a row would be; nil if that is not followed.
func (e *streamEnds) of(row []byte) (stream uint64, s *streamEnd) {
	if len(e.streams) == 0 || len(row) != entryRowLen || row[3] != kindSub {
		return 0, nil
	}
	stream = be.Uint64(row[4:])
	if s = e.streams[stream]; s == nil || !s.set {
		return 0, nil
	}
	return stream, s
}

// putObject learns from the row of a key that has been applied: of a stream that is to
// be followed, which ids there may be. The rows of its entries come behind it.
func (e *streamEnds) putObject(val []byte) {
	if e.unset == 0 || len(val) == 0 || Type(val[0]&typeMask) != TypeStream {
		return
	}
	var o Object
	if o.decode(val) != nil {
		return
	}
	if s := e.streams[o.id]; s != nil && !s.set {
		s.set, s.floor = true, StreamOf(&o).Last
		e.unset--
	}
}

// followed returns an iterator over the entries of a stream in the state that the
// transaction reads, from one id to another, if they are known. If they are not, those
// are from here on that come.
func followed(s *Stream, prefix []byte, from, to StreamID) (it *endIter, known bool) {
	t := s.o.tx
	if t.Known == nil {
		return nil, false
	}
	ids, known := t.Known.ends.from(s.o.id, from)
	if !known {
		if to == s.Last {
			t.Known.ends.follow(s.o.id)
		}
		return nil, false
	}
	at, found := slices.BinarySearchFunc(ids, to, StreamID.Compare)
	if found {
		at++
	}
	return &endIter{t: t, prefix: prefix, ids: ids[:at], at: -1}, true
}

// endIter walks over entries whose ids are known.
type endIter struct {
	t        *Tx
	prefix   []byte
	ids      []StreamID
	at       int
	row, val []byte
	err      error
}

func (i *endIter) First() bool { return i.to(0) }
func (i *endIter) Last() bool  { return i.to(len(i.ids) - 1) }
func (i *endIter) Next() bool  { return i.to(i.at + 1) }
func (i *endIter) Prev() bool  { return i.to(i.at - 1) }

func (i *endIter) SeekGE(row []byte) bool { return i.to(i.place(row)) }
func (i *endIter) SeekLT(row []byte) bool { return i.to(i.place(row) - 1) }

// place returns which is the first that is not before row.
func (i *endIter) place(row []byte) int {
	at, _ := slices.BinarySearchFunc(i.ids, row, func(id StreamID, row []byte) int {
		i.row = appendRowID(append(i.row[:0], i.prefix...), id)
		return bytes.Compare(i.row, row)
	})
	return at
}

func (i *endIter) to(at int) bool {
	i.at = min(max(at, -1), len(i.ids))
	i.val = nil
	if i.at < 0 || i.at == len(i.ids) {
		return false
	}
	i.row = appendRowID(append(i.row[:0], i.prefix...), i.ids[i.at])
	return true
}

func (i *endIter) Key() []byte { return i.row }

// Value looks the row up. One that is not there can't be read, as no entry is empty; the
// next who asks looks for the stream in the store.
func (i *endIter) Value() []byte {
	if i.val != nil || i.err != nil {
		return i.val
	}
	val, ok, err := i.t.base.Get(i.row, nil)
	if i.err = err; !ok {
		i.t.Known.ends.forget()
		return nil
	}
	i.val = val
	return val
}

func (i *endIter) Close() error { return i.err }
