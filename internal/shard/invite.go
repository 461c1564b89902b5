package shard

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/store"
)

// How a node learns that it is to have a replica, or none any more. All of it
// is said again and again by those who know, so a frame may be lost.
//
//   - The leader invites the nodes of replicas that have nothing yet. A node
//     makes such a replica only as part of the data for which it was handed out,
//     and never one that it had before.
//   - A node whose data was made anew asks for replicas in the place of those it
//     lost.
//   - One that was removed, or hears no leader, asks whether it is gone, and the
//     leader tells it when it may go, see removal.go.

// invite tells the nodes of replicas that have nothing yet about them.
func (ch *changes) invite() {
	r := ch.l.r
	for id, p := range r.raft.Status().Progress {
		x, ok := r.members.desc.Replica(cluster.ReplicaID(id))
		if p.Match > 0 || !ok || x.ID == r.self {
			continue
		}
		r.host.cfg.Links.Queue(x.Node, peer.Control, kindInvite, func(dst []byte) []byte {
			dst = be.AppendUint64(be.AppendUint64(be.AppendUint64(dst, uint64(r.id)), uint64(x.ID)), x.Data)
			return r.members.desc.Encode(dst)
		})
	}
}

// invited makes the replica that a leader says this node is to have.
func (o *hosting) invited(shard cluster.ShardID, id cluster.ReplicaID, data uint64, d cluster.Descriptor, from cluster.NodeID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.Has(shard) {
		return // if that one is gone it will be told, and another invitation comes
	}
	switch {
	case o.busy[shard] || o.h.stopping.Load():
		return
	case data < o.h.cfg.Generation:
		o.ask(shard, from)
		return
	case data > o.h.cfg.Generation:
		return // it was for data that this node does not have
	}
	o.busy[shard] = true
	o.h.wg.Go(func() {
		err := o.add(shard, id)
		o.mu.Lock()
		delete(o.busy, shard)
		o.mu.Unlock()
		log := o.h.cfg.Logger.With(slog.Uint64("shard", uint64(shard)), slog.Uint64("replica", uint64(id)))
		if errors.Is(err, store.ErrDamaged) {
			o.h.fatal(err)
			return
		}
		if err != nil { // the next invitation tries again
			log.Warn("a replica could not be made", slog.Any("error", err))
			return
		}
		log.Info("a replica begins")
	})
}

// lost is which nodes ask for a replica of a shard that is not here either: all
// there is to know of a shard that has lost too many.
type lost struct {
	mu    sync.Mutex // guards asked
	asked map[cluster.ShardID]map[cluster.NodeID]time.Duration
}

func (l *lost) note(shard cluster.ShardID, node cluster.NodeID, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked == nil || len(l.asked) > lostMax {
		l.asked = make(map[cluster.ShardID]map[cluster.NodeID]time.Duration)
	}
	if l.asked[shard] == nil || len(l.asked[shard]) > cluster.MembersMax {
		l.asked[shard] = make(map[cluster.NodeID]time.Duration)
	}
	l.asked[shard][node] = now
}

// lostMax is of how many shards is noted who asks; they ask again.
const lostMax = 1024

// Asking lists the nodes that have asked this one, which has no replica of the
// shard, for another in the place of theirs.
func (o *hosting) Asking(shard cluster.ShardID) (nodes []cluster.NodeID) {
	now := o.h.cfg.Clock.Mono()
	o.askers.mu.Lock()
	defer o.askers.mu.Unlock()
	for node, at := range o.askers.asked[shard] {
		if now-at <= askedTicks*o.h.cfg.Tick {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// ask asks nodes for a replica of a shard that is part of the data that this
// node has now.
func (o *hosting) ask(shard cluster.ShardID, nodes ...cluster.NodeID) {
	for _, node := range nodes {
		if node != o.h.cfg.Node {
			o.h.cfg.Links.Send(node, peer.Control, kindAsk, func(dst []byte) []byte {
				return be.AppendUint64(be.AppendUint64(dst, uint64(shard)), o.h.cfg.Generation)
			})
		}
	}
}

// askForLost asks for replicas in the place of those that this node lost with
// its data. It runs every changeTicks.
func (o *hosting) askForLost() {
	if o.h.cfg.Generation == 0 {
		return
	}
	for _, s := range o.h.cfg.Map.Map().Shards {
		if x, ok := s.On(o.h.cfg.Node); ok && x.Data < o.h.cfg.Generation && o.replica(s.ID) == nil {
			o.ask(s.ID, s.Nodes()...)
		}
	}
}

// askWhetherGone asks those who may know whether this replica was removed while
// it did not listen.
func (m *members) askWhetherGone() {
	s, _ := m.r.host.cfg.Map.Map().Shard(m.r.id)
	asked := map[cluster.NodeID]bool{m.r.host.cfg.Node: true}
	for _, node := range append(s.Nodes(), m.desc.Nodes()...) {
		if asked[node] {
			continue
		}
		asked[node] = true
		m.r.host.cfg.Links.Queue(node, peer.Control, kindWho, func(dst []byte) []byte {
			return be.AppendUint64(be.AppendUint64(dst, uint64(m.r.id)), uint64(m.r.self))
		})
	}
}

// heardGone removes the replica here if it is the one that is gone.
func (o *hosting) heardGone(shard cluster.ShardID, id cluster.ReplicaID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r := o.replica(shard); r != nil && r.self == id {
		o.remove(r)
	}
}
