package cluster

import (
	"cmp"
	"fmt"
	"slices"
)

// Slots is the number of hash slots that the shards divide among themselves.
const Slots = 16384

// Limits of a map.
const (
	MembersMax = 1000
	ShardsMax  = Slots + 1
	// ReplicasMax is how many copies a shard may have, those that are about to
	// leave included.
	ReplicasMax = 32
	nameMax     = 255
)

// SlotRange is the slots [First, End).
type SlotRange struct{ First, End int }

// AllSlots is the range of a shard that owns everything.
var AllSlots = SlotRange{0, Slots}

// Empty reports whether there is no slot in r.
func (r SlotRange) Empty() bool { return r.First >= r.End }

// Has reports whether slot lies in r.
func (r SlotRange) Has(slot uint16) bool { return int(slot) >= r.First && int(slot) < r.End }

// Covers reports whether all of o lies in r.
func (r SlotRange) Covers(o SlotRange) bool {
	return o.Empty() || o.First >= r.First && o.End <= r.End
}

// Common returns the slots that are in both ranges.
func (r SlotRange) Common(o SlotRange) SlotRange {
	c := SlotRange{max(r.First, o.First), min(r.End, o.End)}
	if c.Empty() {
		return SlotRange{}
	}
	return c
}

// Role is what a member is there for.
type Role uint8

// The roles.
const (
	// Storage nodes hold replicas.
	Storage Role = iota
	// Gateway nodes hold none; they take commands for the others.
	Gateway
	roles
)

// State is whether a member may be given replicas.
type State uint8

// The states.
const (
	Active State = iota
	// Draining members keep what they have until it has moved away.
	Draining
	// Dead members have been silent for too long: others get their replicas, if
	// there are others. They become active again when they are heard.
	Dead
	states
)

// Member is one node of the cluster.
type Member struct {
	ID      NodeID  `json:"id"`
	Name    string  `json:"name,omitempty"`
	Zone    string  `json:"zone,omitempty"`
	Peer    string  `json:"peer"`   // host:port for nodes
	Client  string  `json:"client"` // host:port for clients
	Role    Role    `json:"role,omitempty"`
	State   State   `json:"state,omitempty"`
	Version Version `json:"version"` // the newest formats that the node has confirmed to read
}

// Placement is where a copy of a shard should be.
type Placement struct {
	Node    NodeID `json:"node"`
	Learner bool   `json:"learner,omitempty"`
}

// Shard is what the map knows of a shard: a copy of its descriptor, and where
// its replicas should be. No Want: where they are.
type Shard struct {
	Descriptor
	Want []Placement
}

// Map is who belongs to a cluster and what lives where, at one epoch. It is
// immutable: whoever changes it makes another one with Change.
type Map struct {
	Epoch   uint64
	Name    string  // of the cluster
	Version Version // of the formats that all members read: what may be written
	Policy  Policy
	Trust   uint64   // raised when the authorities change that nodes trust
	Members []Member // by id
	Shards  []Shard  // by id, meta first

	bySlot []int // indices of shards with slots, by their first slot
}

// NewMap checks the parts of a map and makes it. Both lists are sorted.
func NewMap(m Map) (*Map, error) {
	m.Members, m.Shards = slices.Clone(m.Members), slices.Clone(m.Shards)
	slices.SortFunc(m.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(m.Shards, func(a, b Shard) int { return cmp.Compare(a.ID, b.ID) })
	if err := m.check(); err != nil {
		return nil, err
	}
	m.bySlot = nil
	for i, s := range m.Shards {
		if !s.Slots.Empty() {
			m.bySlot = append(m.bySlot, i)
		}
	}
	slices.SortFunc(m.bySlot, func(a, b int) int { return cmp.Compare(m.Shards[a].Slots.First, m.Shards[b].Slots.First) })
	for i := 1; i < len(m.bySlot); i++ {
		if a, b := m.Shards[m.bySlot[i-1]], m.Shards[m.bySlot[i]]; b.Slots.First < a.Slots.End {
			return nil, fmt.Errorf("slot %d belongs to shards %d and %d: %w", b.Slots.First, a.ID, b.ID, ErrMap)
		}
	}
	return &m, nil
}

func (m *Map) check() error {
	if len(m.Members) == 0 || len(m.Members) > MembersMax {
		return fmt.Errorf("%d members, want 1 to %d: %w", len(m.Members), MembersMax, ErrMap)
	}
	if len(m.Shards) > ShardsMax {
		return fmt.Errorf("%d shards, want at most %d: %w", len(m.Shards), ShardsMax, ErrMap)
	}
	for i, x := range m.Members {
		if i > 0 && x.ID == m.Members[i-1].ID {
			return fmt.Errorf("node %d is a member twice: %w", x.ID, ErrMap)
		}
		if err := x.check(); err != nil {
			return err
		}
	}
	for i, s := range m.Shards {
		if i > 0 && s.ID == m.Shards[i-1].ID {
			return fmt.Errorf("shard %d is there twice: %w", s.ID, ErrMap)
		}
		if err := s.check(); err != nil {
			return err
		}
	}
	return nil
}

func (x Member) check() error {
	switch {
	case x.ID == 0 || x.ID > NodeMax:
		return fmt.Errorf("node id %d is not between 1 and %d: %w", x.ID, NodeMax, ErrMap)
	case x.Role >= roles || x.State >= states:
		return fmt.Errorf("node %d has role %d and state %d: %w", x.ID, x.Role, x.State, ErrMap)
	case max(len(x.Name), len(x.Zone), len(x.Peer), len(x.Client)) > nameMax:
		return fmt.Errorf("node %d has a name or address of more than %d characters: %w", x.ID, nameMax, ErrMap)
	}
	return nil
}

// Member returns the member of an id.
func (m *Map) Member(id NodeID) (Member, bool) {
	i, ok := slices.BinarySearchFunc(m.Members, id, func(x Member, id NodeID) int { return cmp.Compare(x.ID, id) })
	if !ok {
		return Member{}, false
	}
	return m.Members[i], true
}

// Shard returns what is known of a shard.
func (m *Map) Shard(id ShardID) (Shard, bool) {
	i, ok := slices.BinarySearchFunc(m.Shards, id, func(s Shard, id ShardID) int { return cmp.Compare(s.ID, id) })
	if !ok {
		return Shard{}, false
	}
	return m.Shards[i], true
}

// Data returns the shards that own slots, in the order of these. Not to be
// changed.
func (m *Map) Data() []Shard {
	list := make([]Shard, len(m.bySlot))
	for i, at := range m.bySlot {
		list[i] = m.Shards[at]
	}
	return list
}

// Owner returns the shard that owns a slot, which is not to be changed; nil: none
// does.
func (m *Map) Owner(slot uint16) *Shard {
	i, found := slices.BinarySearchFunc(m.bySlot, int(slot), func(at, slot int) int { return cmp.Compare(m.Shards[at].Slots.First, slot) })
	if !found {
		i--
	}
	if i < 0 || !m.Shards[m.bySlot[i]].Slots.Has(slot) {
		return nil
	}
	return &m.Shards[m.bySlot[i]]
}

// Single returns the shard that owns all slots, which is not to be changed; nil:
// there are several.
func (m *Map) Single() *Shard {
	if len(m.bySlot) != 1 || m.Shards[m.bySlot[0]].Slots != AllSlots {
		return nil
	}
	return &m.Shards[m.bySlot[0]]
}

// Hosts returns the nodes that have a replica of a shard, in order.
func (m *Map) Hosts(id ShardID) []NodeID {
	s, _ := m.Shard(id)
	return s.Nodes()
}

// Change returns the map with f's changes and the next epoch.
func (m *Map) Change(f func(next *Map)) (*Map, error) {
	next := *m
	next.Members, next.Shards = slices.Clone(m.Members), slices.Clone(m.Shards)
	next.Epoch++
	f(&next)
	return NewMap(next)
}

// SetMember puts a member in or in the place of the one of its id. For Change.
func (m *Map) SetMember(x Member) {
	if i := slices.IndexFunc(m.Members, func(o Member) bool { return o.ID == x.ID }); i >= 0 {
		m.Members[i] = x
		return
	}
	m.Members = append(m.Members, x)
}

// SetShard puts a shard in or in the place of the one of its id. For Change.
func (m *Map) SetShard(s Shard) {
	if i := slices.IndexFunc(m.Shards, func(o Shard) bool { return o.ID == s.ID }); i >= 0 {
		m.Shards[i] = s
		return
	}
	m.Shards = append(m.Shards, s)
}

// String returns the name of a role.
func (r Role) String() string {
	if r == Gateway {
		return "gateway"
	}
	return "node"
}

// String returns the name of a state.
func (s State) String() string {
	switch s {
	case Draining:
		return "draining"
	case Dead:
		return "dead"
	}
	return "active"
}
