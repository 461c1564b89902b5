package cluster

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Holder holds the newest map that a node knows. Everybody reads it there; none
// keeps a copy. Its methods are safe for concurrent use.
type Holder struct {
	now    atomic.Pointer[Map]
	routes atomic.Pointer[Map]
	save   func(record []byte) error

	mu      sync.Mutex // orders replacements; guards what follows
	changed []func(m *Map)
	// said is what shards have said of themselves that the map does not know yet.
	said map[ShardID]Descriptor
	next chan struct{} // closed when the routes change; nil: nobody waits
}

// NewHolder returns a holder of m. save makes the record of a map durable.
func NewHolder(m *Map, save func(record []byte) error) *Holder {
	h := &Holder{save: save, said: make(map[ShardID]Descriptor)}
	h.now.Store(m)
	h.routes.Store(m)
	return h
}

// Map returns the newest map, as meta has it.
func (h *Holder) Map() *Map { return h.now.Load() }

// Routes returns the newest map, less what shards have said since that they do
// not own any more: by it commands find their shards. A slot may have no owner in
// it, until the map says who that is now.
func (h *Holder) Routes() *Map { return h.routes.Load() }

// Changed has f called with every map that replaces another, after it did, in
// order. f must not block, nor call Replace.
func (h *Holder) Changed(f func(m *Map)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed = append(h.changed, f)
}

// Next returns what is closed when the routes are others than now. Who waits for
// a change asks for it before looking at the routes.
func (h *Holder) Next() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.next == nil {
		h.next = make(chan struct{})
	}
	return h.next
}

// Replace takes m over if its epoch is newer, durably before anybody sees it.
// It reports whether it did.
func (h *Holder) Replace(m *Map) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.Epoch <= h.now.Load().Epoch {
		return false, nil
	}
	if err := h.save(m.Encode(nil)); err != nil {
		return false, err
	}
	h.now.Store(m)
	maps.DeleteFunc(h.said, func(id ShardID, d Descriptor) bool {
		s, ok := m.Shard(id)
		return !ok || s.Generation >= d.Generation
	})
	h.route()
	for _, f := range slices.Clone(h.changed) {
		f(m)
	}
	return true, nil
}

// Learn takes over what a shard says of itself into the routes, if that is newer
// than what they know, and not durably: the map will have it from meta.
func (h *Holder) Learn(d Descriptor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.routes.Load().Shard(d.ID); ok && s.Generation < d.Generation {
		h.said[d.ID] = d
		h.route()
	}
}

// route makes the routes of the map and what shards have said. h.mu is held.
func (h *Holder) route() {
	m := h.now.Load()
	if len(h.said) > 0 {
		next := *m
		next.Shards = slices.Clone(m.Shards)
		for i, s := range next.Shards {
			if d, ok := h.said[s.ID]; ok {
				// Of what it has more than before, the map knows another owner, of whom
				// only that one or meta can say that it is none any more.
				d.Slots = d.Slots.Common(s.Slots)
				next.Shards[i].Descriptor = d
			}
		}
		if routes, err := NewMap(next); err == nil { // else a shard says what can't be
			m = routes
		}
	}
	h.routes.Store(m)
	if h.next != nil {
		close(h.next)
		h.next = nil
	}
}
