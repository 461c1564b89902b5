package node

import (
	"errors"
	"fmt"
	"log/slog"

	"tutti/internal/cluster"
	"tutti/internal/shard"
	"tutti/internal/store"
)

// ErrDamaged says that the data of a node is damaged. A node that finds this
// while it runs must be opened again, and is rebuilt then.
var ErrDamaged = store.ErrDamaged

// ErrOverruled says that the others went on without what is committed on this node.
var ErrOverruled = shard.ErrOverruled

// ErrGone says that the folder of a node went away while it ran.
var ErrGone = store.ErrGone

// rebuildMin is how many voters a shard must have for a damaged node to give its
// data up: the others must be able to decide without it.
const rebuildMin = 3

// voters returns how many nodes vote, in the shard of this node where that are
// the fewest.
func (n *Node) voters() int {
	fewest := cluster.ReplicasMax
	for _, s := range n.maps.Map().Shards {
		if _, ok := s.On(n.self.Node); ok {
			fewest = min(fewest, len(s.Voters()))
		}
	}
	return fewest
}

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
	if n.voters() < rebuildMin {
		return fmt.Errorf("%s: %w: %s. Shards of %d replicas can't rebuild one from the others", dir, unusable(mark), mark.Why, n.voters())
	}
	if err := n.count.RaiseGeneration(mark.Generation); err != nil {
		return err
	}
	if err := store.SetAside(fs, dir, mark); err != nil {
		return err
	}
	// Without replicas: the leaders of its shards give it new ones.
	if err := makeStores(store.Config{FS: fs, Dir: dir, Small: n.self.Small, Bare: bare(n.maps.Map(), n.self.Node)}, nil); err != nil {
		return err
	}
	if err := store.Unmark(fs, dir); err != nil {
		return err
	}
	n.cfg.Logger.Warn("the data of this node is made anew from the other nodes", slog.Uint64("generation", mark.Generation), slog.String("why", mark.Why), slog.Bool("kept", mark.Keep))
	return nil
}

// unusable is why the data under a mark is not used.
func unusable(m store.Mark) error {
	if m.Keep {
		return ErrOverruled
	}
	return ErrDamaged
}

// openCounters counts this start. If the counters are lost they are replaced by
// higher ones, and the data of the node is made anew: its replicas carry the
// generation, and nobody can tell any more of which one the data was.
func (n *Node) openCounters(cfg store.Config) (err error) {
	n.count, err = store.OpenCounters(cfg, n.self.Node, false)
	lost, of := errors.AsType[*store.LostError](err)
	if !of {
		return err
	}
	if voters := n.voters(); voters < rebuildMin {
		return fmt.Errorf("%w, and shards of %d replicas can't make a node's data anew from the others: put either copy back from the newest backup of this folder", lost, voters)
	}
	known, err := n.known(cfg)
	if err != nil {
		n.cfg.Logger.Warn("the state tells nothing of the lost counters", slog.Any("error", err))
	}
	if err := store.RenewCounters(cfg, n.self.Node, known, n.cfg.Rand, lost); err != nil {
		return err
	}
	n.count, err = store.OpenCounters(cfg, n.self.Node, false)
	return err
}

// known is what this node's map and shards remember of its counters. What can't be read
// tells nothing: the data is given up in any case.
func (n *Node) known(cfg store.Config) (known store.Known, err error) {
	for _, s := range n.maps.Map().Shards {
		known.Generation = max(known.Generation, newestData(s.Descriptor, n.self.Node))
	}
	asides, err := store.ListAside(n.cfg.FS, n.cfg.Dir)
	if err != nil {
		return known, err
	}
	for _, a := range asides {
		known.Generation = max(known.Generation, a.Generation+1)
	}
	cfg.Fatal = func(err error) { n.cfg.Logger.Warn("look for lost counters", slog.Any("error", err)) }
	if !has(n.cfg.FS, n.cfg.Dir, "state") {
		return known, nil // it was set aside
	}
	state, err := store.OpenState(cfg)
	if err != nil {
		return known, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	for _, s := range n.maps.Map().Shards {
		counts, err := state.Starts(s.ID)
		if err != nil {
			return known, err
		}
		known.Incarnation = max(known.Incarnation, counts[n.self.Node])
		d, err := state.Descriptor(s.ID)
		switch {
		case err == nil:
			known.Generation = max(known.Generation, newestData(d, n.self.Node))
		case !errors.Is(err, store.ErrNoShard):
			return known, err
		}
	}
	return known, nil
}

// newestData returns the newest generation of a node's data that a shard knows.
func newestData(d cluster.Descriptor, node cluster.NodeID) (newest uint64) {
	for _, r := range d.Replicas {
		if r.Node == node {
			newest = max(newest, r.Data)
		}
	}
	return newest
}

// remembered is what this node's shards know of the starts of all nodes.
func (n *Node) remembered() (map[cluster.NodeID]uint64, error) {
	newest := make(map[cluster.NodeID]uint64)
	for _, s := range n.maps.Map().Shards {
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
	if old, ok := errors.AsType[*OldCopyError](err); ok && n.count != nil {
		return errors.Join(err, giveUp(n, old))
	}
	if errors.Is(err, ErrOverruled) && n.count != nil {
		return errors.Join(err, n.count.MarkKept(err))
	}
	if !errors.Is(err, store.ErrDamaged) || n.count == nil || n.voters() < rebuildMin {
		return err
	}
	if merr := n.count.Mark(err); merr != nil {
		return errors.Join(err, merr)
	}
	n.cfg.Logger.Error("the data of this node is damaged", slog.Any("error", err))
	return err
}

// settled removes damaged data that was set aside: the node's new replicas are
// voters, so a majority holds everything. What is kept may be nowhere else, and stays.
func (n *Node) settled() {
	n.mu.Lock()
	var list, stay []store.Aside
	for _, a := range n.aside {
		if a.Kept {
			stay = append(stay, a)
		} else {
			list = append(list, a)
		}
	}
	n.aside = stay
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
