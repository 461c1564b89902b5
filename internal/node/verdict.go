package node

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/shard"
)

// Safety is how safe the cluster is, in one word.
type Safety string

// The words, from good to bad.
const (
	// Healthy: all is as it should be, and a loss is survived.
	Healthy Safety = "healthy"
	// Fragile: all is as it should be, with too few copies to survive a loss.
	Fragile Safety = "fragile"
	// Degraded: all is served, and something is missing.
	Degraded Safety = "degraded"
	// Unavailable: some shard has no majority, or no leader.
	Unavailable Safety = "unavailable"
)

// Verdict is what a node can say of the safety of its cluster: by what the
// replicas of each shard have confirmed to its leader within the last second,
// not by which links stand.
type Verdict struct {
	Safety Safety `json:"safety"`
	Text   string `json:"text"` // all of it in a sentence or two
	// NodeLosses is how many more nodes may be lost, whichever they are, without
	// anything stopping. -1: something has stopped.
	NodeLosses int `json:"node_losses"`
	// ZoneLosses is the same for zones with all nodes in them. -1 also if no
	// zones are named.
	ZoneLosses int            `json:"zone_losses"`
	Shards     []ShardVerdict `json:"shards"`
	Moves      []Move         `json:"moves,omitempty"`
	Problems   []Problem      `json:"problems,omitempty"`
}

// ShardVerdict is Verdict for one shard.
type ShardVerdict struct {
	Shard  cluster.ShardID `json:"id"`
	Leader cluster.NodeID  `json:"leader"` // 0: none that answers
	// Voters is how many replicas vote, and Confirmed how many of them hold what
	// was committed a moment ago and have said so within the last second.
	Voters     int `json:"voters"`
	Confirmed  int `json:"confirmed"`
	NodeLosses int `json:"node_losses"` // -1: it has no majority, or no leader
}

// evidence is what a verdict is made from.
type evidence struct {
	node  cluster.NodeID // who judges
	m     *cluster.Map
	found *findings
	// silent is how long ago another node was heard here, itself or by a ping.
	silent func(cluster.NodeID) time.Duration
	// trip is how long the way to another node and back is; 0: nobody knows.
	trip func(cluster.NodeID) time.Duration
	// full says whether the disk of a node has no room; nil: none is full.
	full func(cluster.NodeID) bool
	// ahead is how far the clocks of others are ahead of this node's, where that is known.
	ahead map[cluster.NodeID]time.Duration
	// twins are second processes that go by the name of a node.
	twins []peer.Twin
	// unreadable counts commands that met a row here which can't be read.
	unreadable uint64
	// lacking says that this node has no replica that it should have.
	lacking bool
}

// linkWithin is how old the newest frame of a node may be that has nothing to
// confirm: pings come every second.
const linkWithin = 1600 * time.Millisecond

// Presence is what is known of a node, in one word.
type Presence string

// The words.
const (
	Up         Presence = "up"
	Silent     Presence = "silent"     // it has not answered for more than a second
	Behind     Presence = "behind"     // it answers, and has not confirmed what is committed
	Rebuilding Presence = "rebuilding" // its data is being made anew from the others
)

// member is what the evidence says of a node.
type member struct {
	id         cluster.NodeID
	presence   Presence
	silent     time.Duration
	rebuilding bool
}

// members returns what is known of every node.
func (e evidence) members() []member {
	rebuilding := e.rebuilding()
	var list []member
	for _, x := range e.m.Members {
		silent, behind := e.heard(x.ID)
		y := member{id: x.ID, presence: Up, silent: silent, rebuilding: slices.Contains(rebuilding, x.ID)}
		switch {
		case silent > shard.ConfirmedWithin:
			y.presence = Silent
		case y.rebuilding:
			y.presence = Rebuilding
		case behind:
			y.presence = Behind
		}
		list = append(list, y)
	}
	return list
}

// heard returns for how long a node has been silent, to the leader that has
// waited longest, and whether a leader waits for it to catch up. That it
// answers one leader does not make up for the silence to another.
func (e evidence) heard(id cluster.NodeID) (silent time.Duration, behind bool) {
	known := false
	for _, s := range e.found.leads {
		for _, c := range s.Replicas {
			if c.Node == id && c.Part != cluster.Leaving {
				known = true
				silent = max(silent, c.Silent)
				behind = behind || !c.Confirmed && c.Part == cluster.Voter
			}
		}
	}
	if known || id == e.node {
		return silent, behind
	}
	// Who is far away is mute only because its answer takes longer than anybody waits.
	mute := slices.Contains(e.found.mute, id) && e.trip(id) <= leaderTripMax
	if silent = e.silent(id); silent <= linkWithin && !mute {
		return 0, false
	}
	return max(silent, linkWithin), false
}

// rebuilding lists the nodes whose data is being made anew: those that ask for
// replicas, and those whose new ones have not become what they are to be.
func (e evidence) rebuilding() (nodes []cluster.NodeID) {
	for _, s := range e.m.Shards {
		lead := e.found.leads[s.ID]
		for _, node := range e.found.asking[s.ID] {
			// One that has got it asks for a moment longer, as far as others know.
			if !slices.ContainsFunc(lead.Replicas, func(c shard.Copy) bool { return c.Node == node && c.Part == cluster.Voter && c.Confirmed }) {
				nodes = append(nodes, node)
			}
		}
		for _, c := range lead.Replicas {
			if c.Part == cluster.Learner && c.Data > 0 && !slices.Contains(s.Want, cluster.Placement{Node: c.Node, Learner: true}) {
				nodes = append(nodes, c.Node)
			}
		}
	}
	if e.lacking {
		nodes = append(nodes, e.node)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// judge makes the verdict.
func (e evidence) judge() Verdict {
	v := Verdict{NodeLosses: math.MaxInt, ZoneLosses: math.MaxInt}
	for _, s := range shardsInOrder(e.m) {
		x := ShardVerdict{Shard: s.ID, Voters: len(s.Voters()), NodeLosses: -1}
		zones := -1
		if lead, ok := e.found.leads[s.ID]; ok {
			x.Leader = lead.Leader
			x.Confirmed, x.Voters = lead.Votes()
			x.NodeLosses = max(lead.Spare(), -1)
			zones = lead.SpareZones(e.zone)
		}
		v.NodeLosses, v.ZoneLosses = min(v.NodeLosses, x.NodeLosses), min(v.ZoneLosses, zones)
		v.Shards = append(v.Shards, x)
	}
	if !e.zones() {
		v.ZoneLosses = -1
	}
	members := e.members()
	v.Moves = e.moves()
	still := len(v.Shards) == 0 || v.NodeLosses < 0
	v.Problems = e.problems(members, still)
	missing := len(v.Problems) > 0
	switch {
	case still:
		v.NodeLosses, v.ZoneLosses = -1, -1
		v.Safety, v.Text = Unavailable, e.unavailable(v, members)
	case missing:
		v.Safety, v.Text = Degraded, "Degraded: "+reasons(members)+". "+v.tail("more ")
	case v.NodeLosses == 0:
		v.Safety, v.Text = Fragile, v.fragile()
	default:
		v.Safety, v.Text = Healthy, fmt.Sprintf("Healthy. Survives the loss of any %d of %d nodes", v.NodeLosses, len(e.storage()))
		if v.ZoneLosses > 0 {
			v.Text += fmt.Sprintf(" or any %d of %d zones", v.ZoneLosses, e.countZones())
		}
		v.Text += "."
	}
	v.Problems = append(v.Problems, e.others(v.Safety)...)
	return v
}

// zone is where a node is; one that nobody has put anywhere is in a zone of its
// own.
func (e evidence) zone(id cluster.NodeID) string {
	if x, ok := e.m.Member(id); ok && x.Zone != "" {
		return x.Zone
	}
	return fmt.Sprintf("node %d", id)
}

// zones reports whether zones are named at all.
func (e evidence) zones() bool {
	return slices.ContainsFunc(e.m.Members, func(x cluster.Member) bool { return x.Zone != "" })
}

func (e evidence) countZones() int {
	all := make(map[string]bool)
	for _, x := range e.storage() {
		all[e.zone(x.ID)] = true
	}
	return len(all)
}

// storage are the nodes that a loss is counted of. A gateway is none of them:
// nothing is lost with it but the way of its clients.
func (e evidence) storage() (list []cluster.Member) {
	for _, x := range e.m.Members {
		if x.Role == cluster.Storage {
			list = append(list, x)
		}
	}
	return list
}

// tail says what a loss would mean.
func (v Verdict) tail(more string) string {
	if v.NodeLosses > 0 {
		return fmt.Sprintf("Survives the loss of any %d %snode%s.", v.NodeLosses, more, plural(v.NodeLosses))
	}
	return fmt.Sprintf("The loss of one %snode may stop %s.", more, v.those(func(s ShardVerdict) bool { return s.NodeLosses == 0 }))
}

// fragile is the verdict on a cluster that has too few copies.
func (v Verdict) fragile() string {
	for _, s := range v.Shards {
		if s.NodeLosses == 0 && s.Voters == 1 {
			return fmt.Sprintf("One copy decides: if node %d stops, %s stops. Three nodes survive the loss of any 1.", s.Leader,
				v.those(func(x ShardVerdict) bool { return x.Voters == 1 && x.Leader == s.Leader }))
		}
	}
	return "No loss is survived: of 2 copies both are needed. Three nodes survive the loss of any 1."
}

// those names the shards of which something is true.
func (v Verdict) those(true func(ShardVerdict) bool) string {
	var names []string
	for _, s := range v.Shards {
		if true(s) {
			names = append(names, shardName(s.Shard))
		}
	}
	const listed = 4
	switch n := len(names); {
	case n == len(v.Shards):
		return "the cluster"
	case n == 1 && names[0] == shardName(cluster.Meta):
		return "changes of the cluster"
	case n > listed:
		return fmt.Sprintf("%d of %d shards", n, len(v.Shards))
	}
	return "shard " + strings.Join(names, ", ")
}

func shardName(id cluster.ShardID) string {
	if id == cluster.Meta {
		return "meta"
	}
	return fmt.Sprint(id)
}

// unavailable says why something has stopped.
func (e evidence) unavailable(v Verdict, members []member) string {
	stopped := v.those(func(s ShardVerdict) bool { return s.NodeLosses < 0 })
	damaged := e.rebuilding()
	for _, x := range v.Shards {
		s, _ := e.m.Shard(x.Shard)
		lost := 0
		for _, node := range s.Voters() {
			if slices.Contains(damaged, node) {
				lost++
			}
		}
		if x.NodeLosses < 0 && x.Leader == 0 && lost > (x.Voters-1)/2 {
			return fmt.Sprintf("No majority: the data of %s is damaged, so no majority of %d good copies is left. "+
				"Nothing was destroyed: it was set aside in their folders. Keep them all. On a node with a good copy, stopped: tutti recover.", idText(damaged), x.Voters/2+1)
		}
	}
	why := reasons(members)
	if far := e.distant(v, members); far != "" {
		return farApart(e.node, far, stopped)
	}
	if e.electing(v, members) {
		text := e.election(v, stopped)
		if why != "" {
			text += " Seen from node " + fmt.Sprint(e.node) + ", " + why + "."
		}
		return text
	}
	return fmt.Sprintf("No majority: seen from node %d, %s. Stopped until a majority answers: %s. Nothing is lost.", e.node, why, stopped)
}

// reasons says of each node what is wrong with it.
func reasons(members []member) string {
	var silent, behind, anew []string
	for _, x := range members {
		switch x.presence {
		case Silent:
			silent = append(silent, fmt.Sprintf("node %d has not answered for %s", x.id, span(x.silent)))
		case Behind:
			behind = append(behind, fmt.Sprintf("node %d has not confirmed yet what is committed", x.id))
		case Rebuilding:
			anew = append(anew, fmt.Sprintf("the data of node %d is being made anew from the others", x.id))
		}
	}
	return strings.Join(slices.Concat(silent, behind, anew), ", ")
}

// span is a time as people say it.
func span(d time.Duration) string {
	switch {
	case d > 1<<62:
		return "as long as this node runs"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
