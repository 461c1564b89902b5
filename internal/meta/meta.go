// Package meta keeps the map of the cluster as rows of the meta shard, and
// changes it. Its functions run inside transactions, as all evaluation does, so
// the map is replicated, scrubbed and rebuilt as all data is.
//
// # Rows
//
// Below the prefix of package keyspace's MetaRow, integers big-endian:
//
//	'e'          version:1=1 epoch:8 of the map; every change raises it
//	'c'          the cluster's name
//	'v'          version:1=1 version:8 of the formats that all members read
//	'm' node:8   a member, see package cluster for this and the next two
//	's' shard:8  what meta knows of a shard's descriptor
//	'w' shard:8  where the replicas of the shard should be
//	'n'          version:1=1 node:8 shard:8, the ids that are given out next
//	'g'          the policy
//	'i'          version:1=1 generation:8 of the authorities
//
// That is the map. Beside it lie the authorities (authority.go), and the tokens
// and keys with which nodes join (token.go), which are never told with the map.
//
// # Who decides
//
// Meta decides who belongs to the cluster, and plans. What a shard owns and who
// its replicas are is decided by the shard's own log: its leader reports it here,
// and of two reports the one of the higher generation holds.
package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

var be = binary.BigEndian

// The kinds of rows.
const (
	rowEpoch   = 'e'
	rowName    = 'c'
	rowVersion = 'v'
	rowMember  = 'm'
	rowShard   = 's'
	rowWant    = 'w'
	rowNext    = 'n'
	rowPolicy  = 'g'
	rowTrust   = 'i'
)

// Errors that say what is not as the caller of a change thought.
var (
	ErrNoMember   = errors.New("there is no such node")
	ErrNoShard    = errors.New("there is no such shard")
	ErrInUse      = errors.New("the node still has replicas")
	ErrNotAllowed = errors.New("this is not possible")
)

// ErrNoMap says that there are no rows of a map: a replica of the meta shard has not
// been told anything yet.
var ErrNoMap = fmt.Errorf("no map: %w", cluster.ErrMap)

// Row is a row of the map.
type Row struct{ Key, Val []byte }

// Rows returns the rows that hold m, for a cluster that begins with it.
func Rows(m *cluster.Map) []Row {
	rows := []Row{
		{keyspace.MetaRow(rowEpoch), encodeNumbers(m.Epoch)},
		{keyspace.MetaRow(rowName), []byte(m.Name)},
		{keyspace.MetaRow(rowVersion), encodeNumbers(uint64(m.Version))},
		{keyspace.MetaRow(rowPolicy), m.Policy.Encode(nil)},
		{keyspace.MetaRow(rowTrust), encodeNumbers(m.Trust)},
	}
	var lastNode cluster.NodeID
	var lastShard cluster.ShardID
	for _, x := range m.Members {
		rows = append(rows, Row{memberRow(x.ID), x.Encode(nil)})
		lastNode = max(lastNode, x.ID)
	}
	for _, s := range m.Shards {
		rows = append(rows, Row{shardRow(rowShard, s.ID), s.Descriptor.Encode(nil)})
		if len(s.Want) > 0 {
			rows = append(rows, Row{shardRow(rowWant, s.ID), cluster.EncodePlacement(nil, s.Want)})
		}
		lastShard = max(lastShard, s.ID)
	}
	return append(rows, Row{keyspace.MetaRow(rowNext), encodeNext(lastNode+1, lastShard+1)})
}

func memberRow(id cluster.NodeID) []byte {
	return keyspace.MetaRow(rowMember, be.AppendUint64(nil, uint64(id))...)
}

func shardRow(kind byte, id cluster.ShardID) []byte {
	return keyspace.MetaRow(kind, be.AppendUint64(nil, uint64(id))...)
}

func encodeNext(node cluster.NodeID, shard cluster.ShardID) []byte {
	return encodeNumbers(uint64(node), uint64(shard))
}

// Load reads the map from a state of the meta shard.
func Load(r keyspace.Reader) (*cluster.Map, error) {
	var m cluster.Map
	it, err := r.Iter(keyspace.MetaRow(0), keyspace.MetaRow(0xff))
	if err != nil {
		return nil, err
	}
	want := make(map[cluster.ShardID][]cluster.Placement)
	prefix := len(keyspace.MetaRow(0)) - 1
	for ok := it.First(); ok; ok = it.Next() {
		if err := load(&m, want, it.Key()[prefix], it.Key()[prefix+1:], it.Value()); err != nil {
			err = fmt.Errorf("row %q of the map: %w", it.Key()[prefix:], err)
			return nil, errors.Join(err, it.Close())
		}
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	if m.Epoch == 0 && len(m.Members) == 0 {
		return nil, ErrNoMap
	}
	for i := range m.Shards {
		m.Shards[i].Want = want[m.Shards[i].ID]
	}
	return cluster.NewMap(m)
}

func load(m *cluster.Map, want map[cluster.ShardID][]cluster.Placement, kind byte, key, val []byte) (err error) {
	switch kind {
	case rowEpoch:
		err = decodeNumbers(val, &m.Epoch)
	case rowName:
		m.Name = string(val)
	case rowVersion:
		err = decodeNumbers(val, (*uint64)(&m.Version))
	case rowMember:
		var x cluster.Member
		x, err = cluster.DecodeMember(val)
		m.Members = append(m.Members, x)
	case rowShard:
		var d cluster.Descriptor
		d, err = cluster.DecodeDescriptor(val)
		m.Shards = append(m.Shards, cluster.Shard{Descriptor: d})
	case rowWant:
		var list []cluster.Placement
		list, err = cluster.DecodePlacement(val)
		if err == nil && len(key) == 8 {
			want[cluster.ShardID(be.Uint64(key))] = list
		}
	case rowTrust:
		err = decodeNumbers(val, &m.Trust)
	case rowPolicy:
		m.Policy, err = cluster.DecodePolicy(val)
	case rowNext:
	default:
		// A later version may keep more here; what this one must know it says by
		// the version of the map.
	}
	return err
}

// Change is a change of the map inside a transaction.
type Change struct {
	tx  *keyspace.Tx
	Map *cluster.Map // as it is, changes made included
}

// Begin reads the map that tx sees. An error of the transaction's reader is the
// transaction's.
func Begin(tx *keyspace.Tx) (*Change, error) {
	m, err := Load(reader{tx})
	if err != nil {
		return nil, err
	}
	return &Change{tx, m}, nil
}

// reader lets Load read what a transaction sees.
type reader struct{ tx *keyspace.Tx }

func (r reader) Get(row, dst []byte) ([]byte, bool, error) {
	v, ok := r.tx.Get(row, dst)
	return v, ok, r.tx.Err()
}

func (r reader) Iter(lower, upper []byte) (keyspace.Iterator, error) {
	it := r.tx.Iter(lower, upper)
	return it, r.tx.Err()
}

// change replaces the map by what f makes of it, if that is possible, and plans
// anew where the replicas should be.
func (c *Change) change(f func(next *cluster.Map)) error {
	next, err := c.Map.Change(func(next *cluster.Map) {
		f(next)
		next.Version = max(next.Version, next.Confirmed())
		next.Replan()
	})
	if err != nil {
		return err
	}
	for _, s := range next.Shards {
		if old, _ := c.Map.Shard(s.ID); !slices.Equal(old.Want, s.Want) {
			c.putWant(s)
		}
	}
	c.tx.Put(keyspace.MetaRow(rowEpoch), encodeNumbers(next.Epoch))
	if next.Version != c.Map.Version {
		c.tx.Put(keyspace.MetaRow(rowVersion), encodeNumbers(uint64(next.Version)))
	}
	c.Map = next
	return nil
}

// SetMember takes a member in, or changes one. With id 0 it gets the next one.
func (c *Change) SetMember(x cluster.Member) (cluster.NodeID, error) {
	if x.Version < c.Map.Version {
		return 0, fmt.Errorf("%w: the node reads formats up to version %d, the cluster writes version %d; start a newer tutti there", ErrNotAllowed, x.Version, c.Map.Version)
	}
	if x.ID == 0 {
		id, err := c.nextNode()
		if err != nil {
			return 0, err
		}
		x.ID = id
	} else if _, ok := c.Map.Member(x.ID); !ok {
		return 0, fmt.Errorf("node %d: %w", x.ID, ErrNoMember)
	}
	if err := c.change(func(next *cluster.Map) { next.SetMember(x) }); err != nil {
		return 0, err
	}
	c.tx.Put(memberRow(x.ID), x.Encode(nil))
	return x.ID, nil
}

// nextNode gives out a node id. Ids of members that left are not given again.
func (c *Change) nextNode() (cluster.NodeID, error) {
	val, _ := c.tx.Get(keyspace.MetaRow(rowNext), nil)
	var id cluster.NodeID
	var shard cluster.ShardID
	if err := decodeNumbers(val, (*uint64)(&id), (*uint64)(&shard)); err != nil {
		return 0, fmt.Errorf("row %q: %w", rowNext, err)
	}
	if id > cluster.NodeMax {
		return 0, fmt.Errorf("%w: all node ids have been given out", ErrNotAllowed)
	}
	c.tx.Put(keyspace.MetaRow(rowNext), encodeNext(id+1, shard))
	return id, nil
}

// RemoveMember takes a member out that has no replicas and is to have none.
func (c *Change) RemoveMember(id cluster.NodeID) error {
	if _, ok := c.Map.Member(id); !ok {
		return fmt.Errorf("node %d: %w", id, ErrNoMember)
	}
	for _, s := range c.Map.Shards {
		planned := slices.ContainsFunc(s.Want, func(p cluster.Placement) bool { return p.Node == id })
		if _, has := s.On(id); has || planned {
			return fmt.Errorf("node %d has one of shard %d: %w", id, s.ID, ErrInUse)
		}
	}
	if err := c.change(func(next *cluster.Map) {
		next.Members = slices.DeleteFunc(next.Members, func(x cluster.Member) bool { return x.ID == id })
	}); err != nil {
		return err
	}
	c.tx.Delete(memberRow(id))
	c.tx.Delete(keyRow(id))
	c.tx.Delete(hasRow(id))
	return Certs{c}.turn() // it may have been the last one that a rotation waited for
}

// Place plans where the replicas of a shard should be; none: where they are. It
// is for clusters whose policy leaves that to others.
func (c *Change) Place(id cluster.ShardID, want []cluster.Placement) error {
	if !c.Map.Policy.Manual {
		return fmt.Errorf("%w: the cluster places its replicas by itself", ErrNotAllowed)
	}
	s, ok := c.Map.Shard(id)
	if !ok {
		return fmt.Errorf("shard %d: %w", id, ErrNoShard)
	}
	votes := len(want) == 0
	seen := make(map[cluster.NodeID]bool)
	for _, p := range want {
		x, ok := c.Map.Member(p.Node)
		switch {
		case !ok:
			return fmt.Errorf("node %d: %w", p.Node, ErrNoMember)
		case x.Role == cluster.Gateway:
			return fmt.Errorf("%w: node %d is a gateway, which has no replicas", ErrNotAllowed, p.Node)
		case seen[p.Node]:
			return fmt.Errorf("%w: two replicas on node %d", ErrNotAllowed, p.Node)
		}
		seen[p.Node] = true
		votes = votes || !p.Learner
	}
	if !votes {
		return fmt.Errorf("%w: nobody would vote in shard %d", ErrNotAllowed, id)
	}
	if s.Want = slices.Clone(want); len(want) > cluster.ReplicasMax/2 {
		return fmt.Errorf("%w: more than %d replicas", ErrNotAllowed, cluster.ReplicasMax/2)
	}
	return c.change(func(next *cluster.Map) { next.SetShard(s) })
}

func (c *Change) putWant(s cluster.Shard) {
	if len(s.Want) == 0 {
		c.tx.Delete(shardRow(rowWant, s.ID))
	} else {
		c.tx.Put(shardRow(rowWant, s.ID), cluster.EncodePlacement(nil, s.Want))
	}
}

// Report takes over what a shard says of itself, if that is newer. It reports
// whether it was.
func (c *Change) Report(d cluster.Descriptor) (bool, error) {
	s, ok := c.Map.Shard(d.ID)
	if !ok {
		return false, fmt.Errorf("shard %d: %w", d.ID, ErrNoShard)
	}
	if d.Generation <= s.Generation {
		return false, nil
	}
	s.Descriptor = d
	if err := c.change(func(next *cluster.Map) { next.SetShard(s) }); err != nil {
		return false, err
	}
	c.tx.Put(shardRow(rowShard, d.ID), d.Encode(nil))
	return true, nil
}
