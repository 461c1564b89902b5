package keyspace

import (
	"encoding/binary"
	"math"
	"slices"
)

// A stream is its object row and rows of its entries, its groups, their consumers and
// what these have not acknowledged; none of them grows with the number of the others.
// The object row has where the first entry is: consumers and trimming take from that
// end and leave tombstones there. It is written with every change, of groups too: the
// version of a key says whether anything of it has changed.
//
// Ids of entries only grow, so that an entry is one row more at the end, and what is
// trimmed is what lies before the first: many rows at once become garbage. A long one
// has rows that count its entries by blocks as well.

// Stream is the value of a key of type stream, opened in one transaction. Changes
// reach the transaction with Save.
type Stream struct {
	o *Object
	// First is the id of the first entry; 0-0 if there is none.
	First StreamID
	// Last is the highest id that was ever given to an entry, or what XSETID said.
	// Invariant: no entry has a higher one.
	Last StreamID
	// MaxDeleted is the highest id of an entry that was deleted, not trimmed.
	MaxDeleted StreamID
	// Added counts the entries that were ever added.
	Added uint64

	groups   uint64
	blocks   bool     // it counts its entries by blocks
	tail     uint64   // how many are behind the last of them
	firstOut bool     // the first entry was deleted; Save looks for the next
	stirred  bool     // who waits for something of the stream is to look
	open     []*Group // with changes that Save writes
}

// formatStream is the format from which on there are streams.
const formatStream = 2

// MayStream reports whether all members know streams, so that one may be made.
func MayStream(t *Tx) bool { return t.Format == 0 || t.Format >= formatStream }

// NewStream returns a stream without entries for an absent key. It exists once it is
// saved.
func NewStream(t *Tx, db uint8, key []byte) *Stream {
	o := t.New(db, key, TypeStream)
	o.rowed, o.id = true, newID(t)
	return &Stream{o: o}
}

// StreamOf returns what an object of type stream holds.
func StreamOf(o *Object) *Stream {
	s := &Stream{o: o}
	s.decode(o.val)
	return s
}

// Object returns the object of the stream.
func (s *Stream) Object() *Object { return s.o }

// Len returns the number of entries.
func (s *Stream) Len() uint64 { return s.o.count }

// Groups returns the number of groups.
func (s *Stream) Groups() uint64 { return s.groups }

// decodeStream reads the body of the object row of a stream, of that format.
func decodeStream(o *Object, format byte, body []byte) *RowError {
	o.rowed = true
	v := values{b: body}
	o.id, o.count = v.fixed(), v.uint()
	if !v.bad && o.count <= math.MaxInt64 {
		o.val = v.b
		s := Stream{o: o}
		if s.decode(o.val) && streamFormat(o.val) == format {
			return nil
		}
	}
	return malformed(o.Key, "stream of %d bytes", len(body))
}

func (s *Stream) decode(tail []byte) bool {
	v := values{b: tail}
	s.groups, s.Added, s.First, s.Last, s.MaxDeleted = v.uint(), v.uint(), v.id(), v.id(), v.id()
	if s.blocks = len(v.b) > 0; s.blocks {
		s.tail = v.uint()
	}
	return v.whole() && s.tail <= s.o.count && (!s.blocks || s.o.count > 0) && s.First.Compare(s.Last) <= 0 && (s.o.count > 0 || s.First == StreamID{})
}

func (s *Stream) encode() []byte {
	b := binary.AppendUvarint(make([]byte, 0, 48), s.groups)
	b = binary.AppendUvarint(b, s.Added)
	b = appendID(appendID(appendID(b, s.First), s.Last), s.MaxDeleted)
	if s.blocks {
		b = binary.AppendUvarint(b, s.tail)
	}
	return b
}

// Save writes what has changed to the transaction. A stream without entries stays.
func (s *Stream) Save() {
	if s.firstOut {
		s.findFirst()
	}
	if s.o.count == 0 {
		s.First, s.blocks, s.tail = StreamID{}, false, 0
	}
	beginBlocks(s)
	for _, g := range s.open {
		g.save()
	}
	s.o.val = s.encode()
	write(s.o)
	if s.stirred {
		signalKey(s.o)
		s.stirred = false
	}
}

// Stir tells those who wait for something of the stream, at the next Save.
func (s *Stream) Stir() { s.stirred = true }

func (s *Stream) entryRow(dst []byte, id StreamID) []byte {
	return appendRowID(subPrefix(dst, s.o.slot, s.o.id), id)
}

// An entry is count:uvarint { len:uvarint bytes }*count, fields and values by turns.
func encodeEntry(dst []byte, fields [][]byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(fields)))
	for _, f := range fields {
		dst = appendBytes(dst, f)
	}
	return dst
}

// decodeEntry appends the fields and values of an entry to dst.
func decodeEntry(dst [][]byte, val []byte) (fields [][]byte, ok bool) {
	v := values{b: val}
	n := v.uint()
	if n%2 != 0 || n == 0 || n > uint64(len(v.b)) {
		return dst, false
	}
	for range n {
		dst = append(dst, v.bytes())
	}
	return dst, v.whole()
}

// Append adds an entry, fields and values by turns. Its id is higher than Last.
func (s *Stream) Append(id StreamID, fields [][]byte) {
	o := s.o
	o.tx.buf = s.entryRow(o.tx.buf[:0], id)
	o.tx.val = encodeEntry(o.tx.val[:0], fields)
	o.tx.Put(o.tx.buf, o.tx.val)
	if o.count == 0 {
		s.First, s.firstOut = id, false
	}
	o.count++
	s.Added++
	s.Last, s.stirred = id, true
	countIn(s, id)
}

// Has reports whether there is an entry of that id.
func (s *Stream) Has(id StreamID) bool {
	_, ok := s.Entry(id)
	return ok
}

// Entry returns the fields and values of an entry, by turns.
func (s *Stream) Entry(id StreamID) (fields [][]byte, ok bool) {
	if !s.within(id) {
		return nil, false
	}
	o := s.o
	o.tx.buf = s.entryRow(o.tx.buf[:0], id)
	val, ok := o.tx.Get(o.tx.buf, nil)
	if !ok {
		return nil, false
	}
	if fields, ok = decodeEntry(nil, val); !ok {
		return nil, o.damaged("entry of a stream of %d bytes", len(val))
	}
	return fields, true
}

// within reports whether an id lies between the first and the last. Rows before the
// first may be there still: they are garbage.
func (s *Stream) within(id StreamID) bool {
	return s.o.count > 0 && id.Compare(s.First) >= 0 && id.Compare(s.Last) <= 0
}

// Delete removes an entry and reports whether it was there.
func (s *Stream) Delete(id StreamID) bool {
	if !s.Has(id) {
		return false
	}
	o := s.o
	o.tx.buf = s.entryRow(o.tx.buf[:0], id)
	o.tx.Delete(o.tx.buf)
	countOut(s, id)
	o.count--
	s.firstOut = s.firstOut || id == s.First
	if id.Compare(s.MaxDeleted) > 0 {
		s.MaxDeleted = id
	}
	return true
}

func (s *Stream) findFirst() {
	s.firstOut = false
	if s.o.count == 0 {
		return
	}
	found := false
	s.Each(s.First, s.Last, false, func(id StreamID, _ [][]byte) bool {
		s.First, found = id, true
		return false
	})
	if !found {
		s.o.damaged("stream of %d entries without a first", s.o.count)
	}
}

// Each calls f for the entries with from <= id <= to, or with reverse from the last of
// them on, until it returns false. The slices are valid during the call only; f must
// not change entries.
func (s *Stream) Each(from, to StreamID, reverse bool, f func(id StreamID, fields [][]byte) bool) {
	if !reverse && to.Compare(s.Last) >= 0 && from.Compare(s.Last) <= 0 && s.o.count > 0 {
		readAhead(s, laterID(from, s.First))
	}
	var fields [][]byte
	s.eachRow(from, to, reverse, func(id StreamID, row Iterator) bool {
		var ok bool
		val := row.Value()
		if fields, ok = decodeEntry(fields[:0], val); !ok {
			return s.o.damaged("entry of a stream of %d bytes", len(val))
		}
		return f(id, fields)
	})
}

// eachRow is Each for whole rows: whoever does not ask for values spares looking for them.
func (s *Stream) eachRow(from, to StreamID, reverse bool, f func(id StreamID, row Iterator) bool) {
	all := from.Compare(s.First) <= 0 && to.Compare(s.Last) >= 0
	from = laterID(from, s.First)
	if to.Compare(s.Last) > 0 {
		to = s.Last
	}
	if s.o.count == 0 || from.Compare(to) > 0 {
		return
	}
	n := eachID(entryRows(s, from, to, reverse), s.o, reverse, f)
	if all && n >= 0 && uint64(n) != s.o.count {
		s.o.damaged("stream of %d entries, where %d are due", n, s.o.count)
	}
}

// entryRows returns the entries with from <= id <= to, for a walk in one direction.
func entryRows(s *Stream, from, to StreamID, reverse bool) rowsByID {
	prefix := subPrefix(nil, s.o.slot, s.o.id)
	if !reverse {
		if it, known := remembered(s, prefix, from, to); known {
			return rowsByID{overlay(s.o.tx, it, it.lower, it.upper), len(prefix)}
		}
	}
	return rowsOfIDs(s.o.tx, prefix, from, to)
}

// rowsByID walks over rows whose keys are a prefix and an id.
type rowsByID struct {
	Iterator
	prefixLen int
}

// rowsOfIDs returns the rows prefix id with from <= id <= to.
func rowsOfIDs(t *Tx, prefix []byte, from, to StreamID) rowsByID {
	lower, upper := idRange(prefix, from, to)
	return rowsByID{t.Iter(lower, upper), len(prefix)}
}

func idRange(prefix []byte, from, to StreamID) (lower, upper []byte) {
	prefix = slices.Clip(prefix)
	return appendRowID(prefix, from), append(appendRowID(prefix, to), 0)
}

// eachID calls f for rows of o, and returns how many there are, negative if f did not
// want to see all.
func eachID(it rowsByID, o *Object, reverse bool, f func(id StreamID, row Iterator) bool) (n int) {
	defer it.Close()
	for ok := firstRow(it, reverse); ok; ok = nextRow(it, reverse) {
		n++
		k := it.Key()[it.prefixLen:]
		if len(k) != rowIDLen {
			o.damaged("row of a stream with an id of %d bytes", len(k))
			return -1
		}
		if !f(rowID(k), it) {
			return -1
		}
	}
	if o.tx.err != nil {
		return -1
	}
	return n
}

// SetLast changes Last, which may become lower if there are no entries. Garbage may
// have ids of new ones then, so the entries get a new object id.
func (s *Stream) SetLast(id StreamID) {
	if s.o.count == 0 && !s.o.fresh && id.Compare(s.Last) < 0 {
		s.renumber()
	}
	if id.Compare(s.Last) < 0 {
		endBlocksAt(s, id)
	}
	s.Last = id
}

func (s *Stream) renumber() {
	o := s.o
	old := namePrefix(nil, o.slot, o.id)
	o.id = newID(o.tx)
	o.tx.copyPrefix(old, namePrefix(nil, o.slot, o.id))
	o.tx.deletePrefix(old, -1)
}

// dropStream removes all rows of a stream but its own, or makes them garbage.
func dropStream(o *Object) {
	signalKey(o) // who waits for a group of it is to be told
	s := StreamOf(o)
	if s.groups > 0 {
		s.EachGroup(func(g *Group) bool {
			g.drop()
			return o.tx.err == nil
		})
	}
	if o.count+s.groups > trashMin {
		o.tx.Put(trashRow(nil, o.slot, o.id), streamTrash(nil, trashWhole))
		return
	}
	o.tx.deletePrefix(namePrefix(nil, o.slot, o.id), -1)
	if o.count == 0 {
		return
	}
	var rows [][]byte
	s.eachRow(s.First, s.Last, false, func(id StreamID, _ Iterator) bool {
		rows = append(rows, s.entryRow(nil, id))
		return true
	})
	for _, r := range rows {
		o.tx.Delete(r)
	}
	countOutFirst(s, o.count)
}

// copyStream writes the rows of a copy of the stream, whose object has its key already.
func copyStream(s *Stream, c *Object) {
	c.id = newID(c.tx)
	to := &Stream{o: c}
	rows := copying{tx: c.tx}
	s.eachRow(s.First, s.Last, false, func(id StreamID, row Iterator) bool {
		return rows.add(to.entryRow(nil, id), row.Value()) && (len(rows.ops)%shiftChunk != 0 || c.tx.err == nil)
	})
	rows.put()
	if s.blocks && rows.fits() {
		c.tx.copyPrefix(scorePrefix(nil, s.o.slot, s.o.id), scorePrefix(nil, c.slot, c.id))
	}
	if s.groups > 0 && rows.fits() {
		s.EachGroup(func(g *Group) bool {
			g.copyTo(to)
			return c.tx.Written() <= WriteSetMax
		})
	}
}
