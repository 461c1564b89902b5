package store

import (
	"fmt"

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

// pieces are those that a shard has. They lie in the entries that brought them.
type pieces struct {
	list [][]byte
	size int
}

func (p *pieces) put(row, val []byte) {
	n, is := isPiece(row)
	switch {
	case !is:
		return
	case n == 0:
		*p = pieces{}
	}
	if int(n) == len(p.list) {
		p.list = append(p.list, val)
		p.size += len(val)
	}
}

func (p *pieces) removed(row []byte) {
	if _, is := isPiece(row); is {
		*p = pieces{}
	}
}

// join returns the whole of a write set that comes in pieces, and any other as it is.
func (p *pieces) join(w WriteSet) (WriteSet, error) {
	n, sum, rest, err := w.joined()
	if n == 0 || err != nil {
		return w, err
	}
	if len(p.list) < n {
		return nil, fmt.Errorf("%w: of %d pieces of a write set there are %d", ErrDamaged, n, len(p.list))
	}
	whole := make(WriteSet, 0, writeSetHead+p.size+len(rest))
	whole = append(append(whole, writeSetFormat), w[1:writeSetHead]...)
	for _, piece := range p.list[:n] {
		whole = append(whole, piece...)
	}
	if xxhash.Sum64(whole.Rows()) != sum {
		return nil, fmt.Errorf("%w: the %d pieces of a write set, %d bytes, are not what they were", ErrDamaged, n, len(whole.Rows()))
	}
	return append(whole, rest...), nil
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
