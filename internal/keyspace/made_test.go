package keyspace

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// counted counts the look-ups of elements in the state that a transaction began with.
type counted struct {
	Reader
	elements int
}

func (c *counted) Get(row, dst []byte) ([]byte, bool, error) {
	if row[idAt-1] != kindObject {
		c.elements++
	}
	return c.Reader.Get(row, dst)
}

// What a transaction has made is not looked for in the state that it began with.
func TestMadeIsNotLookedFor(t *testing.T) {
	for _, typ := range []Type{TypeHash, TypeSet, TypeZSet} {
		s := newRowStore(t)
		base := &counted{Reader: s}
		tx := NewTx(base, Env{Databases: s.dbs, NewID: func() uint64 { s.id++; return s.id }})
		o := tx.New(0, []byte("k"), typ)
		n := 3 * packedItemsMax
		for i := range n {
			switch sub := fmt.Appendf(nil, "%04d", i); typ {
			case TypeZSet:
				if _, has := o.Score(sub); !has {
					o.AddMember(sub, float64(i))
				}
			default:
				o.PutField(sub, nil)
			}
		}
		o.Save()
		if o = tx.Open(0, []byte("k")); o.Len() != n {
			t.Errorf("%v: %d elements, want %d", typ, o.Len(), n)
		}
		if base.elements > 0 {
			t.Errorf("%v: %d elements were looked for", typ, base.elements)
		}
	}
}

// What others have made is looked for, whatever node has made its id, and though the
// transaction makes objects as well.
func TestWhatOthersMadeIsLookedFor(t *testing.T) {
	const nodeBits = 48
	s := newRowStore(t)
	counters := [3]uint64{}
	random := rand.New(rand.NewPCG(7, 7))
	want := make(map[string]int)
	for step := range 200 {
		node := random.IntN(len(counters))
		tx := NewTx(s, Env{Index: uint64(step + 1), Databases: s.dbs, Keys: func(uint32) (int64, error) { return 0, nil }, NewID: func() uint64 {
			counters[node]++
			return uint64(node+1)<<nodeBits | counters[node]
		}})
		for range 3 {
			key := fmt.Sprint("k", random.IntN(40))
			o := tx.Open(0, []byte(key))
			if o == nil {
				o = tx.New(0, []byte(key), TypeHash)
			}
			for i := range want[key] {
				if !o.HasField(fmt.Appendf(nil, "%04d", i)) {
					t.Fatalf("step %d: field %d of %s, which has %d, is gone", step, i, key, want[key])
				}
			}
			for range packedItemsMax / 2 {
				if !o.PutField(fmt.Appendf(nil, "%04d", want[key]), []byte("v")) {
					t.Fatalf("step %d: field %d of %s is not new", step, want[key], key)
				}
				want[key]++
			}
			o.Save()
		}
		b := s.db.NewBatch()
		tx.Effects(func(row, val []byte) { _ = b.Set(row, val, nil) }, func(row []byte) { _ = b.Delete(row, nil) })
		if err := errors.Join(tx.Err(), b.Commit(pebble.NoSync)); err != nil {
			t.Fatal(err)
		}
	}
}
