package node

import (
	"context"
	"encoding/json"
	"math"
	"runtime/debug"
	"slices"
	"time"

	"tutti/internal/doctor"
	"tutti/internal/peer"
)

// examine is TUTTI.DOCTOR: what this node finds of itself and its machine.
func (w *telling) examine(context.Context) ([]byte, error) {
	n := w.n
	n.mu.Lock()
	aside := slices.Clone(n.aside)
	n.mu.Unlock()
	f := doctor.Facts{Dir: n.cfg.Dir, Damage: asideText(aside, false), Kept: asideText(aside, true), Unreadable: n.host.Unreadable()}
	if room, ok := n.space.Room(); ok {
		f.Disk = doctor.Disk{Known: true, Total: room.Total, Left: room.Left, Full: room.Full}
	}
	f.Certificate, _ = w.certificates()
	f.Now = time.UnixMilli(n.cfg.Clock.Wall())
	f.Fsyncs.Within, f.Fsyncs.Count = n.log.Usage().FsyncsWithin(0.99)
	m := n.maps.Map()
	for _, x := range peer.CountLinks(n.links) {
		p := doctor.Peer{Node: uint64(x.Node), Up: x.Up, Ahead: x.Ahead, AheadKnown: x.AheadKnown}
		if member, ok := m.Member(x.Node); ok {
			p.Addr = member.Peer
		}
		f.Peers = append(f.Peers, p)
	}
	f.Files = doctor.Files{Limit: filesMax(), Needed: uint64(n.server.ClientsMax() + filesOfStores + filesOfPeer*len(f.Peers))}
	f.Memory = doctor.Memory{Available: memoryMax(), Buffers: uint64(n.cfg.stores(n.self, m).Buffers())}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		f.Memory.Told = uint64(limit)
	}
	return json.Marshal(doctor.Report{Node: uint64(n.self.Node), Version: Version, Checks: f.Checks()})
}

// How many descriptors a node needs beside those of its clients: for the tables
// of its two stores, and for connections to and from a peer, with a snapshot each
// way.
const (
	filesOfStores = 2*1000 + 100
	filesOfPeer   = 6
)
