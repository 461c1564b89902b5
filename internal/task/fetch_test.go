package task

import (
	"slices"
	"testing"
	"time"

	"tutti/internal/keyspace"
)

// counted counts the rows that are looked up.
type counted struct {
	memory
	lookups int
}

func (c *counted) Get(row, dst []byte) ([]byte, bool, error) {
	c.lookups++
	return c.memory.Get(row, dst)
}

// The rows of tasks that are claimed together are read together, and what the batch has
// done with them before counts.
func TestClaimedTogether(t *testing.T) {
	s := newShard(t)
	refs := s.add(60, DefaultOptions())
	near := &Addition{Queue: work, Payloads: make([][]byte, 3), Near: []byte("elsewhere"), Options: DefaultOptions()}
	s.change(func(c *Change) {
		more, err := c.Add(near)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, more...)
	})
	refs = append(refs, s.add(20, DefaultOptions())...)

	base := &counted{memory: s.rows}
	s.index++
	tx := keyspace.NewTx(base, keyspace.Env{Now: s.now, Applied: s.now, Index: s.index, Databases: s.dbs, Rand: s.rand.Uint64N})
	s.lead.Batch(base, s.term, s.mono)
	claim := func(n int) (got []Ref) {
		c := Begin(tx, s.lead)
		for _, cl := range c.Claim(someone, time.Hour, n, [][]byte{work}) {
			if len(cl.Payload) == 0 && cl.Slot == refs[0].Slot {
				t.Errorf("task %d has no payload", cl.Number)
			}
			got = append(got, cl.Ref)
		}
		c.End()
		return got
	}
	c := Begin(tx, s.lead)
	if !c.Cancel(work, refs[2]) {
		t.Fatal("not cancelled")
	}
	c.End()
	base.lookups = 0
	if got, want := claim(20), slices.Delete(slices.Clone(refs[:21]), 2, 3); !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
	if base.lookups > 10 {
		t.Errorf("%d rows looked up for 20 tasks", base.lookups)
	}
	mark := tx.Mark()
	claim(10)
	tx.Rollback(mark)
	tx.Release(mark)
	if got := claim(70); !slices.Equal(got, refs[21:]) {
		t.Errorf("claimed %v, want %v", got, refs[21:])
	}
	s.apply(tx)
	if got := s.claim(10, time.Hour); len(got) != 0 {
		t.Errorf("claimed %v again", got)
	}
}
