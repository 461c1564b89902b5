package store

import (
	"cmp"
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

// pieces are those that a shard has. Their rows become runs as they come: what is left to do
// in the end holds others up.
type pieces struct {
	n     int // of them
	sum   xxhash.Digest
	bytes int
	rows  wide   // of all, which nobody sees yet
	fresh int    // bytes of rows that are in no run yet
	begun []byte // of a row that the next piece goes on with
	err   error  // of a row: whoever joins them is told
	most  int    // of fresh, before they become a run; 0: pieceRun
}

const (
	// pieceRun is how many bytes of pieces become a run. To make one of an entry of 16 MiB at
	// once took each node 40 ms, and what grows to hold all of them was copied for as long.
	pieceRun = 1 << 20
	// begunMost is how much room is made at once for a row that is not whole.
	begunMost = 32 << 20
)

func (p *pieces) put(row, val []byte) {
	n, is := isPiece(row)
	if !is {
		return
	}
	if n == 0 {
		p.drop()
	}
	if int(n) != p.n {
		return // what needs it finds out
	}
	p.n, p.bytes = p.n+1, p.bytes+len(val)
	_, _ = p.sum.Write(val)
	p.read(val)
	if p.fresh >= cmp.Or(p.most, pieceRun) {
		p.rows.seal(runLevels)
		p.fresh = 0
	}
}

// read takes in the rows in b, which goes on where the bytes before ended. Rows that are
// whole in it stay there.
func (p *pieces) read(b []byte) {
	b = p.goOn(b)
	for len(b) > 0 && p.err == nil {
		row, val, size, err := nextRow(b)
		switch {
		case err != nil:
			p.err = err
		case size > len(b):
			p.begun = append(make([]byte, 0, min(size, begunMost)), b...)
			return
		default:
			p.take(row, val, size)
			b = b[size:]
		}
	}
}

// goOn takes of b what the row has that was begun before it, and returns what is behind that.
func (p *pieces) goOn(b []byte) (rest []byte) {
	for len(p.begun) > 0 && p.err == nil {
		row, val, size, err := nextRow(p.begun)
		switch more := min(size-len(p.begun), len(b)); {
		case err != nil:
			p.err = err
		case size <= len(p.begun):
			p.begun = nil
			p.take(row, val, size)
		case more == 0:
			return nil
		default:
			p.begun, b = append(p.begun, b[:more]...), b[more:]
		}
	}
	return b
}

func (p *pieces) take(row, val []byte, size int) {
	p.rows.write(row, val, val != nil)
	p.fresh += size
}

func (p *pieces) removed(row []byte) {
	if _, is := isPiece(row); is {
		p.drop()
	}
}

func (p *pieces) drop() {
	*p = pieces{most: p.most}
	p.sum.Reset()
}

// join returns what an entry does whose write set is w.
func (p *pieces) join(w WriteSet) (e Effects, err error) {
	if len(w) == 0 { // raft's own
		return e, nil
	}
	rows, n, sum, err := w.parts()
	if err != nil {
		return e, err
	}
	e = Effects{Time: w.Time(), rows: rows, size: len(w)}
	if n == 0 {
		return e, nil
	}
	if p.n != n || p.sum.Sum64() != sum {
		return e, fmt.Errorf("%w: the %d pieces of a write set are not its %d: %d bytes with hash %x, want %x",
			ErrDamaged, p.n, n, p.bytes, p.sum.Sum64(), sum)
	}
	if e.rows = p.goOn(rows); len(p.begun) > 0 {
		p.err = ErrFormat
	}
	if p.err != nil {
		return e, fmt.Errorf("row of a write set in %d pieces: %w", n, p.err)
	}
	p.rows.seal(runLevels)
	e.before, e.size = p.rows.runs, e.size+p.bytes
	p.drop()
	return e, nil
}

// Effects is what an entry does to the state: it advances the shard time to Time, and writes
// rows.
type Effects struct {
	Time   int64
	before runs   // of pieces, the newest first
	rows   []byte // behind them, as a write set has them
	size   int    // bytes of all
}

// Each calls put or del for every row, those that are written twice in the order in which
// that was done.
func (e *Effects) Each(put func(row, val []byte) error, del func(row []byte) error) error {
	for _, r := range slices.Backward(e.before) {
		if err := r.each(len(r.refs), put, del); err != nil {
			return err
		}
	}
	return eachRow(e.rows, put, del)
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
