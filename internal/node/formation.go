package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/shard"
	"tutti/internal/store"
	"tutti/internal/trust"
)

// Formation is what a node knows of its cluster before it has spoken to it. File
// "node.json", in two copies (see package store, twice.go), version 1: JSON.
type Formation struct {
	Cluster string         `json:"cluster"`
	Node    cluster.NodeID `json:"node"`
	Members []Member       `json:"members"`
	Shards  int            `json:"shards"` // the slots are divided evenly
	Small   bool           `json:"small"`
}

// Member is one node of the cluster.
type Member struct {
	ID     cluster.NodeID `json:"id"`
	Peer   string         `json:"peer"`   // host:port for nodes
	Client string         `json:"client"` // host:port for clients
}

const (
	formationFile    = "node.json"
	formationVersion = 1
	// firstIndex is where the logs of a new shard begin: above 1, so that raft
	// takes the members from the state and not from entries.
	firstIndex = 10
	firstTerm  = 1
	membersMax = 1000
)

// ErrNoNode says that a folder holds no node.
var ErrNoNode = errors.New("there is no tutti node in this folder")

// Form creates the folders of all nodes of a new cluster: formation, identity,
// and the empty stores. It is the only place that makes stores: a node that
// starts and finds none has lost its data and must not take part as if it had
// never promised anything.
func Form(fs vfs.FS, dirs []string, f Formation) error {
	ca, err := trust.NewCA(f.Cluster, time.Now(), rand.Reader)
	if err != nil {
		return err
	}
	for _, m := range f.Members {
		if m.ID == 0 || m.ID > cluster.NodeMax {
			return fmt.Errorf("node id %d is not between 1 and %d", m.ID, cluster.NodeMax)
		}
	}
	for i, dir := range dirs {
		f.Node = f.Members[i].ID
		if err := store.MakeDir(fs, dir); err != nil {
			return err
		}
		id, err := ca.IssueNode(f.Node, time.Now(), rand.Reader)
		if err != nil {
			return err
		}
		if fs == vfs.Default {
			if err := id.Save(dir); err != nil {
				return err
			}
		}
		if err := formStores(fs, dir, f); err != nil {
			return fmt.Errorf("form node %d: %w", f.Node, err)
		}
		// Last: a folder without it is no node yet.
		if err := f.write(fs, dir); err != nil {
			return err
		}
	}
	return nil
}

func formStores(fs vfs.FS, dir string, f Formation) error {
	if _, err := store.OpenCounters(store.Config{FS: fs, Dir: dir, Small: f.Small}, f.Node, true); err != nil {
		return err
	}
	conf := &pb.ConfState{}
	for _, m := range f.Members {
		conf.Voters = append(conf.Voters, uint64(m.ID))
	}
	return makeStores(fs, dir, f, store.Applied{Index: firstIndex, Term: firstTerm}, conf)
}

// shards divides the slots.
func (f Formation) shards() []shard.Shard {
	n := max(f.Shards, 1)
	list := make([]shard.Shard, n)
	for i := range list {
		list[i] = shard.Shard{ID: cluster.ShardID(i + 1), Slots: store.SlotRange{First: i * keyspace.Slots / n, End: (i + 1) * keyspace.Slots / n}}
	}
	return list
}

// write replaces the formation in dir, durably.
func (f Formation) write(fs vfs.FS, dir string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return store.WriteTwice(fs, dir, formationFile, formationVersion, append(b, '\n'))
}

// ReadFormation reads the formation of the node in dir, and changes nothing.
func ReadFormation(fs vfs.FS, dir string) (Formation, error) {
	return readFormation(fs, dir, store.ReadTwice)
}

// openFormation is ReadFormation for whoever holds the lock of the folder: a
// damaged copy is written again.
func openFormation(fs vfs.FS, dir string) (Formation, error) {
	return readFormation(fs, dir, store.MendTwice)
}

func readFormation(fs vfs.FS, dir string, read func(fs vfs.FS, dir, name string, newest uint32) (store.Twice, error)) (Formation, error) {
	var f Formation
	t, err := read(fs, dir, formationFile, formationVersion)
	if errors.Is(err, os.ErrNotExist) {
		return f, fmt.Errorf("%s: %w", dir, ErrNoNode)
	}
	if lost, of := errors.AsType[*store.LostError](err); of {
		return f, fmt.Errorf("%w, and nothing else says who this node is: %s", lost, restoreFormation)
	}
	if err == nil {
		err = json.Unmarshal(t.Body, &f)
	}
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return f, fmt.Errorf("read %s: %w", fs.PathJoin(dir, formationFile), err)
	}
	return f, nil
}

// restoreFormation is what helps when both copies are damaged.
const restoreFormation = "put either copy back from a backup, it never grows old; without one remove the node and add a new one"

// nodes lists the ids of the members.
func (f Formation) nodes() (ids []cluster.NodeID) {
	for _, m := range f.Members {
		ids = append(ids, m.ID)
	}
	return ids
}

// check refuses what Form does not write.
func (f Formation) check() error {
	switch {
	case f.Shards < 0 || f.Shards > keyspace.Slots:
		return fmt.Errorf("%d shards of %d slots", f.Shards, keyspace.Slots)
	case len(f.Members) == 0 || len(f.Members) > membersMax:
		return fmt.Errorf("%d members, want 1 to %d", len(f.Members), membersMax)
	}
	seen := make(map[cluster.NodeID]bool)
	for _, m := range f.Members {
		if m.ID == 0 || m.ID > cluster.NodeMax || seen[m.ID] {
			return fmt.Errorf("node %d among the members, or twice", m.ID)
		}
		seen[m.ID] = true
	}
	if !seen[f.Node] {
		return fmt.Errorf("node %d is not among its own members", f.Node)
	}
	return nil
}

func (f Formation) member(id cluster.NodeID) (Member, bool) {
	for _, m := range f.Members {
		if m.ID == id {
			return m, true
		}
	}
	return Member{}, false
}

// Readdress gives the members of a cluster whose nodes are all stopped other
// addresses, for a local cluster that is started on other ports.
func Readdress(fs vfs.FS, dirs []string, members []Member) error {
	for _, dir := range dirs {
		f, err := ReadFormation(fs, dir)
		if err != nil {
			return err
		}
		for i, m := range f.Members {
			if m.ID != members[i].ID {
				return fmt.Errorf("%s: member %d is not %d", dir, m.ID, members[i].ID)
			}
		}
		if slices.Equal(f.Members, members) {
			continue
		}
		f.Members = members
		if err := f.write(fs, dir); err != nil {
			return err
		}
	}
	return nil
}
