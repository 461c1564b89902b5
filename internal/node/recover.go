package node

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/meta"
	"tutti/internal/store"
)

// Recovery is what one copy of the data can bring back of a cluster that has
// lost the majority of its nodes for ever, see PlanRecovery.
type Recovery struct {
	Cluster string
	Node    cluster.NodeID
	// Lost are the other members: they are taken out, and their data must never
	// be used again.
	Lost   []Member
	Shards []RecoveredShard

	fs  vfs.FS
	dir string
}

// RecoveredShard is what this copy of a shard holds.
type RecoveredShard struct {
	ID    cluster.ShardID
	Slots cluster.SlotRange
	// Voters is how many replicas decided, and Learner whether this one did not.
	Voters  int
	Learner bool
	// Last is the position of the newest entry here, and Term its term. What was
	// acknowledged behind it is lost; nothing here tells how much that is. Of
	// several copies the one with the highest term, and in it the highest
	// position, has the most.
	Last, Term uint64
	// Time is when that entry was made, by the shard's time.
	Time time.Time
}

// ErrNotNeeded says that there is nothing to recover from.
var ErrNotNeeded = errors.New("this node decides alone already: there is no majority to recover from")

// PlanRecovery reads what the copies in dir hold. It changes nothing. The node
// must not run.
func PlanRecovery(fs vfs.FS, dir string) (r Recovery, err error) {
	err = withStores(fs, dir, func(o openStores) error {
		r, err = o.plan()
		return err
	})
	return r, err
}

// Recover makes this node the only member of its cluster, with what its copies
// hold: entries that a majority may or may not have had are taken for
// committed. All that was acknowledged and is not in them is lost. It may be
// interrupted, and run again.
func (r Recovery) Recover() error {
	return withStores(r.fs, r.dir, func(o openStores) error { return o.recover() })
}

// openStores is a folder whose node does not run.
type openStores struct {
	fs    vfs.FS
	dir   string
	self  Self
	m     *cluster.Map
	log   *store.Log
	state *store.State
}

func withStores(fs vfs.FS, dir string, f func(o openStores) error) (err error) {
	o := openStores{fs: fs, dir: dir}
	if o.self, err = ReadSelf(fs, dir); err != nil {
		return err
	}
	lock, err := fs.Lock(fs.PathJoin(dir, "LOCK"))
	if err != nil {
		return fmt.Errorf("the node in %s runs; stop it first (%w)", dir, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if mark, marked, err := store.ReadMark(fs, dir); err != nil || marked {
		return errors.Join(err, fmt.Errorf("%s: its data is damaged (%s); recover from another copy", dir, mark.Why))
	}
	if o.m, err = ReadMap(fs, dir); err != nil {
		return err
	}
	// An error that would end a node that runs ends this, too: nothing was promised.
	var fatal error
	cfg := store.Config{FS: fs, Dir: dir, Logger: slog.New(slog.DiscardHandler), Small: o.self.Small, Fatal: func(err error) { fatal = err }}
	if o.log, err = store.OpenLog(cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.log.Close(), fatal) }()
	if o.state, err = store.OpenState(cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.state.Close()) }()
	return f(o)
}

// copyOf is a copy of a shard that is to be recovered.
type copyOf struct {
	replica cluster.ReplicaID
	desc    cluster.Descriptor
	at      store.Applied
	log     *store.ShardLog
	last    uint64
}

// copies opens a copy of every shard of the cluster.
func (o openStores) copies() ([]copyOf, error) {
	here, _, err := o.log.Replicas()
	if err != nil {
		return nil, err
	}
	var list []copyOf
	for _, s := range o.m.Shards {
		c := copyOf{replica: here[s.ID]}
		if c.replica == 0 {
			return nil, fmt.Errorf("node %d has no copy of shard %d; recover from a node that has copies of all", o.self.Node, s.ID)
		}
		if c.at, err = o.state.Applied(s.ID); err != nil {
			return nil, err
		}
		if err := o.log.FinishInstall(s.ID, c.at.Index, c.at.Term); err != nil {
			return nil, err
		}
		conf, err := o.state.Conf(s.ID)
		if err != nil {
			return nil, err
		}
		if c.desc, err = o.state.Descriptor(s.ID); err != nil {
			return nil, err
		}
		if len(c.desc.Replicas) == 0 {
			return nil, fmt.Errorf("node %d has an empty copy of shard %d; recover from a node that has copies of all", o.self.Node, s.ID)
		}
		if c.log, err = o.log.Shard(s.ID, c.at.Index, c.at.Term, conf); err != nil {
			return nil, err
		}
		if c.last, err = c.log.LastIndex(); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func (o openStores) plan() (Recovery, error) {
	r := Recovery{Cluster: o.m.Name, Node: o.self.Node, fs: o.fs, dir: o.dir}
	for _, x := range o.m.Members {
		if x.ID != o.self.Node {
			r.Lost = append(r.Lost, x)
		}
	}
	list, err := o.copies()
	if err != nil {
		return r, err
	}
	alone := len(r.Lost) == 0
	for _, c := range list {
		term, err := c.log.Term(c.last)
		if err != nil {
			return r, err
		}
		made, err := c.newest()
		if err != nil {
			return r, err
		}
		// The state may be of an earlier flush, and its descriptor as old.
		desc := c.desc
		if s, ok := o.m.Shard(desc.ID); ok && s.Generation > desc.Generation {
			desc = s.Descriptor
		}
		voters := desc.Voters()
		me, _ := desc.Replica(c.replica)
		alone = alone && len(voters) == 1 && me.Part == cluster.Voter
		r.Shards = append(r.Shards, RecoveredShard{ID: c.desc.ID, Slots: c.desc.Slots, Voters: len(voters), Learner: me.Part == cluster.Learner,
			Last: c.last, Term: term, Time: time.UnixMilli(made)})
	}
	if alone {
		return r, ErrNotNeeded
	}
	return r, nil
}

// newest returns when the newest entry of the copy was made.
func (c copyOf) newest() (made int64, err error) {
	made = c.at.Time
	err = c.behind(func(e *pb.Entry) error {
		if e.GetType() == pb.EntryNormal && len(e.GetData()) > 0 {
			made = store.WriteSet(e.GetData()).Time()
		}
		return nil
	})
	return made, err
}

// behind goes through the entries of the log that the state does not hold.
func (c copyOf) behind(f func(e *pb.Entry) error) error {
	const chunk = 4 << 20
	for next := c.at.Index + 1; next <= c.last; {
		entries, err := c.log.Entries(next, c.last+1, chunk)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := f(e); err != nil {
				return err
			}
		}
		next += uint64(len(entries))
	}
	return nil
}

// recover applies what the logs hold, makes this node's replicas the only ones,
// and then takes the other nodes out of the map. Each of the three is there as a
// whole or not at all, and leaves what can be recovered.
func (o openStores) recover() error {
	list, err := o.copies()
	if err != nil {
		return err
	}
	b := o.state.NewBatch()
	var descs []cluster.Descriptor
	for _, c := range list {
		if err := o.state.LookThrough(c.desc.ID); err != nil {
			return err
		}
		d, err := c.applyAll(b)
		if err != nil {
			return err
		}
		d.Generation++
		me, _ := d.Replica(c.replica)
		d.Replicas = []cluster.Replica{{ID: c.replica, Node: o.self.Node, Data: me.Data, Part: cluster.Voter}}
		if err := b.SetConf(d, &pb.ConfState{Voters: []uint64{uint64(c.replica)}}); err != nil {
			return err
		}
		descs = append(descs, d)
	}
	if err := b.Commit(); err != nil {
		return err
	}
	m, put, drop, err := meta.Forsake(o.state, o.self.Node, descs)
	if err != nil {
		return err
	}
	var rows []store.Row
	for _, row := range put {
		rows = append(rows, store.Row(row))
	}
	if err := o.state.Rewrite(rows, drop); err != nil {
		return err
	}
	return writeMap(o.fs, o.dir, m.Encode(nil))
}

// applyAll adds all entries of the log that have not been applied, and returns
// what the shard owns then. Changes of the configuration are left out: what it is
// to be is decided.
func (c copyOf) applyAll(b *store.Batch) (cluster.Descriptor, error) {
	at, desc := c.at, c.desc
	err := c.behind(func(e *pb.Entry) (err error) {
		var data []byte
		if e.GetType() == pb.EntryNormal {
			data = e.GetData()
		} else {
			// It may have handed out ids elsewhere, and none is given again.
			desc.Next += cluster.ReplicasMax
		}
		if at, err = b.Apply(desc.ID, at, e.GetIndex(), e.GetTerm(), data); err != nil {
			return err
		}
		if b.Slots != nil {
			desc.Slots = *b.Slots
			desc.Generation++
		}
		return nil
	})
	return desc, err
}
