package node

import (
	"fmt"
	"math"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// A process that runs on a copy of a node's folder is refused by the others while
// the node itself talks to them (see peer.Twins). It serves nothing, and waits: for
// the node to be started again, when it would be taken for the newest start, with
// all that it has forgotten. So it ends once it is sure that nobody listens to it:
// a peer has refused it for longer than a start before it can have been connected,
// and no other peer has spoken to it meanwhile. The node itself hears its peers,
// which dial where it is.

// cloneSilence is for how long no peer must have spoken to a process that others
// refuse. Pings come every second.
const cloneSilence = 5 * time.Second

// CloneError says that another process goes by the node's name, and that the
// others speak to that one.
type CloneError struct {
	Node, By    cluster.NodeID // who is meant, and who refuses this process
	Start, Sits uint64         // of this process, and of the other one
}

// Error implements error.
func (e *CloneError) Error() string {
	return fmt.Sprintf("another process runs as node %d elsewhere: node %d speaks to that one (start %d) and refuses this one (start %d), and no other node speaks to this one",
		e.Node, e.By, e.Sits, e.Start)
}

// clone returns why a process that a peer refuses has to end; nil: others speak to
// it.
func clone(m *cluster.Map, t peer.Twin, silent func(cluster.NodeID) time.Duration) *CloneError {
	least := time.Duration(math.MaxInt64)
	for _, x := range m.Members {
		if x.ID != t.Node {
			least = min(least, silent(x.ID))
		}
	}
	if least < cloneSilence {
		return nil
	}
	return &CloneError{Node: t.Node, By: t.By, Start: t.Start, Sits: t.Sits}
}
