package keyspace

import (
	"fmt"
	"testing"
)

// countedRows is a state whose rows are counted as they are walked over.
type countedRows struct {
	*rowStore
	read int
}

func (c *countedRows) Iter(lower, upper []byte) (Iterator, error) {
	it, err := c.rowStore.Iter(lower, upper)
	return &countedIter{it, c}, err
}

type countedIter struct {
	Iterator
	of *countedRows
}

func (i *countedIter) First() bool { i.of.read++; return i.Iterator.First() }
func (i *countedIter) Next() bool  { i.of.read++; return i.Iterator.Next() }

// A collection that is too large for one command is not read to its end before that
// is noticed: it may be larger than memory.
func TestCopyStopsWhereItIsTooLarge(t *testing.T) {
	const (
		elements = 600
		bytesOf  = 64 << 10
		fit      = WriteSetMax / bytesOf
		own      = 20 // rows beside the elements, looked at by what removes the old name
	)
	for _, typ := range []Type{TypeList, TypeSet, TypeZSet, TypeHash, TypeStream} {
		s := newRowStore(t)
		for first := 0; first < elements; first += 100 {
			s.update(func(tx *Tx) {
				if typ == TypeStream {
					x := NewStream(tx, 0, []byte("from"))
					if o := tx.Open(0, []byte("from")); o != nil {
						x = StreamOf(o)
					}
					for i := range 100 {
						x.Append(StreamID{Ms: uint64(first + i + 1)}, [][]byte{[]byte("f"), make([]byte, bytesOf)})
					}
					x.Save()
					return
				}
				o := tx.Open(0, []byte("from"))
				if o == nil {
					o = tx.New(0, []byte("from"), typ)
				}
				for i := range 100 {
					e := append(make([]byte, bytesOf), fmt.Sprintf("%06d", first+i)...)
					switch typ {
					case TypeList:
						o.PushTail(e)
					case TypeZSet:
						o.AddMember(e, float64(first+i))
					case TypeHash:
						o.PutField(e[bytesOf:], e)
					default:
						o.PutField(e, nil)
					}
				}
				o.Save()
			})
		}
		rows := &countedRows{rowStore: s}
		tx := NewTx(rows, Env{Databases: s.dbs, NewID: func() uint64 { s.id++; return s.id }})
		mark := tx.Mark()
		tx.Open(0, []byte("from")).CopyTo(0, []byte("to"))
		if tx.Err() != nil || tx.Written() <= WriteSetMax || tx.Written() > WriteSetMax+2*bytesOf {
			t.Errorf("%v: %d bytes written, %v", typ, tx.Written(), tx.Err())
		}
		if rows.read > fit+own {
			t.Errorf("%v: %d of %d rows read, of which %d fit", typ, rows.read, elements, fit)
		}
		tx.Rollback(mark)
		if to := tx.Open(0, []byte("to")); to != nil {
			t.Errorf("%v: there is a copy of %d", typ, to.Len())
		}
	}
}

// What fits is copied whole, whatever was written before in the transaction.
func TestCopyWhole(t *testing.T) {
	s := newRowStore(t)
	s.update(func(tx *Tx) { fill(tx, "from", TypeZSet, 1000) })
	s.update(func(tx *Tx) {
		tx.Put([]byte("another command"), make([]byte, WriteSetMax))
		defer tx.Release(tx.Mark())
		tx.Open(0, []byte("from")).CopyTo(0, []byte("to"))
		to := tx.Open(0, []byte("to"))
		n := 0
		to.EachRank(0, 999, false, func(member []byte, score float64) bool {
			if want, ok := to.Score(member); !ok || want != score {
				t.Errorf("%q has %v, %v", member, score, want)
			}
			n++
			return true
		})
		if n != 1000 {
			t.Errorf("%d members", n)
		}
	})
}
