package keyspace

import "encoding/binary"

// A long stream counts its entries by blocks, so that whoever trims it finds where to end
// without walking over what goes. A block is a row under the id with which it ended when it
// was closed, and says how many entries are left from behind the block before up to there.
// What was added behind the last block is the tail; its length is in the object row. Ids
// only grow, so that an entry costs a row more only once in blockEntries. Who deletes one
// counts it out of its block.
//
// A stream that has become long, or was so before all members knew blocks, begins with one
// block of all that it has.
//
// Invariant: the counts of all blocks and the tail make the number of entries, and no
// block has none. So a stream without entries has no blocks.

const (
	// formatBlocks is the format of streams that have blocks.
	formatBlocks = 5
	// blockEntries is how many entries a block has when it is closed. Trimming walks over
	// half of it at most, and over the rows of the blocks that go.
	blockEntries = 2048
	// blocksMin is how many entries a stream has that begins to have blocks. Below it
	// nothing changes: a walk takes about 2 ms there.
	blocksMin = 4 * blockEntries
)

// mayBlock reports whether all members know blocks, so that they may be made.
func mayBlock(t *Tx) bool { return t.Format == 0 || t.Format >= formatBlocks }

// streamFormat is the format of the tail of a stream's object row: with blocks it has one
// number more.
func streamFormat(tail []byte) byte {
	n := 0
	for _, b := range tail {
		if b < 0x80 {
			n++
		}
	}
	if n > streamNumbers {
		return formatBlocks
	}
	return formatStream
}

// streamNumbers is how many numbers the tail of an object row has without blocks.
const streamNumbers = 8

// streamBlock is a block that was closed.
type streamBlock struct {
	end StreamID
	n   uint64 // entries
}

func streamBlockRow(s *Stream, dst []byte, end StreamID) []byte {
	return appendRowID(scorePrefix(dst, s.o.slot, s.o.id), end)
}

func putBlock(s *Stream, b streamBlock) {
	t := s.o.tx
	t.buf = streamBlockRow(s, t.buf[:0], b.end)
	t.val = binary.AppendUvarint(t.val[:0], b.n)
	t.Put(t.buf, t.val)
}

func deleteBlock(s *Stream, b streamBlock) {
	t := s.o.tx
	t.buf = streamBlockRow(s, t.buf[:0], b.end)
	t.Delete(t.buf)
}

// eachBlock calls f for the blocks that end at an id or behind it, until it returns false.
// f must not change them.
func eachBlock(s *Stream, from StreamID, f func(b streamBlock) bool) {
	if !s.blocks {
		return
	}
	rows := rowsOfIDs(s.o.tx, scorePrefix(nil, s.o.slot, s.o.id), from, StreamIDMax())
	eachID(rows, s.o, false, func(end StreamID, row Iterator) bool {
		v := values{b: row.Value()}
		b := streamBlock{end, v.uint()}
		if !v.whole() || b.n == 0 || b.n > s.o.count {
			return s.o.damaged("block of %d entries, in a stream of %d", b.n, s.o.count)
		}
		return f(b)
	})
}

// countIn counts an entry that was added behind all others.
func countIn(s *Stream, id StreamID) {
	if !s.blocks {
		return
	}
	if s.tail++; s.tail >= blockEntries {
		putBlock(s, streamBlock{id, s.tail})
		s.tail = 0
	}
}

// countOut takes an entry that is deleted out of its block.
func countOut(s *Stream, id StreamID) {
	if !s.blocks {
		return
	}
	var of streamBlock
	eachBlock(s, id, func(b streamBlock) bool {
		of = b
		return false
	})
	switch {
	case of.n > 1:
		putBlock(s, streamBlock{of.end, of.n - 1})
	case of.n == 1:
		deleteBlock(s, of)
	case s.tail > 0:
		s.tail--
	case s.o.tx.err == nil:
		s.o.damaged("stream of %d entries, one of which is in no block", s.o.count)
	}
}

// countOutFirst takes the first n entries out of their blocks.
func countOutFirst(s *Stream, n uint64) {
	if !s.blocks {
		return
	}
	var gone []streamBlock
	var cut streamBlock
	eachBlock(s, s.First, func(b streamBlock) bool {
		if b.n > n {
			cut, n = streamBlock{b.end, b.n - n}, 0
			return false
		}
		gone = append(gone, b)
		n -= b.n
		return true
	})
	if n > s.tail {
		if s.o.tx.err == nil {
			s.o.damaged("stream of %d entries, %d of which are in no block", s.o.count, n-s.tail)
		}
		return
	}
	s.tail -= n
	for _, b := range gone {
		deleteBlock(s, b)
	}
	if cut.n > 0 {
		putBlock(s, cut)
	}
}

// beginBlocks makes one block of all entries, once they are many.
func beginBlocks(s *Stream) {
	if s.blocks || s.o.count < blocksMin || !mayBlock(s.o.tx) {
		return
	}
	s.blocks, s.tail = true, 0
	putBlock(s, streamBlock{s.Last, s.o.count})
}

// endBlocksAt has no block end behind an id, which no entry has that is higher: what comes
// next may have an id in between, and is in no block.
func endBlocksAt(s *Stream, id StreamID) {
	from, ok := id.Next()
	if !ok {
		return
	}
	var last streamBlock
	eachBlock(s, from, func(b streamBlock) bool {
		last = b
		return false
	})
	if last.n > 0 {
		deleteBlock(s, last)
		putBlock(s, streamBlock{id, last.n})
	}
}

// part is n entries of a stream that lie side by side, with from <= id <= to.
type part struct {
	from, to StreamID
	n        uint64
}

// partOf returns the block, or the tail, with the entry behind the first n, of which there
// are more, and how many entries lie before it.
func partOf(s *Stream, n uint64) (of part, before uint64) {
	of = part{s.First, s.Last, s.o.count}
	if !s.blocks {
		return of, 0
	}
	found := false
	eachBlock(s, s.First, func(b streamBlock) bool {
		of.to, of.n = b.end, b.n
		if found = n-before < b.n; found {
			return false
		}
		before += b.n
		of.from, _ = b.end.Next()
		return true
	})
	if !found {
		if of.to, of.n = s.Last, s.tail; before+s.tail != s.o.count {
			s.o.damaged("stream of %d entries, %d of which are in blocks", s.o.count, before+s.tail)
		}
	}
	return of, before
}

// cutAt returns the id of the entry behind the first n, of which there are more, and one
// behind which it is the first.
func cutAt(s *Stream, n uint64) (last, next StreamID) {
	of, before := partOf(s, n)
	if s.o.tx.err != nil {
		return last, next
	}
	n -= before
	last, _ = of.from.Prev()
	walk, back := n+1, n > of.n/2
	if back {
		walk = of.n - n + 1
	}
	i := uint64(0)
	s.eachRow(of.from, of.to, back, func(id StreamID, _ Iterator) bool {
		switch {
		case back:
			last, next = id, last
		case i == n:
			next = id
		default:
			last = id
		}
		i++
		return i < walk
	})
	if i < walk && s.o.tx.err == nil {
		s.o.damaged("stream of %d entries, of which %d of %d were found", s.o.count, i, walk)
	}
	return last, next
}

// countTo returns how many entries have an id up to end; with a limit no more are counted
// than that, and those of one block.
func countTo(s *Stream, end StreamID, limit uint64) (n uint64) {
	from, more := s.First, true
	eachBlock(s, s.First, func(b streamBlock) bool {
		if b.end.Compare(end) > 0 {
			return false
		}
		n += b.n
		from, more = b.end.Next()
		more = more && (limit == 0 || n < limit)
		return more
	})
	if more {
		s.eachRow(from, end, false, func(StreamID, Iterator) bool {
			n++
			return limit == 0 || n < limit
		})
	}
	return n
}
