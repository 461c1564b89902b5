package keyspace

import (
	"bytes"
	"fmt"
	"testing"
)

// fixedReader has rows that cost nothing to look up.
type fixedReader map[string][]byte

func (r fixedReader) Get(row, dst []byte) ([]byte, bool, error) {
	v, ok := r[string(row)]
	return append(dst, v...), ok, nil
}

func (fixedReader) Iter(_, _ []byte) (Iterator, error) { return &emptyIter{}, nil }

// fixedStrings returns n keys with their values, and where they are.
func fixedStrings(t *testing.T, n int) (keys [][]byte, base fixedReader) {
	s := newRowStore(t)
	base = make(fixedReader)
	for i := range n {
		key := fmt.Appendf(nil, "key:%d", i)
		keys = append(keys, key)
		s.update(func(tx *Tx) {
			tx.SetString(0, key, nil, fmt.Appendf(nil, "value of %s", key), 0)
			tx.Effects(func(row, val []byte) { base[string(row)] = bytes.Clone(val) }, func([]byte) {})
		})
	}
	return keys, base
}

// What a command looks at costs the next one no memory.
func TestScratchIsUsedAgain(t *testing.T) {
	keys, base := fixedStrings(t, 4)
	tx := NewReadTx(base, Env{Databases: NewDatabases()})
	look := func() {
		for _, key := range keys {
			tx.Forget()
			if tx.Open(0, key) == nil {
				t.Fatalf("no %s", key)
			}
		}
	}
	if n := testing.AllocsPerRun(100, look); n > 0 {
		t.Errorf("%v allocations for %d keys", n, len(keys))
	}
}

// One command may open more objects than are used again, and sees each of them whole.
func TestManyObjectsOfOneCommand(t *testing.T) {
	keys, base := fixedStrings(t, 3*scratchObjects)
	tx := NewReadTx(base, Env{Databases: NewDatabases()})
	for range 2 {
		tx.Forget()
		var all []*Object
		for _, key := range keys {
			all = append(all, tx.Open(0, key))
		}
		for i, o := range all {
			if want := fmt.Sprintf("value of key:%d", i); o == nil || string(o.Bytes()) != want {
				t.Fatalf("%d: %v, want %q", i, o, want)
			}
		}
	}
}
