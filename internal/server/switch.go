package server

import (
	"slices"
	"strings"
	"sync"

	"tutti/internal/cluster"
	"tutti/internal/pubsub"
)

// Clients that were configured with Sentinels listen to them for +switch-master. Each
// node tells its own: all learn of a new leader by themselves.

// switchNamesMax is of how many names of masters that clients have asked for a node
// tells.
const switchNamesMax = 64

// switches is what a node has told of masters.
type switches struct {
	mu    sync.Mutex // guards all below
	lead  cluster.NodeID
	names []string // beside the cluster's own and the usual one
}

// asked notes that a client calls the master so.
func (w *switches) asked(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.names) < switchNamesMax && len(name) <= denialObjectMax && !slices.Contains(w.names, name) {
		w.names = append(w.names, name)
	}
}

// next takes over who leads, and returns who did before that, 0 for nobody, and what
// clients call the master.
func (w *switches) next(lead cluster.NodeID) (before cluster.NodeID, names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, w.lead = w.lead, lead
	return before, slices.Clone(w.names)
}

// LeadChanged is told that a node leads a shard. It does not block.
func LeadChanged(s *Server, shard cluster.ShardID, lead cluster.NodeID) {
	m := s.cfg.Node.Map.Map()
	if data := m.Data(); len(data) == 0 || data[0].ID != shard || lead == 0 {
		return // the master is who leads the first slots
	}
	before, names := s.cluster.switches.next(lead)
	was, known := m.Member(before)
	is, member := m.Member(lead)
	if !known || !member || before == lead {
		return
	}
	names = append(names, s.cfg.Node.Cluster, sentinelName)
	slices.Sort(names)
	fromHost, fromPort := splitAddr(was.Client)
	toHost, toPort := splitAddr(is.Client)
	for _, name := range slices.Compact(names) {
		text := strings.Join([]string{name, fromHost, fromPort, toHost, toPort}, " ")
		s.cfg.Messages.DeliverLater(pubsub.Channel, []byte("+switch-master"), []byte(text))
	}
}
