package shard

import (
	"fmt"
	"log/slog"

	"tutti/internal/peer"
)

// Replicas compare what they have applied. Every applied entry is chained into
// a hash; now and then the leader asks the others for theirs at its newest
// index. Whoever differs from a majority has a defective memory, disk or
// program and stops; without a majority nobody can say who is right, and the
// leader reports it and goes on.

// hashTicks is how often the leader asks: about every ten seconds.
const hashTicks = 333

// hashRing is how many entries a replica remembers the hashes of.
const hashRing = 4096

type hashes struct {
	ring [hashRing]struct{ index, hash uint64 }
	// asked is the index that the leader asked about; 0: nothing.
	asked uint64
	told  map[uint64]uint64 // node -> hash
}

func (h *hashes) note(index, hash uint64) {
	e := &h.ring[index%hashRing]
	e.index, e.hash = index, hash
}

func (h *hashes) at(index uint64) (hash uint64, ok bool) {
	e := h.ring[index%hashRing]
	return e.hash, e.index == index && index != 0
}

// compareHashes starts a comparison, at the leader.
func (r *Replica) compareHashes() {
	if !r.leading() || r.ticks%hashTicks != 0 {
		return
	}
	hash, ok := r.hashes.at(r.applied.Index)
	if !ok {
		return
	}
	r.hashes.asked = r.applied.Index
	r.hashes.told = map[uint64]uint64{r.host.cfg.Node: hash}
	for _, node := range r.conf.GetVoters() {
		if node != r.host.cfg.Node {
			r.sendHash(node, kindHashAsk, r.hashes.asked, 0)
		}
	}
}

func (r *Replica) sendHash(node uint64, kind peer.Kind, index, hash uint64) {
	r.host.cfg.Links.Queue(node, peer.Bulk, kind, func(dst []byte) []byte {
		dst = be.AppendUint64(dst, r.id)
		return be.AppendUint64(be.AppendUint64(dst, index), hash)
	})
}

// hashFrame takes a frame of a comparison. A follower that has not come to the
// index yet does not answer; the next comparison finds it.
func (r *Replica) hashFrame(from uint64, kind peer.Kind, index, hash uint64) {
	switch kind {
	case kindHashAsk:
		if own, ok := r.hashes.at(index); ok && index <= r.applied.Index {
			r.sendHash(from, kindHashTell, index, own)
		}
	case kindHashTell:
		if r.leading() && index == r.hashes.asked {
			r.hashes.told[from] = hash
			r.judge(index)
		}
	case kindDiverged:
		if own, ok := r.hashes.at(index); ok && own != hash {
			r.host.fatal(fmt.Errorf("shard %d: this replica has diverged at entry %d: its state is %016x, that of the majority %016x", r.id, index, own, hash))
		}
	}
}

// judge decides once a majority agrees.
func (r *Replica) judge(index uint64) {
	votes := make(map[uint64]int)
	for _, hash := range r.hashes.told {
		votes[hash]++
	}
	if len(votes) < 2 {
		return
	}
	voters := len(r.conf.GetVoters())
	for hash, n := range votes {
		if n <= voters/2 {
			continue
		}
		for node, own := range r.hashes.told {
			if own == hash {
				continue
			}
			r.host.cfg.Logger.Error("a replica has diverged", slog.Uint64("shard", r.id), slog.Uint64("node", node), slog.Uint64("index", index))
			if node == r.host.cfg.Node {
				r.hashFrame(node, kindDiverged, index, hash)
			} else {
				r.sendHash(node, kindDiverged, index, hash)
			}
		}
		return
	}
	r.host.cfg.Logger.Error("replicas differ and no majority agrees", slog.Uint64("shard", r.id), slog.Uint64("index", index), slog.Int("states", len(votes)))
}

// hashMsg is a frame of a comparison in the inbox.
type hashMsg struct {
	r           *Replica
	from        uint64
	kind        peer.Kind
	index, hash uint64
}
