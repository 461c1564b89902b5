package shard

import (
	"encoding/binary"
	"log/slog"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/peer"
)

// Kinds of frames between nodes; see package peer for what a number promises.
// Those of a snapshot's stream stand in snapshot.go, those of what is large in carry.go.
const (
	kindRaft      peer.Kind = 16 // shard:8 raftpb.Message
	kindGroup     peer.Kind = 17 // see package group
	kindReply     peer.Kind = 18 // see package group
	kindReadAsk   peer.Kind = 19 // shard:8 id:8
	kindReadTell  peer.Kind = 20 // shard:8 id:8 index:8 now:8
	kindTick      peer.Kind = 21 // shard:8 time:8
	kindHashAsk   peer.Kind = 22 // shard:8 index:8 hash:8
	kindHashTell  peer.Kind = 23 // shard:8 index:8 hash:8
	kindDiverged  peer.Kind = 24 // shard:8 index:8 hash:8
	kindScrubTell peer.Kind = 25 // shard:8 index:8 hash:8
	kindScrubOdd  peer.Kind = 26 // shard:8 index:8 hash:8
	kindAsk       peer.Kind = 27 // shard:8 data:8
	kindStepDown  peer.Kind = 28 // shard:8 term:8
	kindInvite    peer.Kind = 29 // shard:8 replica:8 data:8 descriptor
	kindWho       peer.Kind = 30 // shard:8 replica:8
	kindGone      peer.Kind = 31 // shard:8 replica:8
	kindReachAsk  peer.Kind = 83 // shard:8
	kindReachTell peer.Kind = 84 // shard:8 way(ns):8
	kindReadPass  peer.Kind = 85 // shard:8 node:8 id:8 term:8 voucher:8 voucher:8
)

var be = binary.BigEndian

// takeFrames registers what takes the frames of peers.
func (h *Host) takeFrames(links *peer.Links) {
	links.Handle(kindGroup, h.groupFrame)
	links.Handle(kindReply, h.replyFrame)
	for _, kind := range []peer.Kind{kindRaft, kindReadAsk, kindReadTell, kindTick, kindHashAsk, kindHashTell, kindDiverged,
		kindScrubTell, kindScrubOdd, kindAsk, kindStepDown, kindInvite, kindWho, kindGone, kindReachAsk, kindReachTell, kindReadPass} {
		links.Handle(kind, func(from cluster.NodeID, b []byte) { h.replicaFrame(from, kind, b) })
	}
	links.HandleStream(snapHead, h.receiveSnapshot)
	links.HandleStream(carryGroup, h.carriers.receiver(h.groupFrame))
	links.HandleStream(carryReply, h.carriers.receiver(h.replyFrame))
}

// replicaFrame takes a frame about one shard, which it names first.
func (h *Host) replicaFrame(from cluster.NodeID, kind peer.Kind, b []byte) {
	if len(b) >= 8 {
		if h.shardFrame(cluster.ShardID(be.Uint64(b)), from, kind, b[8:]) {
			return
		}
	}
	h.cfg.Logger.Warn("frame dropped", slog.Uint64("from", uint64(from)), slog.Int("kind", int(kind)), slog.Int("bytes", len(b)))
}

func (h *Host) replyFrame(from cluster.NodeID, b []byte) {
	r, err := group.DecodeReply(b)
	if err != nil {
		h.cfg.Logger.Warn("reply dropped", slog.Uint64("from", uint64(from)), slog.Any("error", err))
		return
	}
	h.cfg.Reply(from, r)
}

func (h *Host) groupFrame(from cluster.NodeID, b []byte) {
	g, err := group.Decode(b)
	if err != nil || group.SessionNode(g.Session) != from {
		h.cfg.Logger.Warn("group dropped", slog.Uint64("from", uint64(from)), slog.Any("error", err))
		return
	}
	g.Done = func(r group.Reply) {
		r.Shrink(peer.FrameMax / 2)
		if size := r.Size(); h.carriers.wants(size) && h.carriers.carry(from, carryReply, size, r.Append, func(bool) {}) {
			return // if it does not come, the group is sent again
		}
		h.cfg.Links.Queue(from, peer.Bulk, kindReply, r.Append)
	}
	if !h.Submit(g) {
		g.Refuse(group.NotLeader, 0, 0)
	}
}

// shardFrame takes what a peer sent about a shard. What is for a replica that is
// not here is dropped: its sender says it again, or finds out.
func (h *Host) shardFrame(shard cluster.ShardID, from cluster.NodeID, kind peer.Kind, b []byte) bool {
	switch {
	case kind == kindInvite && len(b) > 16:
		d, err := cluster.DecodeDescriptor(b[16:])
		if err != nil || d.ID != shard {
			return false
		}
		h.invited(shard, cluster.ReplicaID(be.Uint64(b)), be.Uint64(b[8:]), d, from)
		return true
	case kind == kindGone && len(b) == 8:
		h.heardGone(shard, cluster.ReplicaID(be.Uint64(b)))
		return true
	}
	r := h.replica(shard)
	if r == nil && kind == kindAsk {
		h.askers.note(shard, from, h.cfg.Clock.Mono())
	}
	return r == nil || r.frame(from, kind, b)
}

// frame takes what a peer's replica sent to this one.
func (r *Replica) frame(from cluster.NodeID, kind peer.Kind, b []byte) bool {
	switch {
	case kind == kindRaft:
		m := &pb.Message{}
		if err := proto.Unmarshal(b, m); err != nil || m.GetType() == pb.MsgSnap {
			return false
		}
		r.loop.post(received{r, from, m})
	case kind == kindAsk && len(b) == 8:
		r.loop.post(inLoop{r, func() { r.members.heardAsk(from, be.Uint64(b)) }})
	case kind == kindWho && len(b) == 8:
		r.loop.post(inLoop{r, func() { r.members.heardWho(from, cluster.ReplicaID(be.Uint64(b))) }})
	case kind == kindReachAsk && len(b) == 0:
		r.loop.post(inLoop{r, func() { r.reachAsked(from) }})
	case kind == kindReachTell && len(b) == 8:
		r.loop.post(inLoop{r, func() { r.reachTold(from, be.Uint64(b)) }})
	case kind == kindReadAsk && len(b) == 8:
		r.loop.post(readAsk{r, from, be.Uint64(b)})
	case kind == kindReadPass && len(b) == questionLen:
		r.loop.post(questioned{r, from, decodeQuestion(b)})
	case kind == kindReadTell && len(b) == 24:
		r.loop.post(readTell{r, be.Uint64(b), be.Uint64(b[8:]), int64(be.Uint64(b[16:]))})
	case kind == kindTick && len(b) == 8:
		r.loop.post(tickAsk{r, int64(be.Uint64(b))})
	case kind == kindStepDown && len(b) == 8:
		r.loop.post(steppedDown{r, from, be.Uint64(b)})
	case kind >= kindHashAsk && kind <= kindScrubOdd && len(b) == 16:
		r.loop.post(hashMsg{r, from, kind, be.Uint64(b), be.Uint64(b[8:])})
	default:
		return false
	}
	return true
}
