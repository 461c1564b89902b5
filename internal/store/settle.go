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
	wide    *wide // where rows go instead of top from an entry on that has many; nil: there was none
	settled bool
	deletes bool // rows of Pebble, once it is settled
}

// target returns where the rows of an entry go.
func (b *Batch) target(shard cluster.ShardID, e *Effects) *target {
	i := slices.IndexFunc(b.shards, func(t target) bool { return t.id == shard })
	if i < 0 {
		late := b.s.late.of(shard)
		i, b.shards = len(b.shards), append(b.shards, target{id: shard, late: late, top: late.top.Load()})
	}
	to := &b.shards[i]
	if !to.settled && to.top == nil {
		to.top = to.late.open(b.s)
	}
	to.late.pace.add(e.size)
	if !to.settled && to.wide == nil && (e.size >= b.s.late.wide || len(e.before) > 0) {
		to.wide = new(wide)
	}
	return to
}

// settle has what is late, and all that follows, in the batch b, which is then committed
// behind what is being written back.
func (t *target) settle(b *pebble.Batch) error {
	if t.settled {
		return nil
	}
	t.settled = true
	if t.top == nil {
		return nil
	}
	list := t.late.unwritten()
	if r := t.top.run(); r != nil {
		list = append(runs{r}, list...)
	}
	if t.wide != nil {
		t.wide.seal(0)
		list = slices.Concat(t.wide.runs, list)
		t.wide = nil
	}
	var err error
	t.deletes, err = list.put(b)
	return err
}

// begin and end enclose put and remove.
func (t *target) begin() {
	if !t.settled && t.wide == nil {
		t.top.begin(t.late.hint)
	}
}

func (t *target) end() {
	if !t.settled && t.wide == nil {
		t.top.end()
	}
}

func (t *target) put(b *pebble.Batch, index uint64, row, val []byte) error {
	switch {
	case t.settled:
		return b.Set(row, val, nil)
	case t.wide != nil:
		t.wide.write(row, val, true)
	default:
		t.top.write(version{index: index, row: row, val: val, put: true})
	}
	return nil
}

func (t *target) remove(b *pebble.Batch, index uint64, row []byte) error {
	switch {
	case t.settled:
		t.deletes = true
		return b.Delete(row, nil)
	case t.wide != nil:
		t.wide.write(row, nil, false)
	default:
		t.top.write(version{index: index, row: row})
	}
	return nil
}

// full reports whether a layer holds as much as it may, or is to be under a run.
func (b *Batch) full(t *target) bool {
	return t.wide != nil || t.top != nil && (t.top.bytes >= b.s.late.max || b.s.late.total.Load() > lateTotal)
}

// Waits reports whether Commit may have to wait for the disk.
func (b *Batch) Waits() bool {
	for i := range b.shards {
		t := &b.shards[i]
		if t.settled && t.late.writes() || !t.settled && b.full(t) && t.late.crowded(&b.s.late) {
			return true
		}
	}
	return false
}

// ready waits for what is being written back of shards that are settled, which has to come
// before b: without it b would say that more was applied than Pebble has.
func (b *Batch) ready() (err error) {
	for _, t := range b.shards {
		if t.settled {
			err = errors.Join(err, t.late.finish(b.s))
		}
	}
	return err
}

// renew begins layers over what was committed, and makes runs of those that are full.
func (b *Batch) renew() {
	for i := range b.shards {
		switch t := &b.shards[i]; {
		case t.settled:
			b.s.unflushed.Add(t.late.pace.behind())
			t.late.renew(&b.s.late)
		case t.wide != nil:
			t.wide.seal(0)
			t.late.lay(b.s, t.wide.runs)
		case b.full(t):
			t.late.push(b.s)
		}
	}
}

// Settle commits what is late of a shard, and waits for that. It is for the shard's loop,
// which has neither a batch open nor a commit under way.
func (s *State) Settle(shard cluster.ShardID) error {
	late := s.late.of(shard)
	top := late.top.Load()
	if top == nil {
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
