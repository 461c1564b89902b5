package shard

import (
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// Who the replicas of the shard are. Inside raft they have ids that the shard's
// own log hands out; between nodes a node's id is the address. The descriptor,
// a row that changes together with raft's configuration, tells which is where.

// setConf takes over the applied configuration and the descriptor that goes
// with it.
func (r *Replica) setConf(conf *pb.ConfState, d cluster.Descriptor) {
	r.conf, r.desc = conf, d
	r.voters = d.Voters()
	for id := range r.strangers {
		if _, in := d.Replica(id); in || d.Gone(id) {
			delete(r.strangers, id)
		}
	}
	r.settled.Store(r.inPlace())
	r.member.Store(len(conf.GetVoters()) > 0)
}

// inPlace reports whether this replica is what it is to become.
func (r *Replica) inPlace() bool {
	if joint(r.conf) {
		return false
	}
	me, in := r.desc.Replica(r.self)
	if in && me.Part == cluster.Learner {
		s, _ := r.host.cfg.Map.Map().Shard(r.id)
		return slices.Contains(s.Want, cluster.Placement{Node: r.host.cfg.Node, Learner: true})
	}
	return in && me.Part == cluster.Voter
}

func joint(conf *pb.ConfState) bool { return len(conf.GetVotersOutgoing()) > 0 }

// nodeOf returns the node of a replica, 0 if nobody knows it here.
func (r *Replica) nodeOf(id uint64) cluster.NodeID {
	if x, ok := r.desc.Replica(cluster.ReplicaID(id)); ok {
		return x.Node
	}
	return r.strangers[cluster.ReplicaID(id)]
}

// meet notes where a replica is that the descriptor here does not name: it is
// newer than what has been applied, as all are to a replica that begins. It
// reports false for one that is elsewhere, or gone for ever.
func (r *Replica) meet(id cluster.ReplicaID, node cluster.NodeID) bool {
	if x, ok := r.desc.Replica(id); ok {
		return x.Node == node
	}
	if r.desc.Gone(id) {
		r.sendGone(node, id)
		return false
	}
	if len(r.strangers) >= cluster.ReplicasMax && r.strangers[id] == 0 {
		clear(r.strangers) // those that matter are heard again
	}
	if r.strangers == nil {
		r.strangers = make(map[cluster.ReplicaID]cluster.NodeID)
	}
	r.strangers[id] = node
	return true
}

// receiveMsg takes a raft message from a peer. A replica that knows of no
// configuration does not vote and does not campaign.
func (r *Replica) receiveMsg(from cluster.NodeID, m *pb.Message) {
	if cluster.ReplicaID(m.GetTo()) != r.self || !r.meet(cluster.ReplicaID(m.GetFrom()), from) {
		return // to one that this node has lost, or from one that the shard has
	}
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

// applyConf applies a configuration change, after making sure that the commit
// that lets it is durable.
func (r *Replica) applyConf(b *store.Batch, e *pb.Entry) error {
	c := &pb.ConfChangeV2{}
	if e.GetType() == pb.EntryConfChange {
		return fmt.Errorf("entry %d of shard %d is a change of the old form: %w", e.GetIndex(), r.id, store.ErrFormat)
	}
	if err := proto.Unmarshal(e.GetData(), c); err != nil {
		return fmt.Errorf("configuration change %d of shard %d: %w", e.GetIndex(), r.id, err)
	}
	add, err := decodeAdded(c.GetContext())
	if err != nil {
		return fmt.Errorf("configuration change %d of shard %d: %w", e.GetIndex(), r.id, err)
	}
	r.host.cfg.Log.SyncCommit(r.id, &pb.HardState{Term: new(r.term), Vote: new(r.vote), Commit: new(max(r.commit, e.GetIndex()))})
	if !handedOut(r.desc, add) {
		// Ids are handed out in the order of the log. The leader that proposed this
		// had not applied all of it; raft lets none do that.
		c, add = &pb.ConfChangeV2{}, nil
	}
	conf := r.raft.ApplyConfChange(c)
	r.setConf(conf, changed(r.desc, conf, add))
	r.changeLook = true
	r.host.checkSettled()
	if r.desc.Gone(r.self) {
		r.host.removeSoon(r)
	}
	return b.SetConf(r.desc, r.conf)
}

// handedOut reports whether the ids of add are the next ones of d.
func handedOut(d cluster.Descriptor, add []cluster.Replica) bool {
	for i, x := range add {
		if x.ID != d.Next+cluster.ReplicaID(i) {
			return false
		}
	}
	return true
}

// changed returns the descriptor that follows d when the configuration has
// become conf, with the replicas of add.
func changed(d cluster.Descriptor, conf *pb.ConfState, add []cluster.Replica) cluster.Descriptor {
	d.Generation++
	d.Next += cluster.ReplicaID(len(add))
	var list []cluster.Replica
	for _, x := range slices.Concat(d.Replicas, add) {
		id := uint64(x.ID)
		switch {
		case slices.Contains(conf.GetVoters(), id):
			x.Part = cluster.Voter
		case slices.Contains(conf.GetLearners(), id), slices.Contains(conf.GetLearnersNext(), id):
			x.Part = cluster.Learner
		case slices.Contains(conf.GetVotersOutgoing(), id):
			x.Part = cluster.Leaving
		default:
			continue
		}
		list = append(list, x)
	}
	d.Replicas = list
	return d
}

// The context of a configuration change is the replicas that it adds:
//
//	version:1 { id:8 node:8 data:8 }×n
const (
	addedVersion = 1
	addedBytes   = 24
)

func encodeAdded(add []cluster.Replica) []byte {
	if len(add) == 0 {
		return nil
	}
	b := []byte{addedVersion}
	for _, x := range add {
		b = be.AppendUint64(be.AppendUint64(be.AppendUint64(b, uint64(x.ID)), uint64(x.Node)), x.Data)
	}
	return b
}

func decodeAdded(b []byte) (add []cluster.Replica, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != addedVersion || len(b)%addedBytes != 1 {
		return nil, fmt.Errorf("replicas of version %d in %d bytes: %w", b[0], len(b), store.ErrFormat)
	}
	for b = b[1:]; len(b) > 0; b = b[addedBytes:] {
		add = append(add, cluster.Replica{ID: cluster.ReplicaID(be.Uint64(b)), Node: cluster.NodeID(be.Uint64(b[8:])), Data: be.Uint64(b[16:])})
	}
	return add, nil
}
