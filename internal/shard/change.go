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

// asked is the newest word from a node that has lost its data.
type asked struct {
	data uint64 // the generation that it has now
	tick uint64 // when it came
}

// heardAsk takes the request of a node for a replica that is part of its data
// of a generation.
func (r *Replica) heardAsk(node cluster.NodeID, data uint64) {
	if r.asks == nil {
		r.asks = make(map[cluster.NodeID]asked)
	}
	if old, ok := r.asks[node]; !ok && len(r.asks) >= cluster.MembersMax || data < old.data {
		return
	}
	r.asks[node] = asked{data, r.ticks}
	r.look()
}

// look makes the leader look for the next change.
func (r *Replica) look() {
	r.changeLook = true
	r.loop.touch(r)
}

// asking lists the nodes that have lost their replica and ask for another, in
// order.
func (r *Replica) asking() []cluster.NodeID {
	var nodes []cluster.NodeID
	for node, a := range r.asks {
		if r.ticks-a.tick <= askedTicks {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// goals returns what the replicas should become: what the map plans, or the
// same nodes as now; on a node that lost its data, as part of the new data.
func (r *Replica) goals() []cluster.Goal {
	s, _ := r.host.cfg.Map.Map().Shard(r.id)
	want := s.Want
	if len(want) == 0 {
		want = asNow(r.desc)
	}
	goals := make([]cluster.Goal, 0, len(want))
	for _, p := range want {
		g := cluster.Goal{Placement: p}
		if x, ok := r.desc.On(p.Node); ok {
			g.Data = x.Data
		}
		if a, ok := r.asks[p.Node]; ok && r.ticks-a.tick <= askedTicks {
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

// proposeChange takes the next step, if there is one, and reports whether raft
// got something. The raft node has nothing ready, see work.
func (r *Replica) proposeChange() bool {
	look := r.changeLook
	r.changeLook = false
	if !look || !r.leading() || r.confIndex > r.applied.Index {
		return false
	}
	c := cluster.NextChange(cluster.Group{Descriptor: r.desc, Leader: r.self, Joint: joint(r.conf), CaughtUp: r.caughtUp()}, r.goals())
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
	r.confIndex = r.lastIndex + 1
	log.Info("the replicas change")
	return true
}

// confChange is a change in raft's words. More than one single change makes a
// joint configuration, which raft leaves by itself.
func confChange(c cluster.Change) *pb.ConfChangeV2 {
	change := &pb.ConfChangeV2{Context: encodeAdded(c.Add)}
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
func (r *Replica) caughtUp() func(cluster.ReplicaID) bool {
	progress := r.raft.Status().Progress
	return func(id cluster.ReplicaID) bool {
		p, found := progress[uint64(id)]
		return found && p.State == tracker.StateReplicate && p.Match+changeLag >= r.commit
	}
}

// tickChange runs every tick.
func (r *Replica) tickChange() {
	if r.ticks%changeTicks != 0 {
		return
	}
	switch {
	case r.leading():
		r.look()
		r.invite()
		r.report()
	case r.lead.Load().Node == 0:
		r.askWhetherGone()
	}
}

// report tells who keeps the map that it has an old descriptor of this shard.
func (r *Replica) report() {
	if s, ok := r.host.cfg.Map.Map().Shard(r.id); (!ok || s.Generation < r.desc.Generation) && r.host.cfg.Report != nil {
		r.host.cfg.Report(r.desc)
	}
}
