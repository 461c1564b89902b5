package cluster

import (
	"cmp"
	"slices"
	"time"
)

// Policy is what the cluster decides about its replicas by itself.
type Policy struct {
	// Manual leaves the replicas where TUTTI.PLACE puts them. Otherwise they are
	// where Plan says.
	Manual bool
	// DeadAfter is how long a node must be silent until its replicas are made
	// elsewhere; zero: DefaultDeadAfter.
	DeadAfter time.Duration
}

// DefaultDeadAfter is long enough for a machine that starts again or gets a
// new kernel, whose copies would be made for nothing.
const DefaultDeadAfter = 5 * time.Minute

// Silence returns how long a node may be silent.
func (p Policy) Silence() time.Duration { return cmp.Or(p.DeadAfter, DefaultDeadAfter) }

const (
	// votersFew and votersMany are how many replicas of a shard vote: with few
	// nodes each write waits for two disks, with many for three.
	votersFew, votersMany = 3, 5
	// nodesMany is from how many nodes on more vote: below it, five voters would
	// be nearly all nodes.
	nodesMany = 7
	// CopiesMax is how many copies of a shard there are, learners included. More
	// would add nothing to its safety, and each costs its leader what it sends.
	CopiesMax = 9
)

// votersFor returns how many replicas vote on n nodes: an odd number, as an
// even one survives no more than the one below it.
func votersFor(n int) int {
	switch {
	case n >= nodesMany:
		return votersMany
	case n >= votersFew:
		return votersFew
	}
	return 1
}

// Plan returns where the replicas of a shard should be, in the order of the
// nodes: the voters in as many zones as there are, on nodes that live, and
// learners on the other nodes up to CopiesMax. It depends on nothing but the
// map, and moves nothing without need: among equals those that have a replica
// keep it. Without a living node it returns nil: there is nobody to move to.
//
// A dead node keeps its vote where nobody can take it over. Taking it away
// would make fewer copies decide just when one was lost.
func (m *Map) Plan(id ShardID) []Placement {
	s, _ := m.Shard(id)
	return m.plan(s)
}

func (m *Map) plan(s Shard) []Placement {
	p := newPlan(m, s)
	if len(p.live) == 0 {
		return nil
	}
	voters := p.voters()
	var plan []Placement
	for _, node := range voters {
		plan = append(plan, Placement{Node: node})
	}
	for _, c := range p.live {
		if len(plan) < CopiesMax && !slices.Contains(voters, c.node) {
			plan = append(plan, Placement{Node: c.node, Learner: true})
		}
	}
	slices.SortFunc(plan, func(a, b Placement) int { return cmp.Compare(a.Node, b.Node) })
	return plan
}

// Replan plans the replicas of all shards, unless the policy leaves it to
// others. For Change.
func (m *Map) Replan() {
	if m.Policy.Manual {
		return
	}
	for i, s := range m.Shards {
		if plan := m.plan(s); plan != nil {
			m.Shards[i].Want = plan
		}
	}
}

// candidate is a node that may have a replica.
type candidate struct {
	node NodeID
	zone string
	rank int // the lower, the sooner it is taken, see newPlan
}

// Ranks of candidates.
const (
	rankVotes  = iota // it is to vote already
	rankVoted         // it votes, though it is not to any more
	rankLearns        // it has a replica
	rankEmpty
)

type plan struct {
	live []candidate // by rank, then id
	dead []candidate // of these, those that vote
	all  int         // nodes, the dead ones included
}

func newPlan(m *Map, s Shard) (p plan) {
	for _, x := range m.Members {
		if x.Role != Storage || x.State == Draining {
			continue
		}
		p.all++
		c := candidate{x.ID, x.Zone, s.rank(x.ID)}
		switch {
		case x.State == Active:
			p.live = append(p.live, c)
		case c.rank <= rankVoted:
			p.dead = append(p.dead, c)
		}
	}
	slices.SortStableFunc(p.live, func(a, b candidate) int { return a.rank - b.rank })
	return p
}

// rank returns how near a node is to be a voter of the shard.
func (s Shard) rank(node NodeID) int {
	x, has := s.On(node)
	switch {
	case slices.Contains(s.Want, Placement{Node: node}):
		return rankVotes
	case has && x.Part == Voter && len(s.Want) == 0:
		return rankVotes
	case has && x.Part != Learner:
		return rankVoted
	case has:
		return rankLearns
	}
	return rankEmpty
}

// voters returns the nodes that are to vote.
func (p *plan) voters() (voters []NodeID) {
	n := votersFor(len(p.live))
	if len(p.live) < votersFew {
		n = min(votersFew, votersFor(p.all))
	}
	zones := make(map[string]int)
	used := func(c candidate) int {
		if c.zone == "" {
			return 0 // nothing is known of it, so it stands alone
		}
		return zones[c.zone]
	}
	left := slices.Clone(p.live)
	for len(voters) < n && len(left) > 0 {
		best := 0
		for i := range left {
			if used(left[i]) < used(left[best]) {
				best = i // of one zone the first is the best
			}
		}
		zones[left[best].zone]++
		voters = append(voters, left[best].node)
		left = slices.Delete(left, best, best+1)
	}
	for _, c := range p.dead {
		if len(voters) < n {
			voters = append(voters, c.node)
		}
	}
	return voters[:len(voters)-(len(voters)+1)%2] // an even one more survives nothing more
}
