package server

import (
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/shard"
	"tutti/internal/store"
)

// glanceMax is how long INFO waits for a majority to confirm what it shows.
const glanceMax = 200 * time.Millisecond

// glance returns a view of a shard for people to look at: a confirmed one if a
// majority answers soon, else what is here, so that INFO works best when things
// don't. It is nil if the node is stopping; otherwise it is to be released.
func (s *Server) glance(id cluster.ShardID) *store.View {
	if v := s.view(&shard.Read{Shard: id}, glanceMax); v != nil {
		return v
	}
	return s.view(&shard.Read{Shard: id, MinIndex: 1}, glanceMax)
}

// view waits for a read, but not longer than limit.
func (s *Server) view(q *shard.Read, limit time.Duration) *store.View {
	var mu sync.Mutex // guards over and got
	var got *store.View
	over := false
	done := make(chan struct{})
	q.Done = func(v *store.View, _ int64, err error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
		case over:
			v.Release()
		default:
			got = v
		}
		close(done)
	}
	s.cfg.Router.Read(q)
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
	mu.Lock()
	defer mu.Unlock()
	over = true
	return got
}

// LedKeys counts the keys of the shards that this node leads, as it has applied
// them; ok is false if it could not be asked now.
func (s *Server) LedKeys() (n int64, ok bool) {
	for _, sh := range s.cfg.Router.Shards() {
		if s.cfg.Router.Lead(sh.ID).Node != s.cfg.Node.ID {
			continue
		}
		v := s.view(&shard.Read{Shard: sh.ID, MinIndex: 1}, glanceMax)
		if v == nil {
			return 0, false
		}
		for db := range keyspace.LogicalDatabases {
			keys, err := v.Keys(v.Databases.Physical(uint8(db)))
			if err != nil {
				v.Release()
				return 0, false
			}
			n += keys
		}
		v.Release()
	}
	return n, true
}
