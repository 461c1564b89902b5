package shard

import (
	"sync/atomic"

	"tutti/internal/keyspace"
)

// finds counts what commands found that were evaluated here: by loops, and by whoever
// reads beside them.
type finds struct{ hits, misses, expired atomic.Int64 }

// MetKeys takes note of what commands found. It is safe for concurrent use.
func (f *finds) MetKeys(n keyspace.Finds) {
	for _, part := range []struct {
		to *atomic.Int64
		n  int64
	}{{&f.hits, n.Hits}, {&f.misses, n.Misses}, {&f.expired, n.Expired}} {
		if part.n != 0 {
			part.to.Add(part.n)
		}
	}
}

// Finds returns what commands have found that were evaluated here.
func (f *finds) Finds() keyspace.Finds {
	return keyspace.Finds{Hits: f.hits.Load(), Misses: f.misses.Load(), Expired: f.expired.Load()}
}
