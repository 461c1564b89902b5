package cluster

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Holder holds the newest map that a node knows. Everybody reads it there; none
// keeps a copy. Its methods are safe for concurrent use.
type Holder struct {
	now  atomic.Pointer[Map]
	save func(record []byte) error

	mu      sync.Mutex // orders replacements; guards changed
	changed []func(m *Map)
}

// NewHolder returns a holder of m. save makes the record of a map durable.
func NewHolder(m *Map, save func(record []byte) error) *Holder {
	h := &Holder{save: save}
	h.now.Store(m)
	return h
}

// Map returns the newest map.
func (h *Holder) Map() *Map { return h.now.Load() }

// Changed has f called with every map that replaces another, after it did, in
// order. f must not block, nor call Replace.
func (h *Holder) Changed(f func(m *Map)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed = append(h.changed, f)
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
	for _, f := range slices.Clone(h.changed) {
		f(m)
	}
	return true, nil
}
