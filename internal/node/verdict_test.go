package node

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/shard"
)

// scene is a cluster to be judged: a meta shard and one of data on the same
// nodes, all of which have confirmed everything a moment ago.
type scene struct {
	e evidence
}

func newScene(t *testing.T, nodes, voters int) *scene {
	t.Helper()
	var m cluster.Map
	d := cluster.Descriptor{Generation: 1, Next: cluster.ReplicaID(nodes + 1)}
	for i := 1; i <= nodes; i++ {
		m.Members = append(m.Members, cluster.Member{ID: cluster.NodeID(i), Client: "h:1", Version: 1})
		r := cluster.Replica{ID: cluster.ReplicaID(i), Node: cluster.NodeID(i)}
		if i <= voters {
			d.Replicas = append(d.Replicas, r)
		}
	}
	data := d
	data.ID, data.Slots = 1, cluster.AllSlots
	m.Shards = []cluster.Shard{{Descriptor: d}, {Descriptor: data}}
	made, err := cluster.NewMap(m)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{evidence{node: 1, m: made, found: newFindings(0), silent: func(cluster.NodeID) time.Duration { return 0 },
		trip: func(cluster.NodeID) time.Duration { return 0 }}}
	for _, sh := range made.Shards {
		lead := shard.Standing{Shard: sh.ID, Leader: 1, Term: 2, Leads: true, Commit: 10}
		for _, r := range sh.Replicas {
			lead.Replicas = append(lead.Replicas, shard.Copy{ID: r.ID, Node: r.Node, Match: 10, Confirmed: true})
		}
		s.e.found.leads[sh.ID] = lead
	}
	return s
}

// copies changes the copies of a node.
func (s *scene) copies(node cluster.NodeID, f func(c *shard.Copy)) {
	for _, lead := range s.e.found.leads {
		for i := range lead.Replicas {
			if lead.Replicas[i].Node == node {
				f(&lead.Replicas[i])
			}
		}
	}
}

func (s *scene) freeze(node cluster.NodeID, d time.Duration) {
	s.copies(node, func(c *shard.Copy) { c.Silent, c.Confirmed = d, false })
}

func (s *scene) zones(names ...string) {
	for i := range s.e.m.Members {
		s.e.m.Members[i].Zone = names[i]
	}
}

func (s *scene) leaderless(silent time.Duration) {
	clear(s.e.found.leads)
	s.e.silent = func(cluster.NodeID) time.Duration { return silent }
}

// apart puts nodes so far from the one that judges.
func (s *scene) apart(ms int, nodes ...cluster.NodeID) {
	s.e.trip = func(id cluster.NodeID) time.Duration {
		if slices.Contains(nodes, id) {
			return time.Duration(ms) * time.Millisecond
		}
		return 0
	}
}

func unconfirmed(c *shard.Copy) { c.Confirmed = false }

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name          string
		nodes, voters int
		change        func(s *scene)
		safety        Safety
		losses, zones int
		want          string // part of the text
	}{
		{"all well", 3, 3, nil, Healthy, 1, -1, "Healthy. Survives the loss of any 1 of 3 nodes."},
		{"five", 5, 5, nil, Healthy, 2, -1, "Healthy. Survives the loss of any 2 of 5 nodes."},
		{"more nodes than copies", 5, 3, nil, Healthy, 1, -1, "any 1 of 5 nodes."},
		{"one", 1, 1, nil, Fragile, 0, -1, "One copy decides: if node 1 stops, the cluster stops."},
		{"two", 2, 2, nil, Fragile, 0, -1, "No loss is survived: of 2 copies both are needed."},
		{"a zone each", 3, 3, func(s *scene) { s.zones("a", "b", "c") }, Healthy, 1, 1, "any 1 of 3 nodes or any 1 of 3 zones."},
		{"two zones", 3, 3, func(s *scene) { s.zones("a", "a", "c") }, Healthy, 1, 0, "any 1 of 3 nodes."},
		{"a gateway counts as no node and no zone", 4, 3, func(s *scene) {
			s.zones("a", "b", "c", "d")
			s.e.m.Members[3].Role = cluster.Gateway
		}, Healthy, 1, 1, "any 1 of 3 nodes or any 1 of 3 zones."},
		{"frozen", 3, 3, func(s *scene) { s.freeze(3, 6*time.Second) }, Degraded, 0, -1,
			"Degraded: node 3 has not answered for 6.0 s. The loss of one more node may stop the cluster."},
		{"frozen of five", 5, 5, func(s *scene) { s.freeze(3, time.Minute) }, Degraded, 1, -1,
			"Degraded: node 3 has not answered for 60 s. Survives the loss of any 1 more node."},
		{"two of five", 5, 5, func(s *scene) { s.freeze(3, time.Minute); s.freeze(4, 3*time.Hour) }, Degraded, 0, -1,
			"node 3 has not answered for 60 s, node 4 has not answered for 3 h. The loss"},
		{"behind", 3, 3, func(s *scene) { s.copies(3, func(c *shard.Copy) { c.Match, c.Confirmed = 0, false }) }, Degraded, 0, -1,
			"Degraded: node 3 has not confirmed yet what is committed. The loss of one"},
		{"no majority confirmed", 3, 3, func(s *scene) { s.freeze(2, 6*time.Second); s.freeze(3, 7*time.Second) }, Unavailable, -1, -1,
			"No majority: seen from node 1, node 2 has not answered for 6.0 s, node 3 has not answered for 7.0 s. Stopped until a majority answers: the cluster. Nothing is lost."},
		{"no leader, all silent", 3, 3, func(s *scene) { s.leaderless(8 * time.Second) }, Unavailable, -1, -1,
			"No majority: seen from node 1, node 2 has not answered for 8.0 s, node 3"},
		{"an election", 3, 3, func(s *scene) { s.leaderless(0) }, Unavailable, -1, -1, "No leader: a majority answers, and elects one"},
		{"a leader that was asked is mute", 3, 3, func(s *scene) { s.leaderless(0); s.e.found.mute = []cluster.NodeID{2} }, Unavailable, -1, -1,
			"No leader: a majority answers, and elects one, which takes less than a second. Stopped until then: the cluster. Seen from node 1, node 2 has not answered for 1.6 s."},
		{"an election that does not end", 3, 3, func(s *scene) { s.leaderless(0); s.e.found.missed[1] = 12 * time.Second }, Unavailable, -1, -1,
			"No leader: a majority answers, and has elected none for 12 s, as node 1 sees it; that takes less than a second if disks and links are well. Stopped until then: the cluster."},
		{"too far apart", 3, 3, func(s *scene) { s.leaderless(0); s.apart(400, 2, 3); s.e.found.mute = []cluster.NodeID{2, 3} }, Unavailable, -1, -1,
			"No leader: a majority answers, but too slowly: seen from node 1 the way there and back takes 400 ms to node 2, 400 ms to node 3. " +
				"No leader lasts if that is more than 250 ms between the nodes that vote. Stopped until the links are faster: the cluster."},
		{"too far apart, just elected", 3, 3, func(s *scene) { s.copies(2, unconfirmed); s.copies(3, unconfirmed); s.apart(400, 2, 3) }, Unavailable, -1, -1,
			"too slowly: seen from node 1 the way there and back takes 400 ms to node 2, 400 ms to node 3."},
		{"one too far away", 3, 3, func(s *scene) { s.leaderless(0); s.apart(400, 3) }, Unavailable, -1, -1, "No leader: a majority answers, and elects one"},
		{"far away and silent", 3, 3, func(s *scene) { s.leaderless(8 * time.Second); s.apart(400, 2, 3) }, Unavailable, -1, -1, "No majority: seen from node 1, node 2 has not answered for 8.0 s"},
		{"far apart within the limit", 3, 3, func(s *scene) { s.leaderless(0); s.apart(250, 2, 3) }, Unavailable, -1, -1, "No leader: a majority answers, and elects one"},
		{"far from others that have a leader", 3, 3, func(s *scene) { s.apart(400, 2, 3) }, Healthy, 1, -1, "Healthy."},
		{"two are mute", 3, 3, func(s *scene) { s.leaderless(0); s.e.found.mute = []cluster.NodeID{2, 3} }, Unavailable, -1, -1,
			"No majority: seen from node 1, node 2 has not answered for 1.6 s, node 3 has"},
		{"one shard has stopped", 3, 3, func(s *scene) { delete(s.e.found.leads, 1) }, Unavailable, -1, -1, "Stopped until then: shard 1."},
		{"meta has stopped", 3, 3, func(s *scene) { delete(s.e.found.leads, 0) }, Unavailable, -1, -1, "Stopped until then: changes of the cluster."},
		{"made anew", 3, 3, func(s *scene) {
			s.copies(3, func(c *shard.Copy) { c.Part, c.Data, c.Confirmed = cluster.Learner, 1, false })
		}, Degraded, 0, -1,
			"Degraded: the data of node 3 is being made anew from the others. The loss of one more node may stop the cluster."},
		{"a learner that is to stay one", 3, 3, func(s *scene) {
			for i := range s.e.m.Shards {
				s.e.m.Shards[i].Want = []cluster.Placement{{Node: 1}, {Node: 2}, {Node: 3, Learner: true}}
			}
			s.copies(3, func(c *shard.Copy) { c.Part, c.Data = cluster.Learner, 1 })
		}, Fragile, 0, -1, "of 2 copies both are needed"},
		{"a majority is damaged", 3, 3, func(s *scene) { s.leaderless(0); s.e.found.asking[1] = []cluster.NodeID{2, 3} }, Unavailable, -1, -1,
			"No majority: the data of nodes 2, 3 is damaged, so no majority of 2 good copies is left. Nothing was destroyed"},
		{"made anew a moment ago", 3, 3, func(s *scene) { s.e.found.asking[1] = []cluster.NodeID{3} }, Healthy, 1, -1, "Healthy."},
		{"asks, and has not got it yet", 3, 3, func(s *scene) {
			s.e.found.asking[1] = []cluster.NodeID{3}
			s.freeze(3, time.Millisecond)
		}, Degraded, 0, -1, "the data of node 3 is being made anew"},
		{"a gateway is gone", 4, 3, func(s *scene) {
			s.e.silent = func(n cluster.NodeID) time.Duration { return time.Duration(n/4) * time.Minute }
		}, Degraded, 1, -1, "Degraded: node 4 has not answered for 60 s. Survives the loss of any 1 more node."},
		{"never heard", 4, 3, func(s *scene) { s.e.silent = func(cluster.NodeID) time.Duration { return math.MaxInt64 } }, Degraded, 1, -1,
			"node 4 has not answered for as long as this node runs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, c.nodes, c.voters)
			if c.change != nil {
				c.change(s)
			}
			v := s.e.judge()
			if v.Safety != c.safety || v.NodeLosses != c.losses || v.ZoneLosses != c.zones || !strings.Contains(v.Text, c.want) {
				t.Errorf("%+v\nwant %s, %d nodes, %d zones, %q", v, c.safety, c.losses, c.zones, c.want)
			}
			if wrong := c.safety != Healthy; wrong != (len(v.Problems) > 0) && c.safety != Unavailable {
				t.Errorf("problems: %+v", v.Problems)
			}
		})
	}
}

// What is on its way, and what is wrong beside nodes that are missing.
func TestVerdictTellsOfMovesAndProblems(t *testing.T) {
	s := newScene(t, 5, 3)
	want := []cluster.Placement{{Node: 1}, {Node: 2, Learner: true}, {Node: 4}, {Node: 5}}
	for i := range s.e.m.Shards {
		s.e.m.Shards[i].Want = want
	}
	lead := s.e.found.leads[1]
	lead.Commit = 100
	lead.Replicas = append(lead.Replicas, shard.Copy{ID: 4, Node: 4, Part: cluster.Learner, Match: 30, Confirmed: true})
	s.e.found.leads = map[cluster.ShardID]shard.Standing{0: s.e.found.leads[0], 1: lead}
	s.e.m.Shards[0].Want = nil // as it is
	s.e.m.Members[2].State = cluster.Dead
	s.e.full = func(id cluster.NodeID) bool { return id == 2 }
	s.e.unreadable = 3
	v := s.e.judge()
	moves := []Move{
		{1, 2, "is about to give up its vote", 0},
		{1, 4, "gets its copy, and will vote", 70},
		{1, 5, "is to get a copy", 0},
		{1, 3, "is about to lose its copy", 0},
	}
	if !slices.Equal(v.Moves, moves) {
		t.Errorf("moves %+v", v.Moves)
	}
	var problems []string
	for _, p := range v.Problems {
		problems = append(problems, p.What)
	}
	if want := []string{"node 2 has no room on its disk", "node 3 was given up: its copies are made elsewhere", "3 commands met a row on node 1 that can't be read"}; v.Safety != Healthy || !slices.Equal(problems, want) {
		t.Errorf("%s, problems %q", v.Safety, problems)
	}
	s.e.m.Shards[1].Want = []cluster.Placement{{Node: 1}, {Node: 2}, {Node: 3}, {Node: 4, Learner: true}}
	if v := s.e.judge(); len(v.Moves) > 0 {
		t.Errorf("all is where it should be: %+v", v.Moves)
	}
}

// What mends a cluster of too few copies depends on why they are too few.
func TestVerdictSaysWhyCopiesAreTooFew(t *testing.T) {
	for _, c := range []struct {
		name     string
		nodes    int
		change   func(m *cluster.Map)
		what, do string
	}{
		{"one node", 1, func(*cluster.Map) {}, "1 node is too few to survive the loss of one", "tutti token create"},
		{"a node and a gateway", 2, func(m *cluster.Map) { m.Members[1].Role = cluster.Gateway }, "1 node is too few", "tutti token create"},
		{"drained", 4, func(m *cluster.Map) { m.Members[1].State, m.Members[2].State = cluster.Draining, cluster.Draining },
			"2 of 4 nodes drain, and the others are too few", "tutti node undrain 2"},
		{"one drained", 3, func(m *cluster.Map) { m.Members[2].State = cluster.Draining }, "1 of 3 nodes drain", "tutti node undrain 3"},
		{"by hand", 3, func(m *cluster.Map) { m.Policy.Manual = true }, "the placement is manual", "TUTTI.PLACE"},
		{"on the way", 3, func(*cluster.Map) {}, "too few replicas vote yet", "wait"},
	} {
		s := newScene(t, c.nodes, 1)
		c.change(s.e.m)
		v := s.e.judge()
		if v.Safety != Fragile || len(v.Problems) != 1 || !strings.Contains(v.Problems[0].What, c.what) || !strings.Contains(v.Problems[0].Do, c.do) {
			t.Errorf("%s: %s, %+v\nwant %q, %q", c.name, v.Safety, v.Problems, c.what, c.do)
		}
	}
}
