package shard

import (
	"context"
	"sync"

	"tutti/internal/cluster"
	"tutti/internal/store"
	"tutti/internal/task"
)

// Tallies is what a leader of this node tells of the queues of its shard; of meta, which
// has none, only its state.
type Tallies struct {
	Shard  cluster.ShardID
	Queues []task.Tally
	// View is the state that they are of, or a newer one. Whoever gets it releases it.
	View *store.View
	Now  int64 // shard time
}

// TaskTimes is how long tasks took whose shards this node leads, or led.
func (m *meter) TaskTimes() *task.Meter { return &m.tasks }

// Tallies asks the leaders on this node, as far as they answer while ctx lasts.
func (h *Host) Tallies(ctx context.Context) []Tallies {
	var mu sync.Mutex // guards all, over
	var all []Tallies
	over := false
	led := *h.replicas.Load()
	answered := make(chan struct{}, len(led))
	for _, r := range led {
		r.loop.post(inLoop{r, func() {
			mu.Lock()
			defer mu.Unlock()
			if t := r.tallies(); t != nil && over {
				t.View.Release() // nobody is there to take it
			} else if t != nil {
				all = append(all, *t)
			}
			answered <- struct{}{}
		}})
	}
	for range led {
		select {
		case <-answered:
		case <-ctx.Done():
		}
	}
	mu.Lock()
	defer mu.Unlock()
	over = true
	return all
}

// tallies is what this replica tells; nil: it does not lead, or there is nothing.
func (r *Replica) tallies() *Tallies {
	if r.leader == nil || r.leader.core == nil || r.machine.view == nil {
		return nil
	}
	t := &Tallies{Shard: r.id, Queues: r.leader.core.Tallies(), Now: r.machine.applied.Time}
	if len(t.Queues) == 0 && r.id != cluster.Meta {
		return nil
	}
	if now, ok := r.leader.clock.now(); ok {
		t.Now = max(t.Now, now)
	}
	t.View = r.machine.view.Acquire()
	return t
}
