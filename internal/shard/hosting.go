package shard

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// Replicas come to a node and leave it while it runs. The table of them is
// copied when it changes, so whoever looks one up takes no lock. A replica that
// has left its loop answers what still finds it as if the node had stopped.

// hosting is which replicas a host has, and how they come and go.
type hosting struct {
	h        *Host
	replicas atomic.Pointer[map[cluster.ShardID]*Replica]
	mu       sync.Mutex               // orders changes of replicas; guards busy
	busy     map[cluster.ShardID]bool // a replica is being made or removed
	askers   lost
	settled  sync.Once
}

// replica returns the replica of a shard here, nil if there is none.
func (o *hosting) replica(shard cluster.ShardID) *Replica { return (*o.replicas.Load())[shard] }

// setReplica changes the table; h.mu is held. r nil: the shard has none.
func (o *hosting) setReplica(shard cluster.ShardID, r *Replica) {
	next := maps.Clone(*o.replicas.Load())
	if next == nil {
		next = make(map[cluster.ShardID]*Replica)
	}
	if delete(next, shard); r != nil {
		next[shard] = r
	}
	o.replicas.Store(&next)
}

// Has reports whether there is a replica of a shard here.
func (o *hosting) Has(shard cluster.ShardID) bool { return o.replica(shard) != nil }

// openAll opens the replicas that the stores hold, after finishing the removal
// of those that were about to go.
func (o *hosting) openAll() error {
	here, dropping, err := o.h.cfg.Log.Replicas()
	if err != nil {
		return err
	}
	applied, err := o.h.cfg.State.Shards()
	if err != nil {
		return err
	}
	for _, id := range applied {
		if here[id] == 0 && dropping[id] == 0 {
			return fmt.Errorf("%w: there is state of shard %d, and its log is gone", store.ErrDamaged, id)
		}
	}
	for id, replica := range dropping {
		if err := o.drop(id, replica); err != nil {
			return err
		}
	}
	for i, id := range slices.Sorted(maps.Keys(here)) {
		r, err := o.h.openReplica(o.h.loops[i%len(o.h.loops)], id, here[id])
		if err != nil {
			return err
		}
		r.loop.replicas = append(r.loop.replicas, r)
		o.setReplica(id, r)
	}
	return nil
}

func (o *hosting) drop(shard cluster.ShardID, replica cluster.ReplicaID) error {
	d, err := o.h.cfg.State.Descriptor(shard)
	if err != nil && !errors.Is(err, store.ErrNoShard) { // its rows are gone already
		return err
	}
	return store.Drop(o.h.cfg.Log, o.h.cfg.State, shard, replica, d.Slots)
}

// add makes a new replica, empty, and runs it. The group tells it the rest. If
// that failed before, it goes on with what is there: nobody else is invited as
// long as this one is a replica.
func (o *hosting) add(shard cluster.ShardID, id cluster.ReplicaID) error {
	here, err := o.h.cfg.Log.Here(shard)
	if err == nil && here != id {
		err = create(o.h.cfg.Log, o.h.cfg.State, shard, id)
	}
	if err != nil {
		return err
	}
	count := make(map[*loop]int)
	for _, r := range *o.replicas.Load() {
		count[r.loop]++
	}
	l := slices.MinFunc(o.h.loops, func(a, b *loop) int { return cmp.Compare(count[a], count[b]) })
	r, err := o.h.openReplica(l, shard, id)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.setReplica(shard, r)
	o.mu.Unlock()
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
func (o *hosting) remove(r *Replica) {
	if o.busy[r.id] || o.h.stopping.Load() {
		return
	}
	o.busy[r.id] = true
	o.setReplica(r.id, nil)
	r.loop.post(call{func() { r.loop.remove(r) }})
}

// remove takes r out of the loop.
func (l *loop) remove(r *Replica) {
	if err := l.settleAll(); err != nil { // nothing of it is in a batch then
		l.host.fatal(err)
		return
	}
	r.gone = true
	r.machine.replaced()
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
	r.machine.census.stop()
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

// checkSettled reports once that all replicas that the map gives to this node are
// here, and what they are to become.
func (o *hosting) checkSettled() {
	for _, s := range o.h.cfg.Map.Map().Shards {
		if _, ok := s.On(o.h.cfg.Node); ok {
			if r := o.replica(s.ID); r == nil || !r.members.settled.Load() {
				return
			}
		}
	}
	if f := o.h.cfg.Settled; f != nil {
		o.settled.Do(f)
	}
}
