package pubsub

import (
	"maps"
	"slices"
	"sync"
)

// Kind says what somebody subscribes to, and what a message comes by.
type Kind uint8

// The kinds. Shard channels are a name space of their own.
const (
	Channel Kind = iota
	Pattern
	ShardChannel
	kinds
)

// Subscriber is a client that messages are for. What it has subscribed to is
// changed by one goroutine, by way of the hub, and may be looked at by any.
type Subscriber struct {
	// push takes a message to the client. It must not block.
	push func(m *Message)

	mu    sync.Mutex // guards names
	names [kinds]map[string]struct{}
}

// NewSubscriber returns a subscriber to nothing. push is called on any goroutine and
// must not block, nor call the hub; what it keeps of a message is how it is encoded.
func NewSubscriber(push func(m *Message)) *Subscriber { return &Subscriber{push: push} }

// Count returns how many of a kind it has subscribed to.
func (s *Subscriber) Count(kind Kind) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.names[kind])
}

// Names lists what of a kind it has subscribed to, sorted.
func (s *Subscriber) Names(kind Kind) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.names[kind]))
}

// add reports whether the name is new to it.
func (s *Subscriber) add(kind Kind, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, has := s.names[kind][name]; has {
		return false
	}
	if s.names[kind] == nil {
		s.names[kind] = make(map[string]struct{})
	}
	s.names[kind][name] = struct{}{}
	return true
}

// remove reports whether it had subscribed to the name.
func (s *Subscriber) remove(kind Kind, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, had := s.names[kind][name]
	delete(s.names[kind], name)
	return had
}
