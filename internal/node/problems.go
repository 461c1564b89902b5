package node

import (
	"fmt"
	"slices"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/doctor"
	"tutti/internal/peer"
	"tutti/internal/shard"
)

// Problem is one thing that is not as it should be, and what mends it.
type Problem struct {
	What string `json:"what"`
	Do   string `json:"do"`
}

// Move is a copy of a shard that is on its way to what it should be.
type Move struct {
	Shard cluster.ShardID `json:"id"`
	Node  cluster.NodeID  `json:"node"`
	What  string          `json:"what"`
	// Behind is how many entries it has still to get.
	Behind uint64 `json:"behind,omitempty"`
}

// problems says of each node that is not as it should be what mends it. While the cluster
// stands still no node can be removed.
func (e evidence) problems(members []member, still bool) (list []Problem) {
	for _, x := range members {
		if x.presence == Up {
			continue
		}
		p := Problem{What: reasons([]member{x}), Do: "wait, and keep the others running"}
		if x.presence == Silent {
			at, _ := e.m.Member(x.id)
			p.Do = fmt.Sprintf("see whether tutti runs there (%s), and what the end of its log says; it catches up by itself. If it never comes back: tutti node remove %d", at.Client, x.id)
			if still {
				p.Do = fmt.Sprintf("see whether tutti runs there (%s), and what the end of its log says; all goes on once a majority answers. Only if that never comes back: tutti recover --help", at.Client)
			}
		}
		list = append(list, p)
	}
	return list
}

// others are problems of what nodes have, not of whether they are there.
func (e evidence) others(s Safety) (list []Problem) {
	if s == Fragile {
		list = append(list, e.tooFew())
	}
	for _, x := range e.m.Members {
		if e.full != nil && e.full(x.ID) {
			list = append(list, Problem{What: fmt.Sprintf("node %d has no room on its disk", x.ID), Do: "make room there; it goes on by itself"})
		}
		if x.State == cluster.Dead {
			list = append(list, Problem{What: fmt.Sprintf("node %d was given up: its copies are made elsewhere", x.ID),
				Do: fmt.Sprintf("start it again, or tutti node remove %d", x.ID)})
		}
	}
	list = append(list, e.clocks()...)
	for _, t := range e.twins {
		list = append(list, e.twin(t))
	}
	if e.unreadable > 0 {
		list = append(list, Problem{What: fmt.Sprintf("%d commands met a row on node %d that can't be read", e.unreadable, e.node), Do: "see its log, which names the key"})
	}
	return list
}

// clocks says whose clock is far from those of the others. Of two nobody knows.
func (e evidence) clocks() (list []Problem) {
	const do = "where it is wrong: timedatectl set-ntp true"
	offs, by := []time.Duration{0}, map[cluster.NodeID]time.Duration{e.node: 0}
	for _, x := range e.m.Members {
		if d, ok := e.ahead[x.ID]; ok {
			offs, by[x.ID] = append(offs, d), d
		}
	}
	slices.Sort(offs)
	if n := len(offs); n == 2 {
		if apart := offs[1] - offs[0]; apart > doctor.AheadWarn {
			list = append(list, Problem{What: fmt.Sprintf("the clocks of the two nodes are %v apart; keys expire by them", apart.Round(time.Millisecond)), Do: do})
		}
		return list
	}
	middle := (offs[(len(offs)-1)/2] + offs[len(offs)/2]) / 2
	for _, x := range e.m.Members {
		d, ok := by[x.ID]
		off := d - middle
		if !ok || off.Abs() <= doctor.AheadWarn {
			continue
		}
		way := "ahead of"
		if off < 0 {
			way = "behind"
		}
		list = append(list, Problem{What: fmt.Sprintf("the clock of node %d is %v %s the others'; nothing that is promised depends on it", x.ID, off.Abs().Round(time.Millisecond), way),
			Do: fmt.Sprintf("on the machine of node %d: timedatectl set-ntp true", x.ID)})
	}
	return list
}

// ownFacts are what nobody else knows of the node: how much room its disk still has, and
// until when its certificate is good. A disk without room others know of.
func ownFacts(n *Node) doctor.Facts {
	f := doctor.Facts{Dir: n.cfg.Dir, Now: time.UnixMilli(n.cfg.Clock.Wall())}
	if room, ok := n.space.Room(); ok && !room.Full {
		f.Disk = doctor.Disk{Known: true, Total: room.Total, Left: room.Left}
	}
	f.Certificate, _ = n.telling.certificates()
	return f
}

// ownProblems says what is wrong with the node by those facts.
func ownProblems(node cluster.NodeID, f doctor.Facts) (list []Problem) {
	for _, c := range f.Checks() {
		told := c.Name == "certificate" || c.Name == "disk" && f.Disk.Known
		if told && c.State != doctor.Pass {
			list = append(list, Problem{What: fmt.Sprintf("the %s of node %d: %s; %s", c.Name, node, c.What, c.Why), Do: c.Do})
		}
	}
	return list
}

// tooFew says why no loss is survived though all is as it should be.
func (e evidence) tooFew() Problem {
	const enough = 3
	var able, drained []cluster.Member
	for _, x := range e.storage() {
		switch x.State {
		case cluster.Active:
			able = append(able, x)
		case cluster.Draining:
			drained = append(drained, x)
		}
	}
	switch {
	case len(able) >= enough && e.m.Policy.Manual:
		return Problem{What: "too few replicas vote to survive the loss of a node, and the placement is manual",
			Do: "TUTTI.PLACE says where more are to vote; TUTTI.POLICY PLACEMENT auto leaves it to the cluster"}
	case len(able) >= enough:
		return Problem{What: "too few replicas vote yet to survive the loss of a node", Do: "wait: more nodes get votes when they have caught up"}
	case len(drained) > 0:
		return Problem{What: fmt.Sprintf("%d of %d nodes drain, and the others are too few to survive the loss of one", len(drained), len(e.storage())),
			Do: fmt.Sprintf("tutti node undrain %d; or, for another machine: tutti token create here, and there the tutti join that it prints", drained[0].ID)}
	}
	return Problem{What: fmt.Sprintf("%d node%s too few to survive the loss of one", len(able), areOrIs(len(able))),
		Do: "until there are three: tutti token create here, and the tutti join that it prints on another machine"}
}

// twin says of two processes that go by one name which of them this node knows.
func (e evidence) twin(t peer.Twin) Problem {
	if t.Node == e.node {
		return Problem{What: fmt.Sprintf("another process runs as this node: node %d speaks to that one (start %d) and refuses this one (start %d), which has changed nothing", t.By, t.Sits, t.Start),
			Do: "one of the two folders is a copy: stop the process that runs on it and delete it; to make a node of that machine: tutti join"}
	}
	return Problem{What: fmt.Sprintf("a second process comes as node %d, from %s, and is refused: node %d runs already", t.Node, t.Remote, t.Node),
		Do: "it runs on a copy of that node's folder: stop it there and delete the copy; to make a node of that machine: tutti join"}
}

func areOrIs(n int) string {
	if n == 1 {
		return " is"
	}
	return "s are"
}

// moves lists the copies that are not what the plan wants, as their leaders know
// them.
func (e evidence) moves() (list []Move) {
	for _, s := range shardsInOrder(e.m) {
		lead, ok := e.found.leads[s.ID]
		if !ok || len(s.Want) == 0 {
			continue
		}
		for _, p := range s.Want {
			if m, moves := moveTo(s.ID, p, lead); moves {
				list = append(list, m)
			}
		}
		for _, c := range lead.Replicas {
			if !slices.ContainsFunc(s.Want, func(p cluster.Placement) bool { return p.Node == c.Node }) {
				list = append(list, Move{Shard: s.ID, Node: c.Node, What: "is about to lose its copy"})
			}
		}
	}
	return list
}

// moveTo says what is missing at a place where a copy should be; false: nothing.
func moveTo(id cluster.ShardID, p cluster.Placement, lead shard.Standing) (Move, bool) {
	m := Move{Shard: id, Node: p.Node, What: "is to get a copy"}
	for _, c := range lead.Replicas {
		if c.Node != p.Node || c.Part == cluster.Leaving {
			continue
		}
		switch {
		case c.Part == cluster.Learner && !p.Learner:
			m.What, m.Behind = "gets its copy, and will vote", lead.Commit-min(c.Match, lead.Commit)
			return m, true
		case c.Part == cluster.Voter && p.Learner:
			m.What = "is about to give up its vote"
			return m, true
		case c.Match == 0:
			m.What, m.Behind = "gets its copy", lead.Commit
			return m, true
		}
		return m, false
	}
	return m, true
}
