package pubsub

import "sync"

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

	wake chan struct{} // capacity 1: a signal
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
