package pubsub

import (
	"sync"

	"tutti/internal/cluster"
)

// inboxMax bounds the bytes of messages from other nodes that wait here to be handed
// to subscribers.
const inboxMax = 16 << 20

// envelopeBytes is about what a message takes beside its bytes.
const envelopeBytes = 64

// inbox is the messages that have come from other nodes, in order. Handing one to
// thousands of subscribers takes its time, and who reads a connection of a peer has
// no time: behind the message may come what a shard waits for.
type inbox struct {
	mu      sync.Mutex // guards all below
	waiting []envelope
	bytes   int
	last    map[cluster.NodeID]envelopeID // message of each peer

	wake chan struct{} // capacity 1: a signal
}

// news reports whether a message is later than all that have come from a peer. No
// subscriber gets one twice, or an older one behind a later one, whatever links do.
func (i *inbox) news(from cluster.NodeID, m envelope) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if last := i.last[from]; last.start == m.start && last.seq >= m.seq {
		return false
	}
	if i.last == nil {
		i.last = make(map[cluster.NodeID]envelopeID)
	}
	i.last[from] = m.envelopeID
	return true
}

// put reports whether there was room.
func (i *inbox) put(m envelope) bool {
	size := envelopeBytes + len(m.channel) + len(m.payload)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.bytes > 0 && i.bytes+size > inboxMax {
		return false
	}
	i.waiting = append(i.waiting, m)
	i.bytes += size
	select {
	case i.wake <- struct{}{}:
	default:
	}
	return true
}

// take takes all that waits.
func (i *inbox) take() []envelope {
	i.mu.Lock()
	defer i.mu.Unlock()
	taken := i.waiting
	i.waiting, i.bytes = nil, 0
	return taken
}
