package node

import (
	"time"

	"tutti/internal/cluster"
)

// heardUsers is which users the peers go by, as far as they have told. What a node
// answers by itself, such as INFO or PUBLISH, no shard refuses: so who changes users
// waits for the nodes. A peer has saved what it tells, so it never goes back.
type heardUsers struct {
	epochs  map[cluster.NodeID]uint64
	changed chan struct{} // closed, and made anew, when a peer has told something
}

func newHeardUsers() heardUsers {
	return heardUsers{epochs: map[cluster.NodeID]uint64{}, changed: make(chan struct{})}
}

// awaySilence is for how long a peer may say nothing and still be waited for: pings
// come every second.
const awaySilence = 1500 * time.Millisecond

// hear takes from a peer by which users it goes.
func (k *userKeeper) hear(from cluster.NodeID, epoch uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if epoch <= k.heard.epochs[from] {
		return
	}
	k.heard.epochs[from] = epoch
	close(k.heard.changed)
	k.heard.changed = make(chan struct{})
}

// behind returns the peers that can be reached and go by users before an epoch, and
// what is closed when one of them has told something.
func (k *userKeeper) behind(epoch uint64) (nodes []cluster.NodeID, changed <-chan struct{}) {
	m := k.maps.Map()
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.heard.epochs {
		if _, member := m.Member(id); !member {
			delete(k.heard.epochs, id)
		}
	}
	for _, x := range m.Members {
		if x.ID != k.self && k.heard.epochs[x.ID] < epoch && k.links.Up(x.ID) && k.links.Silent(x.ID) < awaySilence {
			nodes = append(nodes, x.ID)
		}
	}
	return nodes, k.heard.changed
}
