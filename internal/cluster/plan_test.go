package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// parseMembers reads members in the order of their ids, each by its zone, "-"
// for none, and then "d" if it drains, "x" if it is dead, "g" if it is a gateway.
func parseMembers(text string) (list []Member) {
	for i, f := range strings.Fields(text) {
		x := Member{ID: NodeID(i + 1), Version: Newest}
		zone := strings.TrimRight(f, "dxg")
		x.Zone = strings.Trim(zone, "-")
		switch f[len(zone):] {
		case "d":
			x.State = Draining
		case "x":
			x.State = Dead
		case "g":
			x.Role = Gateway
		}
		list = append(list, x)
	}
	return list
}

// planText shows a plan: learners in brackets.
func planText(plan []Placement) string {
	var words []string
	for _, p := range plan {
		if p.Learner {
			words = append(words, fmt.Sprintf("(%d)", p.Node))
		} else {
			words = append(words, fmt.Sprint(p.Node))
		}
	}
	return strings.Join(words, " ")
}

// shardOn is a shard with voters on these nodes and learners on those below
// zero.
func shardOn(nodes ...int) Shard {
	s := Shard{Descriptor: Descriptor{ID: 1, Slots: AllSlots, Next: ReplicaID(len(nodes) + 1)}}
	for i, n := range nodes {
		r := Replica{ID: ReplicaID(i + 1), Node: NodeID(max(n, -n))}
		if n < 0 {
			r.Part = Learner
		}
		s.Replicas = append(s.Replicas, r)
	}
	return s
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name, members string
		s             Shard
		want          string
	}{
		{"one node", "-", shardOn(1), "1"},
		{"a second one learns", "- -", shardOn(1), "1 (2)"},
		{"three vote", "- - -", shardOn(1, -2), "1 2 3"},
		{"further ones learn", "- - - - -", shardOn(1, 2, 3), "1 2 3 (4) (5)"},
		{"five vote on seven", "- - - - - - -", shardOn(1, 2, 3, -4, -5), "1 2 3 4 5 (6) (7)"},
		{"nine copies", "- - - - - - - - - - -", shardOn(3, 4, 5, 10, 11), "(1) (2) 3 4 5 (6) (7) 10 11"},
		{"a gateway has nothing", "- - - -g", shardOn(1, 2, 3), "1 2 3"},
		{"a draining voter is replaced", "- -d - -", shardOn(1, 2, 3, -4), "1 3 4"},
		{"one of three drains", "- - -d", shardOn(1, 2, 3), "1 (2)"},
		{"the last but one drains", "- -d", shardOn(1, -2), "1"},
		{"all drain", "-d", shardOn(1), ""},
		{"a dead voter is replaced", "- -x - -", shardOn(1, 2, 3, -4), "1 3 4"},
		{"nobody can replace it", "- -x -", shardOn(1, 2, 3), "1 2 3"},
		{"one that died before it voted does not vote", "- - -x", shardOn(1, -2), "1 (2)"},
		{"two dead of three", "- -x -x", shardOn(1, 2, 3), "1 2 3"},
		{"seven shrink to three that live", "- - - -x -x -x -x", shardOn(1, 2, 3, 4, 5), "1 2 3"},
		{"who came back learns", "- - - -", shardOn(1, 3, 4, -2), "1 (2) 3 4"},
		{"zones are spread", "a a b c", shardOn(1, 2, 3, -4), "1 (2) 3 4"},
		{"two zones are as good as it gets", "a a b b", shardOn(1, 2, 3, -4), "1 2 3 (4)"},
		{"no zone is a zone of its own", "a a - -", shardOn(1, 2, 3, -4), "1 (2) 3 4"},
	} {
		m, err := NewMap(Map{Members: parseMembers(c.members), Shards: []Shard{c.s}})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := planText(m.Plan(1)); got != c.want {
			t.Errorf("%s: %s on %s: %s, want %s", c.name, planText(asWanted(c.s)), c.members, got, c.want)
		}
	}
}

func asWanted(s Shard) (list []Placement) {
	for _, r := range s.Replicas {
		list = append(list, Placement{Node: r.Node, Learner: r.Part == Learner})
	}
	return list
}

// TestPlanHolds lets nodes join, die, return, drain and leave at random: each
// plan is what was promised of it, and once it is followed it stays.
func TestPlanHolds(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		m, err := NewMap(Map{Members: []Member{{ID: 1, Version: 1}}, Shards: []Shard{shardOn(1)}})
		if err != nil {
			t.Fatal(err)
		}
		next := NodeID(2)
		for range 40 {
			m, err = m.Change(func(n *Map) {
				x := n.Members[r.IntN(len(n.Members))]
				switch k := r.IntN(6); {
				case k <= 1 && next < 15:
					n.SetMember(Member{ID: next, Version: 1, Zone: []string{"", "a", "b", "c"}[r.IntN(4)]})
					next++
				case k == 2:
					x.State = Draining
					n.SetMember(x)
				case k == 3:
					x.State = Dead
					n.SetMember(x)
				default:
					x.State = Active
					n.SetMember(x)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			plan := m.Plan(1)
			if len(plan) == 0 {
				if slices.ContainsFunc(m.Members, func(x Member) bool { return x.State == Active }) {
					t.Fatalf("seed %d: no plan for %+v", seed, m.Members)
				}
				continue
			}
			checkPlan(t, m, plan)
			m = follow(t, m, plan)
			if again := m.Plan(1); !slices.Equal(again, plan) {
				t.Fatalf("seed %d: %s, and once that is reached %s", seed, planText(plan), planText(again))
			}
		}
	}
}

// follow returns the map once a plan has been reached.
func follow(t *testing.T, m *Map, plan []Placement) *Map {
	var nodes []int
	for _, p := range plan {
		if p.Learner {
			nodes = append(nodes, -int(p.Node))
		} else {
			nodes = append(nodes, int(p.Node))
		}
	}
	next, err := m.Change(func(n *Map) {
		s := shardOn(nodes...)
		s.Want = plan
		n.SetShard(s)
	})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func checkPlan(t *testing.T, m *Map, plan []Placement) {
	t.Helper()
	s, _ := m.Shard(1)
	voters, live, zones := 0, 0, make(map[string]bool)
	liveZones := make(map[string]bool)
	for _, x := range m.Members {
		if x.State == Active {
			live++
			liveZones[x.Zone] = true
		}
	}
	for _, p := range plan {
		x, ok := m.Member(p.Node)
		keeps := x.State == Dead && !p.Learner && s.rank(p.Node) <= rankVoted
		if !ok || x.State != Active && !keeps {
			t.Fatalf("%s on a node that is %+v", planText(plan), x)
		}
		if !p.Learner {
			voters++
			zones[x.Zone] = true
		}
	}
	if voters%2 == 0 || voters > votersMany || len(plan) > CopiesMax || live >= votersFew && voters < votersFew {
		t.Fatalf("%s on %d living nodes", planText(plan), live)
	}
	if live >= votersFew && len(zones) < min(voters, len(liveZones)) && !zones[""] {
		t.Fatalf("%s uses %d zones of %d", planText(plan), len(zones), len(liveZones))
	}
}
