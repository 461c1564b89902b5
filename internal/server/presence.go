package server

import (
	"fmt"
	"slices"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/shard"
)

// Presence is what clients are told of nodes and replicas: by what the leaders of
// the shards say, a moment old at most.
type Presence struct {
	// Silent has the nodes that have not answered for more than a second.
	Silent map[cluster.NodeID]bool
	// SilentFor is for how long.
	SilentFor map[cluster.NodeID]time.Duration
	// Leads has what the leaders that answer know of the replicas of their shards.
	Leads map[cluster.ShardID]shard.Standing
}

// topology is one moment of the map and of who is there. All of an answer is
// made of one.
type topology struct {
	m        *cluster.Map
	presence Presence
	data     []cluster.Shard  // those with slots, in the order of these
	leaders  []cluster.NodeID // of them; 0: none known
}

func (s *Server) topology() topology {
	t := topology{m: s.cfg.Node.Map.Map()}
	if s.cfg.Presence != nil {
		t.presence = s.cfg.Presence(s.ctx)
	}
	t.data = t.m.Data()
	for _, sh := range t.data {
		lead := s.cfg.Router.Lead(sh.ID).Node
		if known, ok := t.presence.Leads[sh.ID]; ok {
			lead = known.Leader
		}
		t.leaders = append(t.leaders, lead)
	}
	return t
}

// String tells two topologies apart.
func (t topology) String() string { return fmt.Sprint(t.m.Epoch, t.leaders, t.presence.Silent) }

// replica is a copy of a shard as clients see it.
type replica struct {
	node   cluster.NodeID
	addr   string // host:port for clients
	leads  bool
	silent bool
	offset uint64 // how far its log goes, as its leader knows
	health string // in the words of CLUSTER SHARDS
}

// replicas lists the copies of a shard, the i-th with slots: the leader first,
// then who answers, then who does not.
func (t topology) replicas(i int) (list []replica) {
	s := t.data[i]
	known := t.presence.Leads[s.ID]
	for _, node := range s.Nodes() {
		m, ok := t.m.Member(node)
		if !ok {
			continue // it is about to go
		}
		r := replica{node: node, addr: m.Client, leads: node == t.leaders[i], silent: t.presence.Silent[node], health: "online"}
		for _, c := range known.Replicas {
			if c.Node == node {
				r.offset = c.Match
				if !c.Confirmed {
					r.health = "loading"
				}
			}
		}
		if r.silent {
			r.health = "fail"
		}
		list = append(list, r)
	}
	rank := func(r replica) int {
		switch {
		case r.leads:
			return 0
		case !r.silent:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b replica) int { return rank(a) - rank(b) })
	return list
}

// lag is for how many seconds the leader that has waited longest has not heard a
// node.
func (t topology) lag(node cluster.NodeID) (seconds int64) {
	for _, s := range t.presence.Leads {
		for _, c := range s.Replicas {
			if c.Node == node {
				seconds = max(seconds, int64(c.Silent/time.Second))
			}
		}
	}
	return seconds
}

// present lists the copies of a shard that a client should use. Somebody may
// still answer it if all are silent to this node.
func (t topology) present(i int) []replica {
	all := t.replicas(i)
	some := slices.DeleteFunc(slices.Clone(all), func(r replica) bool { return r.silent })
	if len(some) == 0 {
		return all
	}
	return some
}

// served reports whether the i-th shard with slots has a leader with a majority.
func (t topology) served(i int) bool {
	s, ok := t.presence.Leads[t.data[i].ID]
	return ok && s.Spare() >= 0
}
