package eval

import (
	"cmp"
	"errors"

	"github.com/cespare/xxhash/v2"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/store"
)

// Large effects. An entry that has many megabytes takes long to be written and sent, and
// whoever comes behind it waits: beside an MSET of 16 MiB small SETs took 208 ms (p99),
// beside four of them 608. So what writes much is evaluated beside the loop like any heavy
// group, and what it writes goes in pieces, each in the entry of a batch of others; the last
// entry, of its own, makes all of it true, see store.PieceRow. Meanwhile what would change
// the keys that it looked at waits, so that it is not in vain.

// piecesFrom is how large effects are that go in pieces, unless the configuration says
// otherwise, and the arguments that make a group heavy without a trial: more than what a
// pipeline of a client has.
const piecesFrom = 2 << 20

// ErrPieces says that the group at the head of the queue was evaluated, and that its effects
// are to go in pieces: see Pieces.Begin.
var ErrPieces = errors.New("effects that go in pieces")

// Pieces are effects that go in pieces: those of one group at a time. They belong to the
// loop.
type Pieces struct {
	cfg  *Config
	p    *Prepared     // whose effects they are; nil: there is none
	n    int           // pieces that are in entries
	sent int           // bytes of its effects, which those are
	sum  xxhash.Digest // of those
	left int           // pieces of one that was given up, which are to be removed
	// What the batch evaluated last does, once it is kept.
	piece   int  // brings one of so many bytes
	removes bool // what is left
	ends    bool // has the rest
}

// Begin has the effects of a group go in pieces that was evaluated, and for which Evaluate
// has returned ErrPieces. The inputs that follow say of how many bytes, until the group is in
// the queue again.
func (s *Pieces) Begin(g *Waiting) {
	s.p = g.Prepared
	s.sum.Reset()
}

// Unsent returns how many bytes of the effects are in no entry yet.
func (s *Pieces) Unsent() int { return len(s.rows()) - s.sent }

// Wants reports whether the effects of a group that was evaluated beside the loop are to go
// in pieces, unless they do already.
func (s *Pieces) Wants(p *Prepared) bool {
	return s.p == nil && s.cfg.inPieces() && p.rows != nil && len(p.rows.set) > s.cfg.piecesFrom() && !p.walked
}

// rows are the bytes that go in pieces.
func (s *Pieces) rows() []byte {
	if s.p == nil {
		return nil
	}
	return s.p.rows.set.Rows()
}

// begin forgets what the batch evaluated last was to do.
func (s *Pieces) begin() { s.piece, s.removes, s.ends = 0, false, false }

// kept makes what the batch evaluated last does count.
func (s *Pieces) kept() {
	if s.removes {
		s.left = 0
	}
	if s.ends {
		s.p, s.n, s.sent = nil, 0, 0
	} else if s.piece > 0 {
		_, _ = s.sum.Write(s.rows()[s.sent : s.sent+s.piece])
		s.n, s.sent = s.n+1, s.sent+s.piece
	}
	s.begin()
}

// dropped takes back what the batch evaluated last was to do.
func (s *Pieces) dropped() {
	if s.ends {
		s.giveUp()
	}
	s.begin()
}

// giveUp has the pieces removed: their group is evaluated again.
func (s *Pieces) giveUp() { s.p, s.n, s.sent, s.left = nil, 0, 0, max(s.n, s.left) }

// next decides what the batch has of pieces, and reports whether that is anything.
func (s *Pieces) next(in Input, b *Batch) bool {
	s.removes = s.left > 0
	s.ends = s.p != nil && b.rows == s.p.rows
	if s.p != nil && !s.ends && !s.removes {
		s.piece = min(in.Piece, s.Unsent())
	}
	return s.removes || s.piece > 0
}

// newSet starts the write set of a batch, with the rest of effects whose pieces have come.
func (s *Pieces) newSet(b *Batch) store.WriteSet {
	if !s.joins() {
		return store.NewWriteSet(b.Time, b.tx.Size()+512)
	}
	w := store.NewJoined(b.Time, s.n, s.sum.Sum64(), s.rows()[s.sent:], 16*s.n+512)
	s.remove(&w, s.n)
	return w
}

// joins reports whether the batch has the rest of effects whose pieces have come.
func (s *Pieces) joins() bool { return s.ends && s.n > 0 }

// add adds what the batch has of pieces.
func (s *Pieces) add(w *store.WriteSet) {
	switch {
	case s.removes:
		s.remove(w, s.left)
	case s.piece > 0:
		w.Put(store.PieceRow(s.cfg.Shard, uint32(s.n)), s.rows()[s.sent:s.sent+s.piece])
	}
}

func (s *Pieces) remove(w *store.WriteSet, n int) {
	for i := range n {
		w.Delete(store.PieceRow(s.cfg.Shard, uint32(i)))
	}
}

func (c *Config) piecesFrom() int { return cmp.Or(c.PiecesFrom, piecesFrom) }

// inPieces reports whether effects may go in pieces: all members know them. The commands of
// meta write little, and nobody who writes could be held back for them.
func (c *Config) inPieces() bool { return c.Shard != cluster.Meta && c.format() >= byte(cluster.V7) }

// bytesMax is how much a group may write in the loop; 0: as much as it will.
func (c *Config) bytesMax(g *Waiting) int {
	if g.stepsMax() != batchStepsMax || !c.inPieces() {
		return 0
	}
	return c.piecesFrom()
}

// obvious reports whether a group is heavy without a trial.
func (c *Config) obvious(g *Waiting) bool {
	if g.last() || g.refused {
		return false
	}
	return manyArgs(g.Group) || g.Size() > c.piecesFrom() && c.bytesMax(g) > 0 && hasCommand(c.Table, g.Group, (*command.Command).Changes) && !changesTasks(c.Table, g.Group)
}
