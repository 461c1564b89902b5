package node

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/runner"
	"tutti/internal/server"
)

// kindRunners is the kind of frames that tell how many commands the sender runs at
// once: version:1 max:2.
const kindRunners peer.Kind = 67

const (
	runnersVersion = 1
	// RunnersMax bounds how many commands a node runs at once.
	RunnersMax = 1000
	// RunnersAuto is as many as the machine has cores.
	RunnersAuto = -1
)

// setRunners takes over what the configuration says of commands.
func (s *Self) setRunners(cfg Config) error {
	if cfg.Runners == nil || *cfg.Runners == s.Runners {
		return nil
	}
	if n := *cfg.Runners; n < RunnersAuto || n > RunnersMax {
		return fmt.Errorf("%d commands at once are not between 0 and %d", n, RunnersMax)
	}
	s.Runners = *cfg.Runners
	return s.write(cfg.FS, cfg.Dir)
}

// runners is the commands that this node runs, and what it knows of the others.
type runners struct {
	own   *runner.Runner // nil: the node runs none
	links *peer.Links
	maps  *cluster.Holder
	self  cluster.NodeID

	mu     sync.Mutex // guards others
	others map[cluster.NodeID]int
}

// open registers what is heard of others; the links have not started yet.
func (r *runners) open(n *Node) {
	r.links, r.maps, r.self, r.others = n.links, n.maps, n.self.Node, make(map[cluster.NodeID]int)
	r.links.Handle(kindRunners, func(from cluster.NodeID, b []byte) {
		if len(b) != 3 || b[0] != runnersVersion {
			return // of a later version: its runners are not known here
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.others[from] = int(binary.BigEndian.Uint16(b[1:]))
	})
}

// start begins to run commands, if the node is to, once it serves.
func (r *runners) start(n *Node) {
	most := n.self.Runners
	if most == RunnersAuto {
		most = runtime.GOMAXPROCS(0)
	}
	if most <= 0 {
		return
	}
	me, _ := n.maps.Map().Member(n.self.Node)
	name := me.Name
	if name == "" {
		name = "node-" + strconv.FormatUint(uint64(me.ID), 10)
	}
	own := runner.Start(runner.Config{Node: name, Start: n.start.Count, Max: most, Dial: n.server.Inside, Lease: n.cfg.RunLease, Logger: n.cfg.Logger})
	r.mu.Lock()
	r.own = own
	r.mu.Unlock()
	r.setDrained(n.server.Drained())
	r.announceAll()
}

// running returns the node's own; nil: it runs no commands.
func (r *runners) running() *runner.Runner {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.own
}

// setDrained says whether the node is to take commands.
func (r *runners) setDrained(drained bool) {
	if own := r.running(); own != nil {
		own.SetPaused(drained)
		r.announceAll()
	}
}

func (r *runners) announceAll() {
	for _, m := range r.maps.Map().Members {
		if m.ID != r.self {
			r.announce(m.ID)
		}
	}
}

// announce tells a peer how many commands this node runs; 0 too, as an earlier start of
// it may have run some.
func (r *runners) announce(node cluster.NodeID) {
	most := 0
	if own := r.running(); own != nil {
		most = own.Max()
	}
	r.links.Send(node, peer.Control, kindRunners, func(dst []byte) []byte {
		return binary.BigEndian.AppendUint16(append(dst, runnersVersion), uint16(most))
	})
}

// linkChanged is told that the link to a peer is up or down. What a peer has told of
// itself outlives a link that goes down: it came over the peer's own, and nobody would
// tell it again if that one stands.
func (r *runners) linkChanged(node cluster.NodeID, up bool) {
	if up {
		r.announce(node)
		return
	}
	if _, ok := r.maps.Map().Member(node); !ok {
		r.mu.Lock()
		delete(r.others, node)
		r.mu.Unlock()
	}
}

// list is what TUTTI.RUNNERS answers: the nodes that run commands and are there.
func (r *runners) list() (list []server.Runner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.maps.Map().Members {
		most := 0
		switch {
		case m.ID != r.self && r.links.Up(m.ID):
			most = r.others[m.ID]
		case m.ID == r.self && r.own != nil:
			most = r.own.Max()
		}
		if most > 0 {
			list = append(list, server.Runner{Node: m.ID, Name: m.Name, Addr: m.Client, Max: most})
		}
	}
	slices.SortFunc(list, func(a, b server.Runner) int { return int(a.Node) - int(b.Node) })
	return list
}
