package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/shard"
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
	Shards     []shard.Info `json:"shards"`
	// Damage is why data of this node was set aside, and where it lies, as long
	// as it does.
	Damage string `json:"damage,omitempty"`
	// UnreadableRows counts commands that met a row here which can't be read.
	UnreadableRows uint64 `json:"unreadable_rows,omitempty"`
	Verdict        string `json:"verdict"` // one sentence: is it safe now
}

// NodeStatus is a node as another sees it.
type NodeStatus struct {
	ID         cluster.NodeID `json:"id"`
	PID        int            `json:"pid,omitempty"` // of the node that answers
	Client     string         `json:"client"`
	Peer       string         `json:"peer"`
	Up         bool           `json:"up"`
	Full       bool           `json:"disk_full"`
	Rebuilding bool           `json:"rebuilding,omitempty"` // its data is being made anew
}

func (n *Node) status(ctx context.Context) ([]byte, error) {
	s := Status{Cluster: n.self.Cluster, Node: n.self.Node, Version: Version,
		Starts: n.count.Incarnation, Generation: n.count.Generation, Damage: n.asideText(), UnreadableRows: n.host.Unreadable()}
	led := true
	var rebuilding []cluster.NodeID
	m := n.maps.Map()
	for _, sh := range shardsInOrder(m) {
		info, err := n.shardInfo(ctx, sh)
		if err != nil {
			return nil, err
		}
		led = led && info.Leader != 0
		rebuilding = append(append(rebuilding, info.Learners...), info.Asking...)
		if info.Rebuilding {
			rebuilding = append(rebuilding, n.self.Node)
		}
		s.Shards = append(s.Shards, info)
	}
	slices.Sort(rebuilding)
	rebuilding = slices.Compact(rebuilding)
	up, clean := 0, 0
	for _, x := range m.Members {
		ns := NodeStatus{ID: x.ID, Client: x.Client, Peer: x.Peer, Up: x.ID == n.self.Node || n.links.Up(x.ID),
			Full: n.links.Room(x.ID) != peer.RoomPlenty, Rebuilding: slices.Contains(rebuilding, x.ID)}
		if x.ID == n.self.Node {
			ns.PID, ns.Full = os.Getpid(), n.space.Full()
		}
		if ns.Up {
			up++
			if !ns.Rebuilding {
				clean++
			}
		}
		s.Nodes = append(s.Nodes, ns)
	}
	s.Verdict = verdict(up, clean, len(m.Members), rebuilding, led) + fullDisks(s.Nodes)
	if s.UnreadableRows > 0 {
		s.Verdict += fmt.Sprintf(" %d commands met a row on this node that can't be read; its log names the key.", s.UnreadableRows)
	}
	return json.Marshal(s)
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

func (n *Node) asideText() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for _, a := range n.aside {
		list = append(list, fmt.Sprintf("%s: %s", a.Dir, a.Why))
	}
	return strings.Join(list, "; ")
}

// verdict says in one sentence whether the cluster is safe now. Of all nodes, up
// are up, of which clean have their data; rebuilding lists those that have not.
func verdict(up, clean, all int, rebuilding []cluster.NodeID, led bool) string {
	spare := clean - (all/2 + 1)
	switch {
	case !led && len(rebuilding) > (all-1)/2:
		return fmt.Sprintf("Not available: the data of %s is damaged, so no majority of %d good copies is left. "+
			"Nothing was destroyed: it was set aside in their folders. Keep them all; tutti recover, of a later version, will need them.", idText(rebuilding), all/2+1)
	case !led:
		return fmt.Sprintf("Not available: %d of %d nodes are up and no leader is known.", up, all)
	case all == 1:
		return "One copy decides: if this node stops, the cluster stops."
	case len(rebuilding) > 0:
		return fmt.Sprintf("Available: the data of %s is being made anew from the others; survives the loss of %d more of %d nodes.", idText(rebuilding), max(spare, 0), all)
	case spare <= 0:
		return fmt.Sprintf("Available, but survives no further loss: %d of %d nodes are up.", up, all)
	case up < all:
		return fmt.Sprintf("Available: %d of %d nodes are up; survives the loss of %d more.", up, all, spare)
	}
	return fmt.Sprintf("Healthy. Survives the loss of any %d of %d nodes.", spare, all)
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
