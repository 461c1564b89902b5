package store

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"tutti/internal/cluster"
)

// A write set that is too large for one entry comes in pieces: entries before it have each
// brought some of the bytes of its rows, as a row of the shard, and it goes on where they
// end. So what others write goes between them. They are rows, and not something beside the
// state, for snapshots, the scrub and restarts to need to know nothing of them. A shard has
// those of one write set at a time, which removes them.

// PieceRow is the row of piece number n of the write set that comes in pieces. Each is
// written behind the one before, and all are removed together.
func PieceRow(shard cluster.ShardID, n uint32) []byte {
	return be.AppendUint32(localRow(shard, localPiece), n)
}

// isPiece reports whether row is that of a piece, and which.
func isPiece(row []byte) (n uint32, is bool) {
	if len(row) != localRowLen+4 || row[0] != localPrefix || row[localRowLen-1] != localPiece {
		return 0, false
	}
	return be.Uint32(row[localRowLen:]), true
}

// pieces are those that a shard has, put together as they come: what is left to do in the end
// holds others up.
type pieces struct {
	whole WriteSet // their bytes, behind a head without a time
	sum   xxhash.Digest
	n     int
}

// piecesRoom is how much room is kept behind the pieces for the rest of their write set.
const piecesRoom = 256 << 10

func (p *pieces) put(row, val []byte) {
	n, is := isPiece(row)
	if !is {
		return
	}
	if n == 0 {
		p.drop()
		p.whole = append(p.whole, make([]byte, writeSetHead)...)
		p.sum.Reset()
	}
	if int(n) != p.n {
		return // what needs it finds out
	}
	p.n++
	p.whole = append(slices.Grow(p.whole, len(val)+piecesRoom), val...)
	_, _ = p.sum.Write(val)
}

func (p *pieces) removed(row []byte) {
	if _, is := isPiece(row); is {
		p.drop()
	}
}

func (p *pieces) drop() { p.whole, p.n = nil, 0 }

// join returns the whole of a write set that comes in pieces, and any other as it is.
func (p *pieces) join(w WriteSet) (WriteSet, error) {
	n, sum, rest, err := w.joined()
	if n == 0 || err != nil {
		return w, err
	}
	if p.n != n || p.sum.Sum64() != sum {
		return nil, fmt.Errorf("%w: the %d pieces of a write set are not its %d: %d bytes with hash %x, want %x",
			ErrDamaged, p.n, n, len(p.whole), p.sum.Sum64(), sum)
	}
	whole := append(p.whole, rest...)
	p.drop() // that memory belongs to the entry now
	whole[0] = writeSetFormat
	copy(whole[1:], w[1:writeSetHead])
	return whole, nil
}

// Pieces returns how many pieces the shard has.
func (v *View) Pieces() (n int, err error) {
	it, err := v.Iter(localRow(v.Shard, localPiece), localRow(v.Shard, localPiece+1))
	if err != nil {
		return 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	return n, damage(it.Close())
}
