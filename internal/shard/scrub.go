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

// scrub is a replica's part in scrubbing.
type scrub struct {
	cancel func() // ends the hashing that runs here; nil: none does
	done   scrubbed

	// The rest is the leader's.
	due   uint64 // tick of the next mark
	began uint64 // tick of the newest one
	mark  bool   // the next batch writes the scrub row
	from  []byte // with this
	round comparison
}

// scrubbed is the hash of a piece.
type scrubbed struct {
	r     *Replica
	index uint64 // of the entry that asked for it
	hash  uint64
	next  []byte // where the next piece begins; nil: that was the last
	err   error
}

// scrubTick begins the next piece, at the leader.
func (r *Replica) scrubTick() {
	s := &r.scrub
	if !r.leading() || len(r.voters) < 2 || joint(r.conf) || s.mark || r.ticks < s.due {
		return
	}
	if s.round.index != 0 && s.done.index == s.round.index {
		s.from = s.done.next // whether all have told in time or not
	}
	s.mark = true
	r.loop.touch(r)
}

// scrubEvery is the pause between two scrubs in ticks.
func (r *Replica) scrubEvery() uint64 {
	return uint64(r.host.cfg.ScrubEvery / r.host.cfg.Tick)
}

// scrubLead starts anew with a new leader.
func (r *Replica) scrubLead() {
	r.scrub.mark, r.scrub.from, r.scrub.round = false, nil, comparison{}
	r.scrub.due = r.ticks + r.scrubEvery()
}

// scrubMarked notes that the scrub row was proposed at index.
func (r *Replica) scrubMarked(index uint64) {
	s := &r.scrub
	s.mark, s.began = false, r.ticks
	s.due = r.ticks + max(scrubWaitTicks, r.scrubEvery())
	s.round = comparison{index: index, told: make(map[cluster.NodeID]uint64)}
}

// scrubView hashes the piece that the entry just applied asks for.
func (r *Replica) scrubView() {
	r.stopScrub()
	if !r.settled.Load() {
		return
	}
	from, _, err := r.view.Get(store.ScrubRow(r.id), nil)
	if err != nil {
		r.host.fatal(err)
		return
	}
	ctx, cancel := context.WithCancel(r.loop.ctx)
	r.scrub.cancel = cancel
	v, size := r.view.Acquire(), r.host.scrubPiece
	r.loop.wg.Go(func() {
		done := scrubbed{r: r, index: v.Index}
		done.hash, done.next, done.err = hashPiece(v, v.Slots, from, size, scrubPace(ctx))
		v.Release()
		r.loop.post(done)
	})
}

// stopScrub ends the hashing that runs, if one does: its view is in the way, or
// its result of no use.
func (r *Replica) stopScrub() {
	if r.scrub.cancel != nil {
		r.scrub.cancel()
		r.scrub.cancel = nil
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

// scrubDone takes over the result of this replica.
func (r *Replica) scrubDone(done scrubbed) {
	switch {
	case errors.Is(done.err, errStopped):
		return
	case done.err != nil:
		r.host.scrubFailed(fmt.Errorf("scrub of shard %d: %w", r.id, done.err))
		return
	}
	r.scrub.done = done
	if r.leading() {
		r.scrubTold(r.host.cfg.Node, done.index, done.hash)
	} else if lead := r.lead.Load().Node; lead != 0 {
		r.sendHash(lead, kindScrubTell, done.index, done.hash)
	}
}

// scrubTold takes the result of a voter, at the leader. Once all have told, the
// next piece can begin.
func (r *Replica) scrubTold(node cluster.NodeID, index, hash uint64) {
	s := &r.scrub
	if !r.leading() || s.round.index != index || !slices.Contains(r.voters, node) {
		return
	}
	s.round.told[node] = hash
	r.judge(&s.round, kindScrubOdd)
	if len(s.round.told) < len(r.voters) || s.done.index != index {
		return
	}
	s.due = r.ticks
	if s.done.next == nil {
		r.host.cfg.Logger.Debug("scrubbed", slog.Uint64("shard", uint64(r.id)), slog.Uint64("index", index))
		s.due = s.began + r.scrubEvery()
	}
}

// scrubOdd is told that this replica's piece differs from that of the majority.
func (r *Replica) scrubOdd(index, hash uint64) {
	if own := r.scrub.done; own.index == index && own.hash != hash {
		r.host.fatal(fmt.Errorf("shard %d: %w: the rows at entry %d hash to %016x, those of the majority to %016x", r.id, store.ErrDamaged, index, own.hash, hash))
	}
}
