package tracking

import "slices"

// recent is the keys that a client has read last: those since it began to execute, and
// some before.
type recent struct {
	keys []string
	size int // bytes of their names
}

const (
	// recentMax is how many of the keys before those are known, at least.
	recentMax = 64
	// recentBytes bounds what a client holds here, of whom there are thousands: 3,000 names
	// of 20 bytes. The oldest ones go first.
	recentBytes = 64 << 10
)

// add takes the key that was read last.
func (r *recent) add(key string) {
	for len(r.keys) > 0 && r.size+len(key) > recentBytes {
		r.keep(len(r.keys) / 2)
	}
	r.keys, r.size = append(r.keys, key), r.size+len(key)
}

// rest gives back the memory of what is known beyond recentMax.
func (r *recent) rest() {
	if len(r.keys) > 2*recentMax {
		r.keep(recentMax)
	}
}

// keep forgets all but the last n.
func (r *recent) keep(n int) {
	r.keys = append(make([]string, 0, max(n, 3*recentMax)), r.keys[len(r.keys)-n:]...)
	r.size = 0
	for _, key := range r.keys {
		r.size += len(key)
	}
}

// take returns each once, and forgets them.
func (r *recent) take() []string {
	keys := r.keys
	*r = recent{}
	slices.Sort(keys)
	return slices.Compact(keys)
}
