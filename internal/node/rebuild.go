package node

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/shard"
	"tutti/internal/store"
)

// ErrDamaged says that the data of a node is damaged. A node that finds this
// while it runs must be opened again, and is rebuilt then.
var ErrDamaged = store.ErrDamaged

// rebuildMin is how many members a cluster must have for a damaged node to give
// its data up: the others must be able to decide without it.
const rebuildMin = 3

// rebuild makes a node's data anew, empty, if a mark says that it is damaged.
// The damaged data is set aside, not removed: should a majority of the nodes be
// damaged, nobody takes the new replicas in, and it is all there is. Each step
// may be interrupted; the next start goes on. count has been opened.
func (n *Node) rebuild() error {
	fs, dir := n.cfg.FS, n.cfg.Dir
	mark, ok, err := n.count.Marked()
	if err != nil || !ok {
		return err
	}
	if len(n.form.Members) < rebuildMin {
		return fmt.Errorf("%s: %w: %s. A cluster of %d nodes can't rebuild one from the others", dir, store.ErrDamaged, mark.Why, len(n.form.Members))
	}
	if err := n.count.RaiseGeneration(mark.Generation); err != nil {
		return err
	}
	if err := store.SetAside(fs, dir, mark); err != nil {
		return err
	}
	// An empty configuration: the new replicas belong to none until a leader
	// takes them in.
	if err := makeStores(fs, dir, n.form, store.Applied{}, &pb.ConfState{}); err != nil {
		return err
	}
	if err := store.Unmark(fs, dir); err != nil {
		return err
	}
	n.cfg.Logger.Warn("the data of this node is made anew from the other nodes", slog.Uint64("generation", mark.Generation), slog.String("damage", mark.Why))
	return nil
}

// openCounters counts this start. If the counters are lost they are replaced by
// higher ones, and the data of the node is made anew: its replicas carry the
// generation, and nobody can tell any more of which one the data was.
func (n *Node) openCounters(cfg store.Config) (err error) {
	n.count, err = store.OpenCounters(cfg, n.form.Node, false)
	lost, of := errors.AsType[*store.LostError](err)
	if !of {
		return err
	}
	if len(n.form.Members) < rebuildMin {
		return fmt.Errorf("%w, and a cluster of %d nodes can't make a node's data anew from the others: put either copy back from the newest backup of this folder", lost, len(n.form.Members))
	}
	known, err := n.known(cfg)
	if err != nil {
		n.cfg.Logger.Warn("the state tells nothing of the lost counters", slog.Any("error", err))
	}
	if err := store.RenewCounters(cfg, n.form.Node, known, n.cfg.Rand, lost); err != nil {
		return err
	}
	n.count, err = store.OpenCounters(cfg, n.form.Node, false)
	return err
}

// known is what this node's shards remember of its counters. What can't be read
// tells nothing: the data is given up in any case.
func (n *Node) known(cfg store.Config) (known store.Known, err error) {
	asides, err := store.ListAside(n.cfg.FS, n.cfg.Dir)
	if err != nil {
		return known, err
	}
	for _, a := range asides {
		known.Generation = max(known.Generation, a.Generation+1)
	}
	cfg.Fatal = func(err error) { n.cfg.Logger.Warn("look for lost counters", slog.Any("error", err)) }
	if !n.has("state") {
		return known, nil // it was set aside
	}
	state, err := store.OpenState(cfg)
	if err != nil {
		return known, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	for _, s := range n.form.shards() {
		counts, err1 := state.Starts(s.ID)
		conf, err2 := state.Conf(s.ID)
		if err := errors.Join(err1, err2); err != nil {
			return known, err
		}
		known.Incarnation = max(known.Incarnation, counts[n.form.Node])
		known.Generation = max(known.Generation, shard.NewestGeneration(conf, n.form.Node))
	}
	return known, nil
}

// remembered is what this node's shards know of the starts of all nodes.
func (n *Node) remembered() (map[cluster.NodeID]uint64, error) {
	newest := make(map[cluster.NodeID]uint64)
	for _, s := range n.form.shards() {
		counts, err := n.state.Starts(s.ID)
		if err != nil {
			return nil, err
		}
		for node, count := range counts {
			newest[node] = max(newest[node], count)
		}
	}
	return newest, nil
}

// markDamaged makes durable that err is about damaged data, so that the next
// start rebuilds.
func (n *Node) markDamaged(err error) error {
	if !errors.Is(err, store.ErrDamaged) || n.count == nil || len(n.form.Members) < rebuildMin {
		return err
	}
	if merr := n.count.Mark(err); merr != nil {
		return errors.Join(err, merr)
	}
	n.cfg.Logger.Error("the data of this node is damaged", slog.Any("error", err))
	return err
}

// settled removes damaged data that was set aside: the node's new replicas are
// voters, so a majority holds everything.
func (n *Node) settled() {
	n.mu.Lock()
	list := n.aside
	n.aside = nil
	n.mu.Unlock()
	if len(list) == 0 {
		return
	}
	n.wg.Go(func() {
		for _, a := range list {
			if err := n.cfg.FS.RemoveAll(a.Dir); err != nil {
				n.cfg.Logger.Warn("remove damaged data", slog.String("dir", a.Dir), slog.Any("error", err))
				continue
			}
			n.cfg.Logger.Info("the node is rebuilt; its damaged data is removed", slog.String("dir", a.Dir), slog.String("damage", a.Why))
		}
	})
}

// makeStores makes the stores of a node, with all shards at one position.
func makeStores(fs vfs.FS, dir string, f Formation, at store.Applied, conf *pb.ConfState) (err error) {
	cfg := store.Config{FS: fs, Dir: dir, Small: f.Small}
	log, err := store.OpenLog(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	state, err := store.OpenState(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	for _, s := range f.shards() {
		if err := state.Create(s.ID, at, conf); err != nil {
			return err
		}
		if err := log.Create(s.ID, at.Index, at.Term); err != nil {
			return err
		}
	}
	return nil
}
