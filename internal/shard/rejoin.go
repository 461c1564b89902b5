package shard

import (
	"log/slog"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// A node whose data was lost starts with empty replicas of a new generation,
// which belong to no configuration. They neither vote nor campaign; they ask
// all nodes to let them join until they find themselves among the voters. The
// leader makes such a replica a learner, lets it catch up, and then puts it in
// the place of the old one by one joint change. What is next to do follows from
// the configuration and the request, so any later leader goes on with it.

const (
	// rejoinTicks is how often a replica asks.
	rejoinTicks = 10
	// rejoinHeardTicks is how long a request counts.
	rejoinHeardTicks = 4 * rejoinTicks
	// rejoinLag is how many entries a learner may be behind and still be made a
	// voter.
	rejoinLag = 64
)

// request is the newest request to join from a node.
type request struct {
	id   uint64 // of the replica
	tick uint64 // when it came
}

// setConf takes over the applied configuration.
func (r *Replica) setConf(conf *pb.ConfState) {
	r.conf = conf
	r.voters = replicaNodes(conf.GetVoters())
	r.settled.Store(slices.Contains(conf.GetVoters(), uint64(r.self)) && !joint(conf))
}

func joint(conf *pb.ConfState) bool { return len(conf.GetVotersOutgoing()) > 0 }

// receiveMsg takes a raft message from a peer. A replica that knows of no
// configuration does not vote and does not campaign.
func (r *Replica) receiveMsg(m *pb.Message) {
	switch m.GetType() {
	case pb.MsgVote, pb.MsgPreVote, pb.MsgTimeoutNow:
		if len(r.conf.GetVoters()) == 0 {
			return
		}
	case pb.MsgVoteResp:
		if m.GetReject() {
			r.campaignAgain(m)
		}
	}
	r.step(m)
}

// askToJoin sends the request of a replica that is no voter yet.
func (r *Replica) askToJoin() {
	if r.ticks%rejoinTicks != 0 || replicaGeneration(r.self) == 0 || slices.Contains(r.conf.GetVoters(), uint64(r.self)) {
		return
	}
	for _, node := range r.host.cfg.Nodes {
		if node != r.host.cfg.Node {
			r.host.cfg.Links.Queue(node, peer.Control, kindRejoin, func(dst []byte) []byte {
				return be.AppendUint64(be.AppendUint64(dst, uint64(r.id)), uint64(r.self))
			})
		}
	}
}

// rejoinMsg is a request in the inbox.
type rejoinMsg struct {
	r    *Replica
	node cluster.NodeID
	id   uint64
}

// joinAsked takes the request of another node's replica.
func (r *Replica) joinAsked(node cluster.NodeID, id uint64) {
	r.joining[node] = request{id, r.ticks}
	r.joinLook = true
	r.loop.touch(r)
}

// asking lists the nodes that ask to join, in order.
func (r *Replica) asking() []cluster.NodeID {
	var nodes []cluster.NodeID
	for node, q := range r.joining {
		if r.ticks-q.tick <= rejoinHeardTicks {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// proposeConf proposes the next change that a request to join asks for and
// reports whether it did. The raft node has nothing ready, see work.
func (r *Replica) proposeConf() bool {
	look := r.joinLook
	r.joinLook = false
	if !look || !r.leading() || r.confIndex > r.applied.Index {
		return false
	}
	for _, node := range r.asking() {
		id := r.joining[node].id
		change := planRejoin(r.conf, id, r.caughtUp(id))
		if change == nil {
			continue
		}
		log := r.host.cfg.Logger.With(slog.Uint64("shard", uint64(r.id)), slog.Uint64("node", uint64(node)), slog.Uint64("generation", replicaGeneration(cluster.ReplicaID(id))))
		if err := r.raft.ProposeConfChange(change); err != nil {
			log.Debug("change of replicas dropped", slog.Any("error", err))
			return false
		}
		r.confIndex = r.lastIndex + 1
		log.Info("a replica rejoins", slog.String("changes", pb.ConfChangesToString(change.GetChanges())))
		return true
	}
	return false
}

// caughtUp reports, at the leader, whether a learner has nearly all that is
// committed.
func (r *Replica) caughtUp(id uint64) (ok bool) {
	if !slices.Contains(r.conf.GetLearners(), id) {
		return false
	}
	p, found := r.raft.Status().Progress[id]
	return found && p.State == tracker.StateReplicate && p.Match+rejoinLag >= r.commit
}

// planRejoin returns the next change that brings the replica id into a
// configuration in the place of older ones of its node; nil if there is none
// now. Only a node that the configuration knows can come back.
func planRejoin(conf *pb.ConfState, id uint64, caughtUp bool) *pb.ConfChangeV2 {
	if joint(conf) || slices.Contains(conf.GetVoters(), id) {
		return nil
	}
	voters, newer := older(conf.GetVoters(), id)
	learners, newerLearner := older(conf.GetLearners(), id)
	if newer || newerLearner || len(voters)+len(learners) == 0 {
		return nil
	}
	single := func(t pb.ConfChangeType, id uint64) *pb.ConfChangeSingle {
		return &pb.ConfChangeSingle{Type: t.Enum(), NodeId: &id}
	}
	c := &pb.ConfChangeV2{}
	learner := slices.Contains(conf.GetLearners(), id)
	switch {
	case !learner:
		for _, old := range learners {
			c.Changes = append(c.Changes, single(pb.ConfChangeRemoveNode, old))
		}
		c.Changes = append(c.Changes, single(pb.ConfChangeAddLearnerNode, id))
	case caughtUp && len(voters) > 0:
		for _, old := range voters {
			c.Changes = append(c.Changes, single(pb.ConfChangeRemoveNode, old))
		}
		c.Changes = append(c.Changes, single(pb.ConfChangeAddNode, id))
	default:
		return nil
	}
	return c
}

// older returns those of ids that are older replicas of id's node; newer says
// that there is a newer one, so id is of the past.
func older(ids []uint64, id uint64) (list []uint64, newer bool) {
	for _, o := range ids {
		if replicaNode(cluster.ReplicaID(o)) == replicaNode(cluster.ReplicaID(id)) && o != id {
			list = append(list, o)
			newer = newer || o > id
		}
	}
	return list, newer
}
