package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/time/rate"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// The scrub compares what the replicas hold. The leader writes the shard's
// scrub row; every replica takes a view exactly at that entry, hashes a piece of
// its rows beside the loop, and tells the leader, who judges. Piece by piece the
// scrub goes through all rows. So a row that differs is found though nobody
// reads it. Beside that every node compares the checksums of its files: rows
// that come from memory say nothing about the disk.

const (
	// ScrubEveryDefault is how often a scrub of all rows begins, if the one
	// before has ended.
	ScrubEveryDefault = 30 * time.Second
	// scrubPieceDefault is the bytes of rows hashed after one entry. A view is
	// held for about two seconds.
	scrubPieceDefault = 32 << 20
	scrubChunk        = 256 << 10
	// scrubRate bounds the bytes of rows read in a second.
	scrubRate = 16 << 20
	// scrubWaitTicks is how long the leader waits for the others.
	scrubWaitTicks = 333
)

// audits is how a leader has the replicas compared.
type audits struct {
	l        *leadership
	question comparison // of chained hashes

	due   uint64     // tick of the next mark of the scrub
	began uint64     // tick of the newest one
	mark  bool       // the next batch writes the scrub row
	from  []byte     // with this
	round comparison // of the hashes of a piece
}

// auditor is what a replica does to be compared.
type auditor struct {
	r      *Replica
	hashes hashes
	cancel func() // ends the hashing of a piece that runs here; nil: none does
	piece  scrubbed
}

// scrubbed is the hash of a piece.
type scrubbed struct {
	r     *Replica
	index uint64 // of the entry that asked for it
	hash  uint64
	next  []byte // where the next piece begins; nil: that was the last
	err   error
}

// tick begins the next piece, at the leader.
func (u *audits) tick() {
	if len(u.l.r.members.voters) < 2 || joint(u.l.r.members.conf) || u.mark || u.l.r.ticks < u.due {
		return
	}
	if u.round.index != 0 && u.l.r.audit.piece.index == u.round.index {
		u.from = u.l.r.audit.piece.next // whether all have told in time or not
	}
	u.mark = true
	u.l.r.loop.touch(u.l.r)
}

// every is the pause between two scrubs in ticks.
func (u *audits) every() uint64 {
	return uint64(u.l.r.host.cfg.ScrubEvery / u.l.r.host.cfg.Tick)
}

// begin leaves a new leader some time.
func (u *audits) begin() {
	u.due = u.l.r.ticks + u.every()
}

// marked notes that the scrub row was proposed at index.
func (u *audits) marked(index uint64) {
	u.mark, u.began = false, u.l.r.ticks
	u.due = u.l.r.ticks + max(scrubWaitTicks, u.every())
	u.round = comparison{index: index, told: make(map[cluster.NodeID]uint64)}
}

// hash hashes the piece that the entry just applied asks for.
func (u *auditor) hash() {
	u.stop()
	if !u.r.members.settled.Load() {
		return
	}
	from, _, err := u.r.machine.view.Get(store.ScrubRow(u.r.id), nil)
	if err != nil {
		u.r.host.fatal(err)
		return
	}
	ctx, cancel := context.WithCancel(u.r.loop.ctx)
	u.cancel = cancel
	v, size := u.r.machine.view.Acquire(), u.r.host.scrubPiece
	u.r.loop.wg.Go(func() {
		done := scrubbed{r: u.r, index: v.Index}
		done.hash, done.next, done.err = hashPiece(v, v.Slots, from, size, scrubPace(ctx))
		v.Release()
		u.r.loop.post(done)
	})
}

// stop ends the hashing that runs, if one does: its view is in the way, or
// its result of no use.
func (u *auditor) stop() {
	if u.cancel != nil {
		u.cancel()
		u.cancel = nil
	}
}

// errStopped says that a scrub was stopped.
var errStopped = errors.New("stopped")

// hashPiece hashes the rows of a piece, with pauses for everybody else.
func hashPiece(v *store.View, slots cluster.SlotRange, from []byte, size int, pause func(bytes int) bool) (hash uint64, next []byte, err error) {
	var d xxhash.Digest
	d.Reset()
	var head [2 * binary.MaxVarintLen64]byte
	next, err = v.Piece(slots, from, size, func(row, val []byte) error {
		h := binary.AppendUvarint(head[:0], uint64(len(row)))
		_, _ = d.Write(binary.AppendUvarint(h, uint64(len(val))))
		_, _ = d.Write(row)
		_, _ = d.Write(val)
		if !pause(len(row) + len(val)) {
			return errStopped
		}
		return nil
	})
	return d.Sum64(), next, err
}

// scrubPace returns a function that is told of bytes read and waits now and then,
// so that they are scrubRate in a second. It says false once ctx has ended.
func scrubPace(ctx context.Context) func(bytes int) bool {
	limit, n := rate.NewLimiter(scrubRate, scrubChunk), 0
	return func(bytes int) bool {
		for n += bytes; n >= scrubChunk; n -= scrubChunk {
			if limit.WaitN(ctx, scrubChunk) != nil {
				return false
			}
		}
		return true
	}
}

// verifyTables compares the checksums of the node's files, again and again.
func (h *Host) verifyTables(ctx context.Context) {
	t := time.NewTicker(h.cfg.ScrubEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		pause := scrubPace(ctx)
		if err := errors.Join(h.cfg.State.VerifyTables(pause), h.cfg.Log.VerifyTables(pause)); err != nil {
			h.scrubFailed(err)
		}
	}
}

// scrubFailed takes what a scrub met. A disk that does not answer is for those to
// deal with who need what they read.
func (h *Host) scrubFailed(err error) {
	if errors.Is(err, store.ErrDamaged) {
		h.fatal(err)
		return
	}
	h.cfg.Logger.Error("scrub", slog.Any("error", err))
}

// hashed takes over the result of this replica.
func (u *auditor) hashed(done scrubbed) {
	switch {
	case errors.Is(done.err, errStopped):
		return
	case done.err != nil:
		u.r.host.scrubFailed(fmt.Errorf("scrub of shard %d: %w", u.r.id, done.err))
		return
	}
	u.piece = done
	if u.r.leading() {
		u.r.leader.audits.told(u.r.host.cfg.Node, done.index, done.hash)
	} else if lead := u.r.lead.Load().Node; lead != 0 {
		u.tell(lead, kindScrubTell, done.index, done.hash)
	}
}

// told takes the result of a voter, at the leader. Once all have told, the
// next piece can begin.
func (u *audits) told(node cluster.NodeID, index, hash uint64) {
	if u.round.index != index || !slices.Contains(u.l.r.members.voters, node) {
		return
	}
	u.round.told[node] = hash
	u.judge(&u.round, kindScrubOdd)
	if len(u.round.told) < len(u.l.r.members.voters) || u.l.r.audit.piece.index != index {
		return
	}
	u.due = u.l.r.ticks
	if u.l.r.audit.piece.next == nil {
		u.l.r.host.cfg.Logger.Debug("scrubbed", slog.Uint64("shard", uint64(u.l.r.id)), slog.Uint64("index", index))
		u.due = u.began + u.every()
	}
}

// odd is told that this replica's piece differs from that of the majority.
func (u *auditor) odd(index, hash uint64) {
	if own := u.piece; own.index == index && own.hash != hash {
		u.r.host.fatal(fmt.Errorf("shard %d: %w: the rows at entry %d hash to %016x, those of the majority to %016x", u.r.id, store.ErrDamaged, index, own.hash, hash))
	}
}
