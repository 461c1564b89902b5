package shard

import (
	"fmt"
	"log/slog"
	"slices"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/store"
)

// Replicas compare what they have applied. Every applied entry is chained into
// a hash; now and then the leader asks the others for theirs at its newest
// index. Whoever differs from a majority has a defective memory, disk or
// program: its node stops and is rebuilt from the others. If all have told and
// no majority agrees, nobody can say who is right, and the leader stops and
// reports it.

// hashTicks is how often the leader asks: about every ten seconds.
const hashTicks = 333

// hashRing is how many entries a replica remembers the hashes of.
const hashRing = 4096

type hashes struct {
	ring [hashRing]struct{ index, hash uint64 }
}

// comparison is what a leader asked the voters about, and what they told.
type comparison struct {
	index uint64                    // 0: nothing
	told  map[cluster.NodeID]uint64 // node -> hash
}

// odd returns the nodes that differ from a majority of the voters. tie says that
// all have told and there is no majority.
func (c *comparison) odd(voters int) (nodes []cluster.NodeID, majority uint64, tie bool) {
	votes := make(map[uint64]int)
	most := 0
	for _, hash := range c.told {
		if votes[hash]++; votes[hash] > most {
			most, majority = votes[hash], hash
		}
	}
	if most <= voters/2 {
		return nil, 0, len(c.told) >= voters && len(votes) > 1
	}
	for node, hash := range c.told {
		if hash != majority {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes, majority, false
}

func (h *hashes) note(index, hash uint64) {
	e := &h.ring[index%hashRing]
	e.index, e.hash = index, hash
}

func (h *hashes) at(index uint64) (hash uint64, ok bool) {
	e := h.ring[index%hashRing]
	return e.hash, e.index == index && index != 0
}

// compare starts a comparison, at the leader.
func (u *audits) compare() {
	if u.l.r.ticks%hashTicks != 0 || joint(u.l.r.members.conf) {
		return
	}
	hash, ok := u.l.r.audit.hashes.at(u.l.r.machine.applied.Index)
	if !ok {
		return
	}
	u.question = comparison{index: u.l.r.machine.applied.Index, told: map[cluster.NodeID]uint64{u.l.r.host.cfg.Node: hash}}
	for _, node := range u.l.r.members.voters {
		if node != u.l.r.host.cfg.Node {
			u.l.r.audit.tell(node, kindHashAsk, u.l.r.machine.applied.Index, 0)
		}
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
		if own, ok := u.hashes.at(index); ok && index <= u.r.machine.applied.Index {
			u.tell(from, kindHashTell, index, own)
		}
	case kindHashTell:
		if u.r.leading() && index == u.r.leader.audits.question.index && slices.Contains(u.r.members.voters, from) {
			u.r.leader.audits.question.told[from] = hash
			u.r.leader.audits.judge(&u.r.leader.audits.question, kindDiverged)
		}
	case kindDiverged:
		if own, ok := u.hashes.at(index); ok && own != hash {
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

// judge tells those who differ from a majority.
func (u *audits) judge(c *comparison, kind peer.Kind) {
	odd, majority, tie := c.odd(len(u.l.r.members.voters))
	if tie {
		u.l.r.host.fatal(fmt.Errorf("shard %d: the replicas differ at entry %d and no majority agrees: %x. Nobody can say which is right; keep all folders", u.l.r.id, c.index, c.told))
	}
	for _, node := range odd {
		u.l.r.host.cfg.Logger.Error("a replica has diverged", slog.Uint64("shard", uint64(u.l.r.id)), slog.Uint64("node", uint64(node)), slog.Uint64("index", c.index))
		if node == u.l.r.host.cfg.Node {
			u.l.r.audit.heard(node, kind, c.index, majority)
		} else {
			u.l.r.audit.tell(node, kind, c.index, majority)
		}
	}
}

// hashMsg is a frame of a comparison in the inbox.
type hashMsg struct {
	r           *Replica
	from        cluster.NodeID
	kind        peer.Kind
	index, hash uint64
}
