package cluster

import "slices"

// Group is what a leader knows of its shard's Raft group when it looks for the
// next change.
type Group struct {
	Descriptor
	Leader ReplicaID
	// Joint says that a change is under way; the group ends it by itself.
	Joint bool
	// CaughtUp reports whether a replica has nearly all that is committed, so that
	// it may be counted on.
	CaughtUp func(ReplicaID) bool
}

// Goal is what the replicas of a shard should become: one on each node, as part
// of the node's data of at least that generation.
type Goal struct {
	Placement
	Data uint64
}

// Change is one step towards a goal. At most one of its parts is set, but that
// Promote, Demote and Remove make one change of the configuration.
type Change struct {
	// Add lists the replicas to be made, as learners; their ids are the shard's
	// next ones, in order.
	Add []Replica
	// Promote lists learners that become voters.
	Promote []ReplicaID
	// Demote lists voters that become learners.
	Demote []ReplicaID
	// Remove lists replicas that leave.
	Remove []ReplicaID
	// Lead is the voter that leadership is to move to: the leader is to leave.
	Lead ReplicaID
}

// Nothing reports whether there is nothing to do now.
func (c Change) Nothing() bool {
	return len(c.Add)+len(c.Promote)+len(c.Demote)+len(c.Remove) == 0 && c.Lead == 0
}

// NextChange returns the next step that brings a group nearer to its goals. It
// is all there is to know about how replicas come and go: joins, drains,
// replacements of dead nodes, and nodes that lost their data differ only in
// their goals. It depends on nothing but its arguments, so any later leader
// goes on where one stopped, and at the goal it returns Nothing.
//
// A replica is good if it is on a node of the goal and part of data that is new
// enough. The steps, the first that applies:
//
//  1. Learners that are of no use leave.
//  2. Nodes of the goal without a good replica get a learner.
//  3. If the leader is to leave and there is a good voter, it takes over.
//  4. Once all that are to vote have caught up, one joint change makes them
//     voters, and the others leave. Until then each one that has caught up takes
//     the place of one that is to leave: a node that never comes back holds
//     nobody else up, and the number of voters does not pass through an even one
//     that survives less.
//
// The leader is never removed: it gives leadership away first.
func NextChange(g Group, goals []Goal) Change {
	if g.Joint || !slices.ContainsFunc(goals, func(x Goal) bool { return !x.Learner }) {
		return Change{} // under way, or nobody would be left to vote
	}
	p := sortOut(g, goals)
	switch {
	case len(p.useless) > 0:
		return Change{Remove: p.useless}
	case len(p.missing) > 0:
		return Change{Add: p.missing}
	}
	if p.leaderLeaves {
		if i := slices.IndexFunc(p.voters, g.CaughtUp); i >= 0 {
			return Change{Lead: p.voters[i]}
		}
	}
	switch {
	case len(p.ready)+len(p.leaving) == 0:
		return Change{}
	case p.waiting == 0:
		return p.swap(p.ready, p.leaving)
	}
	n := min(len(p.ready), len(p.leaving))
	return p.swap(p.ready[:n], p.leaving[:n])
}

// sorted are the replicas of a group, as a goal sees them.
type sorted struct {
	useless      []ReplicaID // learners that are not wanted
	missing      []Replica
	voters       []ReplicaID // good, and voters already
	ready        []ReplicaID // learners that are to vote and have caught up
	waiting      int         // learners that are to vote and have not
	leaving      []ReplicaID // voters that are not to vote, the leader left out
	demote       map[ReplicaID]bool
	leaderLeaves bool
}

func sortOut(g Group, goals []Goal) (p sorted) {
	goal := make(map[NodeID]Goal)
	for _, x := range goals {
		goal[x.Node] = x
	}
	p.demote = make(map[ReplicaID]bool)
	good := make(map[NodeID]bool)
	// The newest first: of two good ones of a node only one is wanted.
	for _, r := range slices.Backward(g.Replicas) {
		x, wanted := goal[r.Node]
		wanted = wanted && r.Data >= x.Data && !good[r.Node]
		good[r.Node] = good[r.Node] || wanted
		switch {
		case r.Part == Voter && wanted && !x.Learner:
			p.voters = append(p.voters, r.ID)
		case r.Part == Voter && r.ID == g.Leader:
			p.leaderLeaves = true
		case r.Part == Voter:
			p.leaving = append(p.leaving, r.ID)
			p.demote[r.ID] = wanted
		case !wanted:
			p.useless = append(p.useless, r.ID)
		case x.Learner:
		case g.CaughtUp(r.ID):
			p.ready = append(p.ready, r.ID)
		default:
			p.waiting++
		}
	}
	for _, x := range goals {
		if !good[x.Node] {
			p.missing = append(p.missing, Replica{ID: g.Next + ReplicaID(len(p.missing)), Node: x.Node, Data: x.Data, Part: Learner})
		}
	}
	// Those whose node gets a new voter go first: they are the ones that lost
	// their data.
	slices.SortStableFunc(p.leaving, func(a, b ReplicaID) int { return p.replaced(g, b) - p.replaced(g, a) })
	return p
}

// replaced returns 1 if a learner that is ready is on the node of id.
func (p *sorted) replaced(g Group, id ReplicaID) int {
	old, _ := g.Replica(id)
	for _, x := range p.ready {
		if r, _ := g.Replica(x); r.Node == old.Node {
			return 1
		}
	}
	return 0
}

func (p *sorted) swap(ready, leaving []ReplicaID) (c Change) {
	c.Promote = append(c.Promote, ready...)
	for _, id := range leaving {
		if p.demote[id] {
			c.Demote = append(c.Demote, id)
		} else {
			c.Remove = append(c.Remove, id)
		}
	}
	return c
}
