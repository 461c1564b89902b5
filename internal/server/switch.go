package server

import (
	"slices"
	"strings"
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/glob"
	"tutti/internal/pubsub"
	"tutti/internal/shard"
)

// Clients that were configured with Sentinels listen to them for +switch-master. Each
// node tells its own: all learn of a new leader by themselves. Where a replica follows
// the shard it says who leads; elsewhere the node asks the others, for as long as
// somebody listens.

const (
	// switchNamesMax is of how many names of masters that clients have asked for a node
	// tells.
	switchNamesMax = 64
	// switchEvery is how often a node without a replica asks who leads: with the age of
	// what it is told, and the time that takes, clients hear of it within two seconds.
	switchEvery = 500 * time.Millisecond

	switchChannel = "+switch-master"
)

// switches is what a node has told of masters.
type switches struct {
	mu      sync.Mutex // guards all below
	shard   cluster.ShardID
	lead    shard.Lead // of that shard, the newest that was heard of
	names   []string   // beside the cluster's own and the usual one
	attends bool       // somebody listens, and a goroutine asks who leads
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
// clients call the master. What was heard late, of an older term, is left aside.
func (w *switches) next(id cluster.ShardID, lead shard.Lead) (before cluster.NodeID, names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shard == id && lead.Term < w.lead.Term {
		return lead.Node, nil
	}
	before, w.shard, w.lead = w.lead.Node, id, lead
	return before, slices.Clone(w.names)
}

// fits reports whether who subscribes to a name is told of masters.
func (w *switches) fits(kind pubsub.Kind, name []byte) bool {
	return kind == pubsub.Channel && string(name) == switchChannel || kind == pubsub.Pattern && glob.Match(name, []byte(switchChannel))
}

// attend has the node ask who leads while somebody listens for it. It is to be called
// when somebody has subscribed to it.
func (w *switches) attend(s *Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.attends {
		return
	}
	w.attends = true
	s.wg.Go(func() {
		t := time.NewTicker(switchEvery)
		defer t.Stop()
		for !w.ends(s) {
			lookForSwitch(s)
			select {
			case <-s.ctx.Done():
			case <-t.C:
			}
		}
	})
}

// ends reports whether the goroutine is to end. Whoever subscribes after that starts
// another one.
func (w *switches) ends(s *Server) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attends = s.ctx.Err() == nil && s.cfg.Messages.Hears(switchChannel)
	return !w.attends
}

// lookForSwitch asks who leads the first slots, unless a replica here will say.
func lookForSwitch(s *Server) {
	data := s.cfg.Node.Map.Map().Data()
	if len(data) == 0 || !s.cfg.Router.Away(data[0].ID) || s.cfg.Presence == nil {
		return
	}
	if is, ok := s.cfg.Presence(s.ctx).Leads[data[0].ID]; ok {
		LeadChanged(s, is.Shard, shard.Lead{Node: is.Leader, Term: is.Term})
	}
}

// LeadChanged is told that a node leads a shard. It does not block.
func LeadChanged(s *Server, id cluster.ShardID, lead shard.Lead) {
	m := s.cfg.Node.Map.Map()
	if data := m.Data(); len(data) == 0 || data[0].ID != id || lead.Node == 0 {
		return // the master is who leads the first slots
	}
	before, names := s.cluster.switches.next(id, lead)
	was, known := m.Member(before)
	is, member := m.Member(lead.Node)
	if !known || !member || before == lead.Node {
		return
	}
	names = append(names, s.cfg.Node.Cluster, sentinelName)
	slices.Sort(names)
	fromHost, fromPort := splitAddr(was.Client)
	toHost, toPort := splitAddr(is.Client)
	for _, name := range slices.Compact(names) {
		text := strings.Join([]string{name, fromHost, fromPort, toHost, toPort}, " ")
		s.cfg.Messages.DeliverLater(pubsub.Channel, []byte(switchChannel), []byte(text))
	}
}
