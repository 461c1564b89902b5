package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/acl"
	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/meta"
	"tutti/internal/store"
	"tutti/internal/trust"
)

// Member is one node of the cluster.
type Member = cluster.Member

// Formation is a cluster to be made: its members, and how many shards divide
// the slots evenly among them.
type Formation struct {
	Cluster string
	Members []Member
	Shards  int // zero: one
	Small   bool
	// Manual gives each member a voter of every shard, and leaves it at that: who
	// changes the cluster decides where replicas are. Otherwise they are where the
	// cluster would put them, see cluster.Policy.
	Manual bool
	// Version is that of the formats that are written at first. Zero: cluster.Newest.
	Version cluster.Version
}

const (
	// firstIndex is where the logs of a new shard begin: above 1, so that raft
	// takes the members from the state and not from entries.
	firstIndex = 10
	firstTerm  = 1
)

// Map returns the map with which the cluster begins.
func (f Formation) Map() (*cluster.Map, error) {
	n := max(f.Shards, 1)
	if n > cluster.Slots {
		return nil, fmt.Errorf("%d shards of %d slots", n, cluster.Slots)
	}
	version := f.Version
	if version == 0 {
		version = cluster.Newest
	}
	m := cluster.Map{Epoch: 1, Name: f.Cluster, Version: version, Policy: cluster.Policy{Manual: f.Manual}}
	for _, x := range f.Members {
		x.Version = version
		m.Members = append(m.Members, x)
	}
	for i := range n + 1 {
		s := cluster.Shard{Descriptor: cluster.Descriptor{ID: cluster.ShardID(i), Generation: 1, Next: 1}}
		if s.ID != cluster.Meta {
			s.Slots = cluster.SlotRange{First: (i - 1) * cluster.Slots / n, End: i * cluster.Slots / n}
		}
		m.Shards = append(m.Shards, s)
	}
	m.Replan()
	for i := range m.Shards {
		m.Shards[i].Descriptor = withReplicas(m.Shards[i], m.Members)
	}
	return cluster.NewMap(m)
}

// withReplicas returns the descriptor of a shard that has replicas where they
// are wanted; if nowhere, voters on all members.
func withReplicas(s cluster.Shard, members []Member) cluster.Descriptor {
	want := s.Want
	if len(want) == 0 {
		for _, x := range members {
			want = append(want, cluster.Placement{Node: x.ID})
		}
	}
	d := s.Descriptor
	for _, p := range want {
		r := cluster.Replica{ID: d.Next, Node: p.Node}
		if p.Learner {
			r.Part = cluster.Learner
		}
		d.Replicas = append(d.Replicas, r)
		d.Next++
	}
	return d
}

// Form creates the folders of all nodes of a new cluster: who they are, the map,
// their identities, and the empty stores, meta's with the map and the authority
// that signs the identities of nodes that join. It runs before there is a node,
// so the time and the keys are the machine's. Only forming, joining and
// rebuilding make stores: a node that starts and finds none has lost its data
// and must not take part as if it had never promised anything.
func Form(fs vfs.FS, dirs []string, f Formation) error {
	places := make([]Place, len(dirs))
	for i, dir := range dirs {
		places[i] = Place{Dir: dir, Peer: f.Members[i].Peer, Client: f.Members[i].Client, Small: f.Small}
		if err := store.MakeDir(fs, dir); err != nil {
			return err
		}
	}
	return form(fs, places, f, acl.NewSet(command.NewTable().Catalog(), acl.FirstEpoch, nil))
}

// form fills the folders of the nodes of a new cluster, which begins with users.
func form(fs vfs.FS, places []Place, f Formation, users *acl.Set) error {
	m, err := f.Map()
	if err != nil {
		return err
	}
	ca, err := trust.NewCA(f.Cluster, time.Now(), rand.Reader)
	if err != nil {
		return err
	}
	idents := make([]*trust.Identity, len(places))
	for i, place := range places {
		id := f.Members[i].ID
		if idents[i], err = ca.IssueNode(id, time.Now(), rand.Reader); err != nil {
			return err
		}
		if idents[i], err = signService(ca, idents[i], place.self(m.Name, id).hosts()); err != nil {
			return err
		}
	}
	rows, err := metaRows(m, ca, idents, users)
	if err != nil {
		return err
	}
	for i, place := range places {
		id := f.Members[i].ID
		var seeds []replicaSeed
		for _, s := range m.Shards {
			if x, ok := s.On(id); ok {
				seeds = append(seeds, seedOf(s, x.ID, rows))
			}
		}
		if err := prepare(fs, m, place, idents[i], seeds, users); err != nil {
			return fmt.Errorf("form node %d: %w", id, err)
		}
	}
	return nil
}

// metaRows returns the rows with which the meta shard begins.
func metaRows(m *cluster.Map, ca *trust.CA, idents []*trust.Identity, users *acl.Set) (rows []store.Row, err error) {
	authority, err := meta.AuthorityRow(meta.Authority{ID: 1, State: meta.Signing, CA: ca})
	if err != nil {
		return nil, err
	}
	all := append(meta.Rows(m), authority)
	for _, ident := range idents {
		hash, err := ident.KeyHash()
		if err != nil {
			return nil, err
		}
		all = append(all, meta.KeyRow(ident.NodeID, hash))
	}
	if users.Epoch > 0 {
		all = append(all, meta.UserRows(users)...)
	}
	for _, row := range all {
		rows = append(rows, store.Row(row))
	}
	return rows, nil
}

// admins are the users of a cluster that has one, who may do everything and has
// the password; nobody else can log in. It is a password that nobody could guess,
// so a hash that is fast is enough.
func admins(password string) (*acl.Set, error) {
	catalog := command.NewTable().Catalog()
	nobody, err := acl.Change(catalog, nil, acl.Default, acl.FirstEpoch, []string{"reset"})
	if err != nil {
		return nil, err
	}
	admin, err := acl.Change(catalog, nil, AdminUser, acl.FirstEpoch, []string{"on", "#" + acl.SHA256([]byte(password)), "~*", "&*", "+@all"})
	if err != nil {
		return nil, err
	}
	return acl.NewSet(catalog, acl.FirstEpoch, []*acl.User{nobody, admin}), nil
}

// AdminUser is the user that a new cluster begins with.
const AdminUser = "admin"

// Founding says how a machine becomes the first node of a new cluster.
type Founding struct {
	Place
	Cluster, Name, Zone string
	// MadeUp says that nobody chose the name of the cluster. If an attempt before was
	// cut off, its name is taken instead.
	MadeUp bool
	// Login returns the password of the first user of a cluster, 128 random bits or
	// more. It is called when the folder says which cluster is made there. Nil: there
	// are no users, and everybody who reaches the node may do everything.
	Login func(cluster string) (password string, err error)
}

// Init makes this machine the first node of a new cluster. If it was cut off, it
// begins anew when it is called again: until the folder is complete nobody can
// have heard of the cluster.
func Init(cfg Config, f Founding) error {
	cfg.fill()
	if err := f.Service.check(); err != nil {
		return err
	}
	lock, err := beginFolder(cfg.FS, f.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if f.Cluster, err = nameCluster(cfg.FS, f); err != nil {
		return err
	}
	users := acl.NewSet(command.NewTable().Catalog(), acl.FirstEpoch, nil)
	if f.Login != nil {
		password, err := f.Login(f.Cluster)
		if err == nil {
			users, err = admins(password)
		}
		if err != nil {
			return err
		}
	}
	one := Member{ID: 1, Name: f.Name, Zone: f.Zone, Peer: f.Peer, Client: f.Client}
	if err := form(cfg.FS, []Place{f.Place}, Formation{Cluster: f.Cluster, Members: []Member{one}}, users); err != nil {
		return err
	}
	return store.RemoveTwice(cfg.FS, f.Dir, formingFile)
}

// nameCluster returns the name of the cluster that is made in a folder, which says so from
// then on: what is kept elsewhere under that name, as the login is, belongs to the next
// attempt too.
func nameCluster(fs vfs.FS, f Founding) (string, error) {
	var before string
	if t, err := store.ReadTwice(fs, f.Dir, formingFile, formingVersion); err == nil {
		before = string(t.Body)
	}
	if f.MadeUp && trust.CheckCluster(before) == nil || before == f.Cluster {
		return before, nil
	}
	return f.Cluster, store.WriteTwice(fs, f.Dir, formingFile, formingVersion, []byte(f.Cluster))
}

// replicaSeed is a replica that a new node begins with.
type replicaSeed struct {
	id   cluster.ReplicaID
	d    cluster.Descriptor
	at   store.Applied
	conf *pb.ConfState
	rows []store.Row
}

// seedOf returns what a replica of a shard of a new cluster begins with; rows are
// those of meta.
func seedOf(s cluster.Shard, id cluster.ReplicaID, rows []store.Row) replicaSeed {
	seed := replicaSeed{id, s.Descriptor, store.Applied{Index: firstIndex, Term: firstTerm}, &pb.ConfState{}, nil}
	for _, r := range s.Replicas {
		if r.Part == cluster.Learner {
			seed.conf.Learners = append(seed.conf.Learners, uint64(r.ID))
		} else {
			seed.conf.Voters = append(seed.conf.Voters, uint64(r.ID))
		}
	}
	if s.ID == cluster.Meta {
		seed.rows = rows
	}
	return seed
}

// prepare fills the folder of a new node, with the replicas it begins with, and the
// users that the cluster begins with; nil: the node will ask for them.
func prepare(fs vfs.FS, m *cluster.Map, place Place, ident *trust.Identity, seeds []replicaSeed, users *acl.Set) error {
	dir := place.Dir
	if err := ident.Save(fs, dir); err != nil {
		return err
	}
	cfg := store.Config{FS: fs, Dir: dir, Small: place.Small, Bare: bare(m, ident.NodeID)}
	if _, err := store.OpenCounters(cfg, ident.NodeID, true); err != nil {
		return err
	}
	if err := makeStores(cfg, seeds); err != nil {
		return err
	}
	if err := writeMap(fs, dir, m.Encode(nil)); err != nil {
		return err
	}
	if users != nil {
		if err := writeUsers(fs, dir, meta.EncodeUsers(nil, users)); err != nil {
			return err
		}
	}
	// Last: a folder without it is no node yet.
	return place.self(m.Name, ident.NodeID).write(fs, dir)
}

// makeStores makes the stores of a node, with the given replicas.
func makeStores(cfg store.Config, seeds []replicaSeed) error {
	// An error that would end a node that runs ends this, too: nothing was promised.
	failed := make(chan error, 1) // room for the first, which is what is told
	cfg.Fatal = func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	// A disk that fails ends the goroutine that works with it, inside of the store.
	done := make(chan error, 1)
	go func() {
		defer close(done)
		done <- fillStores(cfg, seeds)
	}()
	err := <-done
	select {
	case ferr := <-failed:
		return errors.Join(err, ferr)
	default:
		return err
	}
}

func fillStores(cfg store.Config, seeds []replicaSeed) error {
	log, err := store.OpenLog(cfg)
	if err != nil {
		return err
	}
	state, err := store.OpenState(cfg)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	// Not deferred: a store that has ended the goroutine can't be closed.
	return errors.Join(createReplicas(log, state, seeds), state.Close(), log.Close())
}

func createReplicas(log *store.Log, state *store.State, seeds []replicaSeed) error {
	for _, s := range seeds {
		if err := state.Create(s.d, s.at, s.conf, s.rows...); err != nil {
			return err
		}
		if err := log.Create(s.d.ID, s.id, s.at.Index, s.at.Term); err != nil {
			return err
		}
	}
	return nil
}
