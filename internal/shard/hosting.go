package shard

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// Replicas come to a node and leave it while it runs. The table of them is
// copied when it changes, so whoever looks one up takes no lock. A replica that
// has left its loop answers what still finds it as if the node had stopped.

// replica returns the replica of a shard here, nil if there is none.
func (h *Host) replica(shard cluster.ShardID) *Replica { return (*h.replicas.Load())[shard] }

// setReplica changes the table; h.mu is held. r nil: the shard has none.
func (h *Host) setReplica(shard cluster.ShardID, r *Replica) {
	next := maps.Clone(*h.replicas.Load())
	if next == nil {
		next = make(map[cluster.ShardID]*Replica)
	}
	if delete(next, shard); r != nil {
		next[shard] = r
	}
	h.replicas.Store(&next)
}

// Has reports whether there is a replica of a shard here.
func (h *Host) Has(shard cluster.ShardID) bool { return h.replica(shard) != nil }

// openAll opens the replicas that the stores hold, after finishing the removal
// of those that were about to go.
func (h *Host) openAll() error {
	here, dropping, err := h.cfg.Log.Replicas()
	if err != nil {
		return err
	}
	applied, err := h.cfg.State.Shards()
	if err != nil {
		return err
	}
	for _, id := range applied {
		if here[id] == 0 && dropping[id] == 0 {
			return fmt.Errorf("%w: there is state of shard %d, and its log is gone", store.ErrDamaged, id)
		}
	}
	for id, replica := range dropping {
		if err := h.drop(id, replica); err != nil {
			return err
		}
	}
	for i, id := range slices.Sorted(maps.Keys(here)) {
		r, err := h.openReplica(h.loops[i%len(h.loops)], id, here[id])
		if err != nil {
			return err
		}
		r.loop.replicas = append(r.loop.replicas, r)
		h.setReplica(id, r)
	}
	return nil
}

func (h *Host) drop(shard cluster.ShardID, replica cluster.ReplicaID) error {
	d, err := h.cfg.State.Descriptor(shard)
	if err != nil && !errors.Is(err, store.ErrNoShard) { // its rows are gone already
		return err
	}
	return store.Drop(h.cfg.Log, h.cfg.State, shard, replica, d.Slots)
}

// add makes a new replica, empty, and runs it. The group tells it the rest. If
// that failed before, it goes on with what is there: nobody else is invited as
// long as this one is a replica.
func (h *Host) add(shard cluster.ShardID, id cluster.ReplicaID) error {
	here, err := h.cfg.Log.Here(shard)
	if err == nil && here != id {
		err = create(h.cfg.Log, h.cfg.State, shard, id)
	}
	if err != nil {
		return err
	}
	count := make(map[*loop]int)
	for _, r := range *h.replicas.Load() {
		count[r.loop]++
	}
	l := slices.MinFunc(h.loops, func(a, b *loop) int { return cmp.Compare(count[a], count[b]) })
	r, err := h.openReplica(l, shard, id)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.setReplica(shard, r)
	h.mu.Unlock()
	l.post(call{func() { l.replicas = append(l.replicas, r); l.touch(r) }})
	return nil
}

// create writes what a new replica begins with.
func create(log *store.Log, state *store.State, shard cluster.ShardID, id cluster.ReplicaID) error {
	gone, err := log.Gone(shard)
	if err != nil {
		return err
	}
	if id <= gone {
		return fmt.Errorf("replica %d of shard %d was here before, and is gone", id, shard)
	}
	if err := state.Create(cluster.Descriptor{ID: shard}, store.Applied{}, &pb.ConfState{}); err != nil {
		return err
	}
	return log.Create(shard, id, 0, 0)
}

// remove takes a replica away from its loop, and its data from the disk. h.mu is
// held.
func (h *Host) remove(r *Replica) {
	if h.busy[r.id] || h.stopping.Load() {
		return
	}
	h.busy[r.id] = true
	h.setReplica(r.id, nil)
	r.loop.post(call{func() { r.loop.remove(r) }})
}

// remove takes r out of the loop.
func (l *loop) remove(r *Replica) {
	if err := l.settleAll(); err != nil { // nothing of it is in a batch then
		l.host.fatal(err)
		return
	}
	r.gone = true
	l.replicas = slices.DeleteFunc(l.replicas, func(x *Replica) bool { return x == r })
	l.dirty = slices.DeleteFunc(l.dirty, func(x *Replica) bool { return x == r })
	r.lead.Store(&Lead{})
	if r.leader != nil {
		r.leader.drop()
		r.leader = nil
	}
	r.reads.drop()
	r.snapshots.drop()
	r.audit.stop()
	r.machine.release()
	r.elections.succeeded()
	unread := make(chan struct{}) // a reader holds a view for the evaluation of its commands
	r.snapshots.views.whenNone(func() { close(unread) })
	l.wg.Go(func() {
		h := l.host
		<-unread
		err := h.drop(r.id, r.self)
		if err != nil {
			h.fatal(err)
			return
		}
		h.mu.Lock()
		delete(h.busy, r.id)
		h.mu.Unlock()
		h.cfg.Logger.Info("a replica is gone", slog.Uint64("shard", uint64(r.id)), slog.Uint64("replica", uint64(r.self)))
	})
}

// MapChanged makes leaders look whether their shards are to change.
func (h *Host) MapChanged() {
	for _, r := range *h.replicas.Load() {
		r.loop.post(inLoop{r, func() {
			r.members.settled.Store(r.members.inPlace())
			r.look()
		}})
	}
	h.checkSettled()
}
