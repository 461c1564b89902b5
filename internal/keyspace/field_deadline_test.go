package keyspace

import (
	"fmt"
	"testing"
)

// A reader learns whether what it was told depends on the time, and until when it holds.
func TestFieldDeadlinesUseNow(t *testing.T) {
	for _, n := range []int{2, packedItemsMax + 1} {
		s := newRowStore(t)
		s.at(0, func(tx *Tx) {
			o := tx.New(0, []byte("h"), TypeHash)
			for i := range n {
				o.PutField(fmt.Append(nil, "f", i), []byte("v"))
			}
			SetFieldDeadline(o, []byte("f0"), 100)
			SetFieldDeadline(o, []byte("f1"), 200)
			o.Save()
		})
		for _, c := range []struct {
			applied, now int64
			used         bool
			until        int64
			fields       int
		}{
			{99, 99, false, 100, n}, {99, 100, true, 200, n - 1}, {100, 100, false, 200, n - 1}, {150, 199, false, 200, n - 1}, {199, 200, true, 0, n - 2},
		} {
			tx := NewReadTx(s, Env{Now: c.now, Applied: c.applied, Databases: NewDatabases()})
			fields := 0
			if o := tx.Open(0, []byte("h")); o != nil {
				fields = o.Len()
			}
			if fields != c.fields || tx.UsedNow() != c.used || c.until != 0 && tx.FoundUntil() != c.until {
				t.Errorf("%d fields, applied %d, now %d: %d found, used %v, until %d", n, c.applied, c.now, fields, tx.UsedNow(), tx.FoundUntil())
			}
		}
	}
}

// Whoever watches keys is told of fields that expire, by whom ever they are removed.
func TestEventsOfFieldDeadlines(t *testing.T) {
	for name, remove := range map[string]func(tx *Tx){
		"sweep": func(tx *Tx) { tx.Expire(Slot([]byte("h")), 100) },
		"open":  func(tx *Tx) { tx.Open(0, []byte("h")) },
	} {
		s := newRowStore(t)
		s.at(0, func(tx *Tx) {
			o := tx.New(0, []byte("h"), TypeHash)
			o.PutField([]byte("a"), nil)
			o.PutField([]byte("b"), nil)
			SetFieldDeadline(o, []byte("a"), 100)
			SetFieldDeadline(o, []byte("b"), 200)
			o.Save()
		})
		for _, c := range []struct {
			now  int64
			want string
		}{{99, "[]"}, {100, "[{0 hexpired h 0}]"}, {200, "[{0 hexpired h 0} {0 del h 0}]"}} {
			s.at(c.now, func(tx *Tx) {
				tx.wanted = EventHash | EventGeneric
				if remove(tx); fmt.Sprint(tx.TakeEvents()) != c.want {
					t.Errorf("%s at %d: events are not %s", name, c.now, c.want)
				}
			})
		}
	}
}
