package store

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"tutti/internal/cluster"
)

// target is where a batch puts the rows of one shard: into its layer or, once it is
// settled, into the batch of Pebble, behind all that was late.
type target struct {
	id      cluster.ShardID
	late    *lateShard
	top     *layer
	settled bool
}

// target returns where the rows of an entry of so many bytes go.
func (b *Batch) target(shard cluster.ShardID, size int) (*target, error) {
	i := slices.IndexFunc(b.shards, func(t target) bool { return t.id == shard })
	straight := size > lateEntry
	if i < 0 {
		late := b.s.late.of(shard)
		i, b.shards = len(b.shards), append(b.shards, target{id: shard, late: late, top: late.top.Load()})
		straight = late.straight() || straight
	}
	to := &b.shards[i]
	if straight || b.full(to) { // what a batch has beyond a layer is committed beside the loop
		return to, to.settle(b.b)
	}
	if !to.settled && to.top == nil {
		to.top = to.late.open(b.s)
	}
	return to, nil
}

// settle has what is late, and all that follows, in the batch b.
func (t *target) settle(b *pebble.Batch) error {
	if t.settled {
		return nil
	}
	t.settled = true
	if t.top == nil {
		return nil
	}
	return t.top.each(func(v *version) error {
		switch {
		case v.put:
			return b.Set(v.row, v.val, nil)
		case v.fresh: // it came and went
			return nil
		}
		return b.Delete(v.row, nil)
	})
}

// begin and end enclose put and remove.
func (t *target) begin() {
	if !t.settled {
		t.top.begin(t.late.hint)
	}
}

func (t *target) end() {
	if !t.settled {
		t.top.end()
	}
}

func (t *target) put(b *pebble.Batch, index uint64, row, val []byte) error {
	if t.settled {
		return b.Set(row, val, nil)
	}
	t.top.write(version{index: index, row: row, val: val, put: true})
	return nil
}

func (t *target) remove(b *pebble.Batch, index uint64, row []byte) error {
	if t.settled {
		return b.Delete(row, nil)
	}
	t.top.write(version{index: index, row: row})
	return nil
}

// full reports whether a layer holds as much as it may.
func (b *Batch) full(t *target) bool {
	return t.top != nil && (t.top.bytes >= b.s.late.max || b.s.late.total.Load() > lateTotal)
}

// settleFull settles the layers that are full.
func (b *Batch) settleFull() (err error) {
	for i := range b.shards {
		if t := &b.shards[i]; !t.settled && b.full(t) {
			err = errors.Join(err, t.settle(b.b))
		}
	}
	return err
}

// renew begins layers over what was committed.
func (b *Batch) renew() {
	for _, t := range b.shards {
		if t.settled {
			t.late.renew()
		}
	}
}

// Settle commits what is late of a shard: the log can be cut behind what is late only. It
// is for the shard's loop, which has neither a batch open nor a commit under way.
func (s *State) Settle(shard cluster.ShardID) error {
	late := s.late.of(shard)
	top := late.top.Load()
	if top == nil || top.empty() {
		return nil
	}
	b := s.NewBatch()
	b.shards = append(b.shards, target{id: shard, late: late, top: top})
	if err := b.shards[0].settle(b.b); err != nil {
		return errors.Join(err, b.b.Close())
	}
	return b.Commit()
}

// settleAll commits all that is late, when no loop runs any more.
func settleAll(s *State) (err error) {
	for _, shard := range s.late.shards() {
		err = errors.Join(err, s.Settle(shard))
	}
	return err
}
