package shard

import (
	"fmt"
	"slices"
	"sync/atomic"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// Who the replicas of the shard are. Inside raft they have ids that the shard's
// own log hands out; between nodes a node's id is the address. The descriptor,
// a row that changes together with raft's configuration, tells which is where.

// members is who belongs to the group, as far as this replica has applied it.
type members struct {
	r      *Replica
	conf   *pb.ConfState // see set
	desc   cluster.Descriptor
	voters []cluster.NodeID // the nodes of its voters
	// settled says, for everybody, that this replica is what it is to become.
	settled atomic.Bool
	// member says, for everybody, that it has been told the state of the shard, and
	// is not removed since.
	member    atomic.Bool
	strangers map[cluster.ReplicaID]cluster.NodeID // see meet
	asks      map[cluster.NodeID]asked             // by nodes that have lost their data
	heard     uint64                               // tick at which a leader was heard last
	removedBy uint64                               // see removalKnown
}

// tick runs every tick at a replica that does not lead. A learner that is not
// spoken to any more goes on to follow, so it is the silence that counts.
func (m *members) tick() {
	if m.r.ticks%changeTicks == 0 && (m.removed() || m.r.ticks-m.heard > silentTicks) {
		m.askWhetherGone()
	}
}

// silentTicks is after which silence a replica asks whether it was removed: the
// longest election time-out.
const silentTicks = 2 * electionTicks

// set takes over the applied configuration and the descriptor that goes
// with it.
func (m *members) set(conf *pb.ConfState, d cluster.Descriptor) {
	m.conf, m.desc = conf, d
	m.voters = d.Voters()
	for id := range m.strangers {
		if _, in := d.Replica(id); in {
			delete(m.strangers, id)
		}
	}
	m.settled.Store(m.inPlace())
	m.member.Store(len(conf.GetVoters()) > 0 && !m.removed())
}

// inPlace reports whether this replica is what it is to become.
func (m *members) inPlace() bool {
	if joint(m.conf) {
		return false
	}
	me, in := m.desc.Replica(m.r.self)
	if in && me.Part == cluster.Learner {
		s, _ := m.r.host.cfg.Map.Map().Shard(m.r.id)
		return slices.Contains(s.Want, cluster.Placement{Node: m.r.host.cfg.Node, Learner: true})
	}
	return in && me.Part == cluster.Voter
}

func joint(conf *pb.ConfState) bool { return len(conf.GetVotersOutgoing()) > 0 }

// nodeOf returns the node of a replica, 0 if nobody knows it here.
func (m *members) nodeOf(id uint64) cluster.NodeID {
	if x, ok := m.desc.Replica(cluster.ReplicaID(id)); ok {
		return x.Node
	}
	return m.strangers[cluster.ReplicaID(id)]
}

// meet notes where a replica is that the descriptor here does not name. It is
// newer than what has been applied, as all are to a replica that begins, or it was
// removed and does not know: others who don't know either may need it to elect
// somebody. It reports false for one that is elsewhere.
func (m *members) meet(id cluster.ReplicaID, node cluster.NodeID) bool {
	if x, ok := m.desc.Replica(id); ok {
		return x.Node == node
	}
	if len(m.strangers) >= cluster.ReplicasMax && m.strangers[id] == 0 {
		clear(m.strangers) // those that matter are heard again
	}
	if m.strangers == nil {
		m.strangers = make(map[cluster.ReplicaID]cluster.NodeID)
	}
	m.strangers[id] = node
	return true
}

// receiveMsg takes a raft message from a peer. A replica that knows of no
// configuration does not vote and does not campaign.
func (r *Replica) receiveMsg(from cluster.NodeID, m *pb.Message) {
	if cluster.ReplicaID(m.GetTo()) != r.self || !r.members.meet(cluster.ReplicaID(m.GetFrom()), from) {
		return // to one that this node has lost, or from one that is elsewhere
	}
	switch m.GetType() {
	case pb.MsgApp, pb.MsgHeartbeat, pb.MsgSnap:
		r.members.heard = r.ticks
	case pb.MsgVote, pb.MsgPreVote:
		if len(r.members.conf.GetVoters()) == 0 {
			return
		}
		r.members.forgetTail(m)
	case pb.MsgTimeoutNow:
		if len(r.members.conf.GetVoters()) == 0 {
			return
		}
		r.elections.handed = m.GetTerm()
	case pb.MsgHeartbeatResp:
		r.outbox.quickest.heard(m.GetFrom(), m.GetContext())
	case pb.MsgVoteResp:
		if m.GetReject() {
			r.elections.campaignAgain(m)
		}
	}
	r.step(m)
}

// apply applies a configuration change, after making sure that the commit
// that lets it is durable.
func (m *members) apply(b *store.Batch, e *pb.Entry) error {
	c := &pb.ConfChangeV2{}
	if e.GetType() == pb.EntryConfChange {
		return fmt.Errorf("entry %d of shard %d is a change of the old form: %w", e.GetIndex(), m.r.id, store.ErrFormat)
	}
	if err := proto.Unmarshal(e.GetData(), c); err != nil {
		return fmt.Errorf("configuration change %d of shard %d: %w", e.GetIndex(), m.r.id, err)
	}
	add, err := decodeAdded(c.GetContext())
	if err != nil {
		return fmt.Errorf("configuration change %d of shard %d: %w", e.GetIndex(), m.r.id, err)
	}
	m.r.host.cfg.Log.SyncCommit(m.r.id, &pb.HardState{Term: new(m.r.term), Vote: new(m.r.appends.vote), Commit: new(max(m.r.appends.commit, e.GetIndex()))})
	if !handedOut(m.desc, add) {
		// Ids are handed out in the order of the log. The leader that proposed this
		// had not applied all of it; raft lets none do that.
		c, add = &pb.ConfChangeV2{}, nil
	}
	conf, before := m.r.raft.ApplyConfChange(c), m.desc
	m.set(conf, changed(m.desc, conf, add))
	m.noteRemovals(before)
	if m.r.leader != nil {
		m.r.host.meter.changed(before, m.desc)
	}
	m.r.look()
	m.r.host.checkSettled()
	return b.SetConf(m.desc, m.conf)
}

// own makes the shard own other slots: from here on what is evaluated and read goes
// by them.
func (m *members) own(b *store.Batch, slots cluster.SlotRange) error {
	d := m.desc
	d.Slots = slots
	d.Generation++
	m.set(m.conf, d)
	m.r.look()
	return b.SetConf(m.desc, m.conf)
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
