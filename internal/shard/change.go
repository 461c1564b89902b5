package shard

import (
	"log/slog"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"tutti/internal/cluster"
)

// How the replicas become those that the shard should have. The leader looks
// now and then, and whenever something has changed, for the next step that
// cluster.NextChange says, and takes it. It keeps nothing between two steps, so
// the next leader goes on.

const (
	// changeTicks is how often a leader looks, and invites, and how often those
	// who want something from a leader ask.
	changeTicks = 10
	// askedTicks is how long a request counts.
	askedTicks = 4 * changeTicks
	// changeLag is how many entries a learner may be behind and still be made a
	// voter.
	changeLag = 64
)

// changes is how a leader changes who belongs to the group.
type changes struct {
	l         *leadership
	confIndex uint64 // of the newest change proposed in this term
	look      bool   // there may be a next change
}

// asked is the newest word from a node that has lost its data.
type asked struct {
	data uint64 // the generation that it has now
	tick uint64 // when it came
}

// heardAsk takes the request of a node for a replica that is part of its data
// of a generation.
func (m *members) heardAsk(node cluster.NodeID, data uint64) {
	if m.asks == nil {
		m.asks = make(map[cluster.NodeID]asked)
	}
	if old, ok := m.asks[node]; !ok && len(m.asks) >= cluster.MembersMax || data < old.data {
		return
	}
	m.asks[node] = asked{data, m.r.ticks}
	m.r.look()
}

// look makes the leader look for the next change.
func (r *Replica) look() {
	if r.leader != nil {
		r.leader.changes.look = true
	}
	r.loop.touch(r)
}

// asking lists the nodes that have lost their replica and ask for another, in
// order.
func (m *members) asking() []cluster.NodeID {
	var nodes []cluster.NodeID
	for node, a := range m.asks {
		if m.r.ticks-a.tick <= askedTicks {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// goals returns what the replicas should become: what the map plans, or the
// same nodes as now; on a node that lost its data, as part of the new data.
func (ch *changes) goals() []cluster.Goal {
	r := ch.l.r
	s, _ := r.host.cfg.Map.Map().Shard(r.id)
	want := s.Want
	if len(want) == 0 {
		want = asNow(r.members.desc)
	}
	goals := make([]cluster.Goal, 0, len(want))
	for _, p := range want {
		g := cluster.Goal{Placement: p}
		if x, ok := r.members.desc.On(p.Node); ok {
			g.Data = x.Data
		}
		if a, ok := r.members.asks[p.Node]; ok && r.ticks-a.tick <= askedTicks {
			g.Data = max(g.Data, a.data)
		}
		goals = append(goals, g)
	}
	return goals
}

// asNow returns the placement that a shard has: a node with a voter is to have
// one.
func asNow(d cluster.Descriptor) (want []cluster.Placement) {
	votes := make(map[cluster.NodeID]bool)
	for _, x := range d.Replicas {
		votes[x.Node] = votes[x.Node] || x.Part == cluster.Voter
	}
	for _, node := range d.Nodes() {
		want = append(want, cluster.Placement{Node: node, Learner: !votes[node]})
	}
	return want
}

// propose takes the next step, if there is one, and reports whether raft
// got something. The raft node has nothing ready, see work.
func (ch *changes) propose() bool {
	r := ch.l.r
	look := ch.look
	ch.look = false
	if !look || ch.confIndex > r.machine.applied.Index {
		return false
	}
	c := cluster.NextChange(cluster.Group{Descriptor: r.members.desc, Leader: r.self, Joint: joint(r.members.conf), CaughtUp: ch.caughtUp()}, ch.goals())
	switch {
	case c.Nothing():
		return false
	case c.Lead != 0:
		if r.raft.BasicStatus().LeadTransferee == 0 {
			r.raft.TransferLeader(uint64(c.Lead))
		}
		return false
	}
	change := confChange(c)
	log := r.host.cfg.Logger.With(slog.Uint64("shard", uint64(r.id)), slog.String("changes", pb.ConfChangesToString(change.GetChanges())))
	if err := r.raft.ProposeConfChange(change); err != nil {
		log.Debug("change of replicas dropped", slog.Any("error", err))
		return false
	}
	ch.confIndex = r.appends.lastIndex + 1
	log.Info("the replicas change")
	return true
}

// confChange is a change in raft's words. More than one single change makes a
// joint configuration, which raft leaves by itself; so does the removal of a
// voter, see forgetTail.
func confChange(c cluster.Change) *pb.ConfChangeV2 {
	change := &pb.ConfChangeV2{Context: encodeAdded(c.Add)}
	if len(c.Remove) > 0 {
		change.Transition = pb.ConfChangeTransition_ConfChangeTransitionJointImplicit.Enum()
	}
	single := func(t pb.ConfChangeType, id cluster.ReplicaID) {
		change.Changes = append(change.Changes, &pb.ConfChangeSingle{Type: t.Enum(), NodeId: new(uint64(id))})
	}
	for _, x := range c.Add {
		single(pb.ConfChangeAddLearnerNode, x.ID)
	}
	for _, id := range c.Remove {
		single(pb.ConfChangeRemoveNode, id)
	}
	for _, id := range c.Promote {
		single(pb.ConfChangeAddNode, id)
	}
	for _, id := range c.Demote {
		single(pb.ConfChangeAddLearnerNode, id)
	}
	return change
}

// caughtUp returns, at the leader, who has nearly all that is committed.
func (ch *changes) caughtUp() func(cluster.ReplicaID) bool {
	progress := ch.l.r.raft.Status().Progress
	return func(id cluster.ReplicaID) bool {
		p, found := progress[uint64(id)]
		return found && p.State == tracker.StateReplicate && p.Match+changeLag >= ch.l.r.appends.commit
	}
}

// tick runs every tick.
func (ch *changes) tick() {
	if ch.l.r.ticks%changeTicks == 0 {
		ch.l.r.look()
		ch.invite()
		ch.settle()
		ch.report()
	}
}

// settle has an entry follow a change that waits for one: raft leaves a joint configuration
// when an entry is applied, and who is removed may go behind one, see removalKnown. What
// was proposed for that may be lost, and nobody else may write.
func (ch *changes) settle() {
	if m := &ch.l.r.members; joint(m.conf) || !m.removalKnown() {
		m.seal()
	}
}

// report tells who keeps the map that it has an old descriptor of this shard. A
// node whose replica is not in the map may be taken out of the cluster.
func (ch *changes) report() {
	r := ch.l.r
	if !r.members.removalKnown() {
		return
	}
	if s, ok := r.host.cfg.Map.Map().Shard(r.id); (!ok || s.Generation < r.members.desc.Generation) && r.host.cfg.Report != nil {
		r.host.cfg.Report(r.members.desc)
	}
}
