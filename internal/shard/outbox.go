package shard

import (
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// outbox sends raft's messages to other replicas.
type outbox struct {
	r    *Replica
	held []*pb.Message // until the end of the cycle, one per replica
	// beats are the ticks at which those got their last heartbeats who need not be asked.
	beats    map[uint64]uint64
	quickest quickest
}

func (o *outbox) send(m *pb.Message) {
	class := peer.Bulk
	if m.GetType() == pb.MsgHeartbeat && o.spares(m) {
		return
	}
	switch m.GetType() {
	case pb.MsgHeartbeat, pb.MsgHeartbeatResp, pb.MsgVote, pb.MsgVoteResp, pb.MsgPreVote, pb.MsgPreVoteResp,
		pb.MsgTimeoutNow, pb.MsgReadIndex, pb.MsgReadIndexResp:
		class = peer.Control
	case pb.MsgSnap:
		o.r.snapshots.send(m)
		return
	case pb.MsgApp:
		// A message that only tells a new commit index waits for the end of the
		// cycle: the next entry, proposed in the same cycle, tells it too.
		o.held = slices.DeleteFunc(o.held, func(h *pb.Message) bool { return h.GetTo() == m.GetTo() })
		if len(m.GetEntries()) == 0 {
			o.held = append(o.held, m)
			return
		}
	}
	o.transmit(m, class)
}

// spares reports whether a heartbeat need not be sent. raft asks everybody in each
// round of reads; what learners answer to that counts for nothing, and a majority of the
// voters is enough. One heartbeat a tick is enough for the rest.
func (o *outbox) spares(m *pb.Message) bool {
	to, round := m.GetTo(), m.GetContext()
	if len(round) == 0 {
		return false
	}
	voter := !slices.Contains(o.r.members.conf.GetLearners(), to)
	if voter && !o.quickest.skips(o.r, to) {
		o.quickest.asks(to, round)
		return false
	}
	if last, ok := o.beats[to]; ok && last == o.r.ticks {
		return true
	}
	if o.beats == nil || len(o.beats) > cluster.ReplicasMax {
		o.beats = make(map[uint64]uint64)
	}
	o.beats[to] = o.r.ticks
	if voter {
		o.quickest.asks(to, round)
	}
	return false
}

func (o *outbox) flush() {
	for _, m := range o.held {
		o.transmit(m, peer.Bulk)
	}
	clear(o.held)
	o.held = o.held[:0]
}

func (o *outbox) transmit(m *pb.Message, class peer.Class) {
	sent := o.r.host.cfg.Links.Queue(o.r.members.nodeOf(m.GetTo()), class, kindRaft, func(dst []byte) []byte {
		out, err := proto.MarshalOptions{}.MarshalAppend(be.AppendUint64(dst, uint64(o.r.id)), m)
		if err != nil {
			panic(fmt.Sprintf("shard: marshal %v: %v", m.GetType(), err))
		}
		return out
	})
	if !sent && m.GetType() == pb.MsgApp {
		o.r.raft.ReportUnreachable(m.GetTo())
	}
}
