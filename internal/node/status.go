package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/server"
	"tutti/internal/shard"
	"tutti/internal/store"
)

// Status is what TUTTI.STATUS answers.
type Status struct {
	Cluster string         `json:"cluster"`
	Node    cluster.NodeID `json:"node"`
	Version string         `json:"version"`
	Starts  uint64         `json:"starts"`
	// Generation counts how often the node's data was made anew.
	Generation uint64       `json:"generation"`
	Nodes      []NodeStatus `json:"nodes"`
	// Shards is what this node knows of them by itself.
	Shards []shard.Info `json:"shards"`
	// Damage is why data of this node was set aside, and where it lies, as long
	// as it does.
	Damage string `json:"damage,omitempty"`
	// Kept is where data of this node lies that the other nodes went on without, and
	// why, until somebody removes it.
	Kept string `json:"kept,omitempty"`
	// UnreadableRows counts commands that met a row here which can't be read.
	UnreadableRows uint64 `json:"unreadable_rows,omitempty"`
	// Own is what this node finds of itself and nobody else knows: little room on its
	// disk, a certificate that was not renewed.
	Own []Problem `json:"own,omitempty"`
	// Verdict is whether it is safe now, in a sentence or two, and Safety what it
	// is made of. Without them nobody else was asked.
	Verdict string   `json:"verdict,omitempty"`
	Safety  *Verdict `json:"safety,omitempty"`
}

// NodeStatus is a node as the leaders of its shards see it, or, if it has no
// replica that is led, as the node that answers does.
type NodeStatus struct {
	ID         cluster.NodeID `json:"id"`
	Name       string         `json:"name,omitempty"`
	Zone       string         `json:"zone,omitempty"`
	Role       string         `json:"role"`          // node, or gateway: it holds no copies
	State      string         `json:"state"`         // active, draining or dead: whether it is given data
	PID        int            `json:"pid,omitempty"` // of the node that answers
	Client     string         `json:"client"`
	Peer       string         `json:"peer"`
	Up         bool           `json:"up"` // it has answered within the last second
	Presence   Presence       `json:"presence"`
	SilentMS   int64          `json:"silent_ms,omitempty"` // for how long, if it is silent
	Full       bool           `json:"disk_full"`
	Rebuilding bool           `json:"rebuilding,omitempty"` // its data is being made anew
}

// status is TUTTI.STATUS. alone: nobody else is asked.
func (n *Node) status(ctx context.Context, alone bool) ([]byte, error) {
	n.mu.Lock()
	aside := slices.Clone(n.aside)
	n.mu.Unlock()
	s := Status{Cluster: n.self.Cluster, Node: n.self.Node, Version: Version,
		Starts: n.count.Incarnation, Generation: n.count.Generation, Damage: asideText(aside, false), Kept: asideText(aside, true), UnreadableRows: n.host.Unreadable(), Own: ownProblems(n.self.Node, ownFacts(n))}
	f := n.survey.alone(ctx)
	if !alone {
		f = n.survey.get(ctx, 0)
	}
	if f == nil {
		return nil, ctx.Err()
	}
	e := n.evidence(f)
	for _, sh := range shardsInOrder(e.m) {
		info, err := n.shardInfo(ctx, sh)
		if err != nil {
			return nil, err
		}
		s.Shards = append(s.Shards, info)
	}
	for _, x := range e.members() {
		m, _ := e.m.Member(x.id)
		ns := NodeStatus{ID: x.id, Name: m.Name, Zone: m.Zone, Role: m.Role.String(), State: m.State.String(), Client: m.Client, Peer: m.Peer, Up: x.presence != Silent, Presence: x.presence,
			Full: e.full(x.id), Rebuilding: x.rebuilding}
		if x.presence == Silent {
			ns.SilentMS = x.silent.Milliseconds()
		}
		if x.id == n.self.Node {
			ns.PID = os.Getpid()
		}
		s.Nodes = append(s.Nodes, ns)
	}
	if !alone {
		v := e.judge()
		s.Safety = &v
		s.Verdict = v.Text + fullDisks(s.Nodes)
		if s.UnreadableRows > 0 {
			s.Verdict += fmt.Sprintf(" %d commands met a row on this node that can't be read; its log names the key.", s.UnreadableRows)
		}
	}
	return json.Marshal(s)
}

// Verdict returns what this node can say of the safety of the cluster, by
// answers that are at most maxAge old.
func (n *Node) Verdict(ctx context.Context, maxAge time.Duration) (Verdict, error) {
	f := n.survey.get(ctx, maxAge)
	if f == nil {
		return Verdict{}, ctx.Err()
	}
	return n.evidence(f).judge(), nil
}

// presence is what clients are told of nodes and replicas.
func (n *Node) presence(ctx context.Context) server.Presence {
	p := server.Presence{Silent: make(map[cluster.NodeID]bool), SilentFor: make(map[cluster.NodeID]time.Duration)}
	f := n.survey.get(ctx, presenceAge)
	if f == nil {
		return p // the node stops
	}
	for _, x := range n.evidence(f).members() {
		if x.presence == Silent {
			p.Silent[x.id], p.SilentFor[x.id] = true, x.silent
		}
	}
	p.Leads = f.leads
	return p
}

// presenceAge is how old that may be: with the second after which an answer
// counts for nothing it is told within two.
const presenceAge = 500 * time.Millisecond

// evidence is what a verdict is made from, with what was found.
func (n *Node) evidence(f *findings) evidence {
	e := evidence{node: n.self.Node, m: n.maps.Map(), found: f, silent: n.links.Silent, unreadable: n.host.Unreadable(), twins: n.links.Twins.Now()}
	e.trip = func(id cluster.NodeID) time.Duration {
		recent, _, _ := peer.Trip(n.links, id)
		return recent
	}
	e.full = func(id cluster.NodeID) bool {
		if id == n.self.Node {
			return n.space.Full()
		}
		return n.links.Room(id) != peer.RoomPlenty
	}
	e.ahead = make(map[cluster.NodeID]time.Duration)
	for _, x := range peer.CountLinks(n.links) {
		if x.AheadKnown {
			e.ahead[x.Node] = x.Ahead
		}
	}
	for _, s := range e.m.Shards {
		_, has := s.On(n.self.Node)
		e.lacking = e.lacking || has && !n.host.Has(s.ID)
	}
	return e
}

// shardsInOrder lists the shards as status shows them: those with slots, in the
// order of these, then meta.
func shardsInOrder(m *cluster.Map) []cluster.Shard {
	list := m.Data()
	if s, ok := m.Shard(cluster.Meta); ok {
		list = append(list, s)
	}
	return list
}

// shardInfo describes a shard: by the replica here, or by what the map says.
func (n *Node) shardInfo(ctx context.Context, s cluster.Shard) (shard.Info, error) {
	if n.host.Has(s.ID) {
		return n.host.Replica(ctx, s.ID)
	}
	lead := n.router.Lead(s.ID)
	info := shard.Info{Shard: s.ID, First: s.Slots.First, End: s.Slots.End, Leader: lead.Node, Term: lead.Term,
		Voters: s.Voters(), Learners: s.Learners(), Asking: n.host.Asking(s.ID)}
	_, info.Rebuilding = s.On(n.self.Node)
	return info, nil
}

// asideText says of what was set aside, as damaged or to be kept, where it lies and why.
func asideText(aside []store.Aside, kept bool) string {
	var list []string
	for _, a := range aside {
		if a.Kept == kept {
			list = append(list, fmt.Sprintf("%s: %s", a.Dir, a.Why))
		}
	}
	return strings.Join(list, "; ")
}

// fullDisks names the nodes that need room, for the end of the verdict.
func fullDisks(nodes []NodeStatus) string {
	var full []cluster.NodeID
	for _, ns := range nodes {
		if ns.Full {
			full = append(full, ns.ID)
		}
	}
	switch {
	case len(full) == 0:
		return ""
	case len(full) == len(nodes):
		return " No disk has room: only reads and deletes are served."
	}
	return " No room on the disk of " + idText(full) + "."
}

func idText(ids []cluster.NodeID) string {
	text := strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ", "), "[]")
	if len(ids) == 1 {
		return "node " + text
	}
	return "nodes " + text
}
