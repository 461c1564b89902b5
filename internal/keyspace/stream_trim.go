package keyspace

import "slices"

// StreamTrim says which entries of a stream are to go, from the first on.
type StreamTrim struct {
	// MinID, if ByID is set: those of lower ids. Else those that are more than Keep.
	ByID  bool
	MinID StreamID
	Keep  uint64
	// Roughly allows to keep some more, so that not each new entry costs a removal.
	Roughly bool
	// Limit is how many may go at once, if Roughly is set; 0: all.
	Limit uint64
}

// trimBlock is how many entries go together where some more may be kept. Redis has
// so many in a block by default, and frees whole ones.
const trimBlock = 100

// Trim removes entries and returns how many. Of a long stream it walks over the rows of
// the blocks that go and a part of one, of another over what it removes, or what it leaves
// if that is less; many rows become garbage.
func (s *Stream) Trim(how StreamTrim) (removed uint64) {
	n := s.o.count
	if how.ByID {
		n = s.countBefore(how)
	} else {
		n -= min(n, how.Keep)
	}
	if how.Roughly {
		if how.Limit > 0 && n > how.Limit {
			n = how.Limit
		}
		if n != s.o.count {
			n = s.wholeBlocks(n)
		}
	}
	if n == 0 {
		return 0
	}
	s.trimFirst(n)
	return n
}

// wholeBlocks is how many of the first n entries are whole blocks. Blocks are counted
// from the first entry that ever was, as if none had been deleted.
func (s *Stream) wholeBlocks(n uint64) uint64 {
	first := trimBlock - (s.Added-min(s.Added, s.o.count))%trimBlock
	if n < first {
		return 0
	}
	return n - (n-first)%trimBlock
}

// countBefore counts the entries before MinID, no further than needed.
func (s *Stream) countBefore(how StreamTrim) uint64 {
	end, ok := how.MinID.Prev()
	if !ok {
		return 0
	}
	if end.Compare(s.Last) >= 0 {
		return s.o.count
	}
	if !how.Roughly {
		return countTo(s, end, 0)
	}
	return countTo(s, end, how.Limit)
}

// trimFirst removes the first n entries.
func (s *Stream) trimFirst(n uint64) {
	o := s.o
	left := o.count - n
	if n <= trashMin {
		s.trimFew(n)
		return
	}
	through, next := s.Last, StreamID{}
	if left > 0 {
		through, next = cutAt(s, n)
	}
	countOutFirst(s, n)
	if o.tx.err != nil {
		return
	}
	o.tx.Put(trashRow(nil, o.slot, newID(o.tx)), appendRowID(be.AppendUint64(streamTrash(nil, trashTrimmed), o.id), through))
	o.count, s.First = left, next
}

func (s *Stream) trimFew(n uint64) {
	ids := make([]StreamID, 0, n+1)
	s.eachRow(s.First, s.Last, false, func(id StreamID, _ Iterator) bool {
		ids = append(ids, id)
		return uint64(len(ids)) <= n
	})
	o := s.o
	if uint64(len(ids)) < min(n+1, o.count) {
		return // the Reader failed, or a row is missing
	}
	for _, id := range ids[:n] {
		o.tx.buf = s.entryRow(o.tx.buf[:0], id)
		o.tx.Delete(o.tx.buf)
	}
	countOutFirst(s, n)
	o.count -= n
	if o.count > 0 {
		s.First = ids[n]
	}
}

// What garbage of a stream is.
const (
	trashWhole   = 0 // all rows of a stream, or of a group
	trashTrimmed = 1 // its first entries; id:8 of the stream and the id of the last of them follow
)

// streamTrash appends what the value of garbage of a stream begins with.
func streamTrash(dst []byte, what byte) []byte {
	return append(dst, byte(TypeStream), formatStream, what)
}

// streamTrashLen is the length of streamTrash.
const streamTrashLen = 3

// purgeStream deletes up to limit rows of garbage of a stream, whose mark has the value
// val, and reports whether there may be more. Of what is malformed nobody knows what
// it was.
func purgeStream(t *Tx, slot uint16, id uint64, val []byte, limit int) (more bool) {
	switch rest := val[streamTrashLen:]; {
	case val[2] == trashWhole:
		n := 0
		for _, prefix := range [][]byte{subPrefix(nil, slot, id), scorePrefix(nil, slot, id), namePrefix(nil, slot, id)} {
			if n += t.deletePrefix(prefix, limit-n); n == limit {
				return true
			}
		}
	case val[2] == trashTrimmed && len(rest) == 8+rowIDLen:
		lower := subPrefix(nil, slot, be.Uint64(rest))
		upper := append(append(slices.Clone(lower), rest[8:]...), 0)
		return deleteRange(t, lower, upper, limit) == limit
	}
	return false
}
