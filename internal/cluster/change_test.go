package cluster

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// group makes a group of voters on the given nodes, replica n on the n-th.
func group(nodes ...NodeID) Group {
	g := Group{Leader: 1, CaughtUp: func(ReplicaID) bool { return true }}
	for _, n := range nodes {
		g.Next++
		g.Replicas = append(g.Replicas, Replica{ID: g.Next, Node: n})
	}
	g.Next++
	return g
}

func voters(nodes ...NodeID) (goals []Goal) {
	for _, n := range nodes {
		goals = append(goals, Goal{Placement: Placement{Node: n}})
	}
	return goals
}

func TestNextChange(t *testing.T) {
	with := func(g Group, more ...Replica) Group {
		g.Replicas = append(g.Replicas, more...)
		g.Next += ReplicaID(len(more))
		return g
	}
	behind := func(g Group, ids ...ReplicaID) Group {
		g.CaughtUp = func(id ReplicaID) bool { return !slices.Contains(ids, id) }
		return g
	}
	led := func(g Group, id ReplicaID) Group { g.Leader = id; return g }
	lost := func(goals []Goal, node NodeID, data uint64) []Goal {
		for i := range goals {
			if goals[i].Node == node {
				goals[i].Data = data
			}
		}
		return goals
	}
	joint := group(1, 2, 3)
	joint.Joint = true
	for _, c := range []struct {
		name  string
		g     Group
		goals []Goal
		want  Change
	}{
		{"at the goal", group(1, 2, 3), voters(1, 2, 3), Change{}},
		{"a change is under way", joint, voters(1, 2), Change{}},
		{"no goal", group(1), nil, Change{}},
		{"nobody to vote", group(1), []Goal{{Placement: Placement{1, true}}}, Change{}},
		{"grow by two", group(1), voters(1, 2, 3), Change{Add: []Replica{{2, 2, 0, Learner}, {3, 3, 0, Learner}}}},
		{"one of two is behind", behind(with(group(1), Replica{2, 2, 0, Learner}, Replica{3, 3, 0, Learner}), 3), voters(1, 2, 3), Change{}},
		{"both caught up", with(group(1), Replica{2, 2, 0, Learner}, Replica{3, 3, 0, Learner}), voters(1, 2, 3), Change{Promote: []ReplicaID{2, 3}}},
		{"shrink", group(1, 2, 3, 4, 5), voters(1, 2, 3), Change{Remove: []ReplicaID{5, 4}}},
		{"shrink to another: lead first", group(1, 2, 3), voters(2), Change{Lead: 2}},
		{"shrink to another: then leave", led(group(1, 2, 3), 2), voters(2), Change{Remove: []ReplicaID{3, 1}}},
		{"data lost: a learner", group(1, 2, 3), lost(voters(1, 2, 3), 3, 7), Change{Add: []Replica{{4, 3, 7, Learner}}}},
		{"data lost: in its place", with(group(1, 2, 3), Replica{4, 3, 7, Learner}), lost(voters(1, 2, 3), 3, 7), Change{Promote: []ReplicaID{4}, Remove: []ReplicaID{3}}},
		{"data lost again: the learner is of no use", with(group(1, 2, 3), Replica{4, 3, 7, Learner}), lost(voters(1, 2, 3), 3, 8), Change{Remove: []ReplicaID{4}}},
		{"two lost, one behind: the other takes its own place",
			behind(with(group(1, 2, 3, 4, 5), Replica{6, 4, 1, Learner}, Replica{7, 5, 1, Learner}), 6),
			lost(lost(voters(1, 2, 3, 4, 5), 4, 1), 5, 1), Change{Promote: []ReplicaID{7}, Remove: []ReplicaID{5}}},
		{"move away from the leader", with(group(1, 2, 3), Replica{4, 4, 0, Learner}), voters(2, 3, 4), Change{Lead: 3}},
		{"move all: the leader stays for now", with(group(1, 2), Replica{3, 3, 0, Learner}, Replica{4, 4, 0, Learner}), voters(3, 4), Change{Promote: []ReplicaID{4, 3}, Remove: []ReplicaID{2}}},
		{"a voter is to learn", group(1, 2, 3), append(voters(1), Goal{Placement: Placement{2, true}}), Change{Demote: []ReplicaID{2}, Remove: []ReplicaID{3}}},
	} {
		got := NextChange(c.g, c.goals)
		slices.Sort(got.Promote)
		slices.Sort(c.want.Promote)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestNextChangeEnds changes goals, leaders and data at random while groups
// change, and checks each step and that every goal is reached.
func TestNextChangeEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for round := range 2000 {
		g := group([]NodeID{1, 2, 3, 4, 5}[:1+r.IntN(5)]...)
		data := make(map[NodeID]uint64)
		var goals []Goal
		draw := func() {
			goals = nil
			for _, n := range r.Perm(7)[:1+r.IntN(5)] {
				goals = append(goals, Goal{Placement: Placement{NodeID(n + 1), len(goals) > 0 && r.IntN(4) == 0}, Data: data[NodeID(n+1)]})
			}
		}
		draw()
		for step := range 400 {
			if step < 200 && r.IntN(10) == 0 {
				draw()
			}
			if step < 200 && r.IntN(20) == 0 { // a node loses its data; not the leader's, who would stop
				n := NodeID(1 + r.IntN(7))
				if leader, _ := g.Replica(g.Leader); leader.Node != n {
					data[n]++
					for i := range goals {
						if goals[i].Node == n {
							goals[i].Data = data[n]
						}
					}
				}
			}
			behind := ReplicaID(0)
			if step < 200 {
				behind = 1 + ReplicaID(r.IntN(int(g.Next)))
			}
			g.CaughtUp = func(id ReplicaID) bool { return id != behind }
			if err := applyChange(&g, NextChange(g, goals)); err != nil {
				t.Fatalf("round %d, step %d: %+v, goals %+v: %v", round, step, g.Descriptor, goals, err)
			}
		}
		if c := NextChange(g, goals); !c.Nothing() {
			t.Fatalf("round %d: %+v is left to do for %+v in %+v", round, c, goals, g.Descriptor)
		}
		if len(g.Replicas) != len(goals) {
			t.Fatalf("round %d: %+v at the goals %+v", round, g.Descriptor, goals)
		}
		for _, x := range goals {
			if got, ok := g.On(x.Node); !ok || got.Data < x.Data || (got.Part == Learner) != x.Learner {
				t.Fatalf("round %d: %+v at the goals %+v", round, g.Descriptor, goals)
			}
		}
	}
}

// applyChange does to g what its log would do, and checks what must hold.
func applyChange(g *Group, c Change) error {
	count := func() (voters int) {
		for _, r := range g.Replicas {
			if r.Part == Voter {
				voters++
			}
		}
		return voters
	}
	before := count()
	if c.Lead != 0 {
		r, ok := g.Replica(c.Lead)
		if !ok || r.Part != Voter || c.Lead == g.Leader || !g.CaughtUp(c.Lead) {
			return fmt.Errorf("leadership to %d", c.Lead)
		}
		g.Leader = c.Lead
	}
	for _, x := range c.Add {
		if x.ID != g.Next || x.Part != Learner {
			return fmt.Errorf("a new replica %+v", x)
		}
		g.Replicas = append(g.Replicas, x)
		g.Next++
	}
	for i, r := range g.Replicas {
		switch {
		case slices.Contains(c.Promote, r.ID):
			if r.Part != Learner || !g.CaughtUp(r.ID) {
				return fmt.Errorf("%+v is to vote", r)
			}
			g.Replicas[i].Part = Voter
		case slices.Contains(c.Demote, r.ID):
			g.Replicas[i].Part = Learner
		}
	}
	if slices.Contains(c.Remove, g.Leader) || slices.Contains(c.Demote, g.Leader) {
		return fmt.Errorf("the leader %d is to leave", g.Leader)
	}
	g.Replicas = slices.DeleteFunc(slices.Clone(g.Replicas), func(r Replica) bool { return slices.Contains(c.Remove, r.ID) })
	if after := count(); after < before && len(c.Promote) > 0 && len(c.Promote) < len(c.Remove)+len(c.Demote) && after == 0 {
		return fmt.Errorf("%d voters became %d", before, after)
	}
	if count() == 0 {
		return fmt.Errorf("nobody votes")
	}
	return nil
}
