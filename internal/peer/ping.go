package peer

import (
	"fmt"

	"tutti/internal/cluster"
)

// Room says how much room a node has on its disk.
type Room uint8

// The rooms.
const (
	RoomPlenty Room = iota
	RoomFull        // it refuses what needs room while it leads
	RoomTight       // it appends next to nothing any more
	rooms
)

// ping is what a node tells its peers every second on every connection:
//
//	wall:8 room:1
type ping struct {
	wall int64 // the sender's wall clock in milliseconds
	room Room
}

const pingBytes = 9

func (p ping) encode(dst []byte) []byte {
	return append(be.AppendUint64(dst, uint64(p.wall)), byte(p.room))
}

func decodePing(b []byte) (ping, error) {
	if len(b) != pingBytes || Room(b[8]) >= rooms {
		return ping{}, fmt.Errorf("%w: ping of %d bytes", ErrFrame, len(b))
	}
	return ping{wall: int64(be.Uint64(b)), room: Room(b[8])}, nil
}

func (c *Config) ping() ping {
	p := ping{wall: c.Wall()}
	if c.Room != nil {
		p.room = c.Room()
	}
	return p
}

// pinged takes over what a peer tells of itself.
func (in *inbound) pinged(l *Links, p ping) {
	in.heardWall(l, p.wall)
	if k := l.link(in.from); k != nil {
		k.room.Store(uint32(p.room))
	}
}

// Room returns how much room a peer had when it last told, about a second ago
// at most while its link is up.
func (l *Links) Room(node cluster.NodeID) Room {
	k := l.link(node)
	if k == nil {
		return RoomPlenty
	}
	return Room(k.room.Load())
}
