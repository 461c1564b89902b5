package shard

import (
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/eval"
	"tutti/internal/peer"
)

// Full disks. A leader refuses what needs room when its own disk is full, or
// when there is no majority with room; in the first case it hands leadership to
// a node with room, if there is one. A follower goes on while its reserve
// lasts, then appends no more than what leaders need to lead: to its leader it
// is a follower that is away.

const (
	// yieldTicks is how long after the first attempt to leave a full disk the
	// next round begins. Once all attempts of a round have failed, what comes is
	// refused, not kept waiting.
	yieldTicks = 100
	// yieldTries is how often a round asks each node.
	yieldTries = 2
	// smallAppend is how many bytes of entries a node appends with its last
	// reserve: the time, sessions, the beginning of a term.
	smallAppend = 4 << 10
)

// yielding is a round of attempts to leave a full disk.
type yielding struct {
	since uint64 // tick of the first
	asked []cluster.NodeID
}

// room is what a leader knows of the disks.
type room struct {
	l        *leadership
	shortage eval.Shortage // as of the last tick
	yielding yielding
}

// forBatch is the shortage for the next batch; moving says that there should be
// none, because another node takes over.
func (m *room) forBatch() (s eval.Shortage, moving bool) {
	s = m.shortage
	if m.l.r.host.cfg.Space.Full() && !s.Full {
		if m.yield() {
			return s, true
		}
		s.Full = true
	}
	s.Tight = s.Tight || m.l.r.host.cfg.Space.Tight()
	return s, false
}

// count counts the voters with room. It runs every tick.
func (m *room) count() {
	r := m.l.r
	own := peer.RoomPlenty
	switch space := r.host.cfg.Space; {
	case space.Tight():
		own = peer.RoomTight
	case space.Full():
		own = peer.RoomFull
	}
	full, tight := 0, 0
	for _, node := range r.members.voters {
		room := own
		if node != r.host.cfg.Node {
			room = r.host.cfg.Links.Room(node)
		}
		if room != peer.RoomPlenty {
			full++
		}
		if room == peer.RoomTight {
			tight++
		}
	}
	spare := len(r.members.voters) - (len(r.members.voters)/2 + 1) // a majority does without them
	m.shortage = eval.Shortage{Full: full > spare, Tight: tight > spare}
	if own != peer.RoomPlenty && !m.shortage.Full {
		m.yield()
	}
}

// yield hands leadership to a node whose disk has room, and reports whether
// that is under way.
func (m *room) yield() bool {
	r := m.l.r
	if r.raft.BasicStatus().LeadTransferee != 0 {
		return true
	}
	y := &m.yielding
	if len(y.asked) == 0 || r.ticks-y.since >= yieldTicks {
		*y = yielding{since: r.ticks}
	}
	to := r.elections.transfer(0, func(node cluster.NodeID) bool {
		tries := 0
		for _, asked := range y.asked {
			if asked == node {
				tries++
			}
		}
		return r.hasRoom(node) && tries < yieldTries
	})
	if to == 0 {
		return false
	}
	y.asked = append(y.asked, to)
	return true
}

// hasRoom reports whether another node has room, as far as it is known here.
func (r *Replica) hasRoom(node cluster.NodeID) bool {
	return r.host.cfg.Links.Room(node) == peer.RoomPlenty
}

// noRoomFor reports whether a message must be dropped because there is no room
// for the entries it carries.
func (r *Replica) noRoomFor(m *pb.Message) bool {
	if m.GetType() != pb.MsgApp || len(m.GetEntries()) == 0 {
		return false
	}
	away := false
	if space := r.host.cfg.Space; space.Tight() {
		n := 0
		for _, e := range m.GetEntries() {
			n += len(e.GetData())
		}
		away = n > smallAppend || space.Exhausted()
	}
	r.appends.away.Store(away)
	return away
}

// Away reports whether there is no replica of a shard here that follows its
// leader: there is none, or none with room.
func (h *Host) Away(shard cluster.ShardID) bool {
	r := h.replica(shard)
	return r == nil || r.appends.away.Load() || !r.members.member.Load()
}

// Follows reports whether the replica of a shard here belongs to its group, as
// far as it knows, and so will learn who leads.
func (h *Host) Follows(shard cluster.ShardID) bool {
	r := h.replica(shard)
	return r != nil && r.members.member.Load()
}
