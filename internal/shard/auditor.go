package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tutti/internal/audit"
	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/store"
)

// auditor is what a replica does to be compared.
type auditor struct {
	r      *Replica
	hashes audit.Hashes
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
		done.hash, done.next, done.err = audit.HashPiece(v, from, size, scrubPace(ctx))
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

// hashed takes over the result of this replica.
func (u *auditor) hashed(done scrubbed) {
	switch {
	case errors.Is(done.err, audit.ErrStopped):
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

func (u *auditor) tell(node cluster.NodeID, kind peer.Kind, index, hash uint64) {
	u.r.host.cfg.Links.Queue(node, peer.Bulk, kind, func(dst []byte) []byte {
		dst = be.AppendUint64(dst, uint64(u.r.id))
		return be.AppendUint64(be.AppendUint64(dst, index), hash)
	})
}

// heard takes a frame of a comparison. A follower that has not come to the
// index yet does not answer; the next comparison finds it.
func (u *auditor) heard(from cluster.NodeID, kind peer.Kind, index, hash uint64) {
	switch kind {
	case kindHashAsk:
		if own, ok := u.hashes.At(index); ok && index <= u.r.machine.applied.Index {
			u.tell(from, kindHashTell, index, own)
		}
	case kindHashTell:
		if u.r.leading() && index == u.r.leader.audits.question.Index && slices.Contains(u.r.members.voters, from) {
			u.r.leader.audits.question.Told[from] = hash
			u.r.leader.audits.judge(&u.r.leader.audits.question, kindDiverged)
		}
	case kindDiverged:
		if own, ok := u.hashes.At(index); ok && own != hash {
			u.r.host.fatal(fmt.Errorf("shard %d: %w: this replica has diverged at entry %d: its state is %016x, that of the majority %016x", u.r.id, store.ErrDamaged, index, own, hash))
		}
	case kindScrubTell:
		if u.r.leading() {
			u.r.leader.audits.told(from, index, hash)
		}
	case kindScrubOdd:
		u.odd(index, hash)
	}
}

// odd is told that this replica's piece differs from that of the majority.
func (u *auditor) odd(index, hash uint64) {
	if own := u.piece; own.index == index && own.hash != hash {
		u.r.host.fatal(fmt.Errorf("shard %d: %w: the rows at entry %d hash to %016x, those of the majority to %016x", u.r.id, store.ErrDamaged, index, own.hash, hash))
	}
}

// hashMsg is a frame of a comparison in the inbox.
type hashMsg struct {
	r           *Replica
	from        cluster.NodeID
	kind        peer.Kind
	index, hash uint64
}
