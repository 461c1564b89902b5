package keyspace

import (
	"bytes"
	"fmt"
	"testing"
)

// What is left of a collection after most of it was removed at once lies among rows of
// its own, where nobody steps over the traces of the others; what is left of one from
// which little was removed stays where it is.
func TestThin(t *testing.T) {
	for _, typ := range []Type{TypeSet, TypeHash} {
		for _, c := range []struct {
			members, removed int
			anew             bool
		}{
			{1000, 900, true}, {1000, 990, true}, {1000, 500, false}, {1000, 300, false}, {300, 257, true}, {300, 256, false},
		} {
			s := newRowStore(t)
			tx := NewTx(s, Env{Databases: s.dbs, NewID: func() uint64 { s.id++; return s.id }})
			o := tx.New(0, []byte("k"), typ)
			value := func(i int) []byte {
				if typ == TypeSet {
					return nil
				}
				return fmt.Appendf(nil, "v%d", i)
			}
			for i := range c.members {
				o.PutField(fmt.Appendf(nil, "%04d", i), value(i))
			}
			o.Save()
			before := o.id
			for i := range c.removed {
				o.DeleteField(fmt.Appendf(nil, "%04d", i))
			}
			Thin(o, c.removed)
			o.Save()
			o = tx.Open(0, []byte("k"))
			if o.Len() != c.members-c.removed {
				t.Errorf("%v: %+v: %d are left", typ, c, o.Len())
			}
			for i := range c.members {
				val, ok := o.Field(fmt.Appendf(nil, "%04d", i), nil)
				if ok != (i >= c.removed) || ok && !bytes.Equal(val, value(i)) {
					t.Errorf("%v: %+v: member %d is %q, %v", typ, c, i, val, ok)
				}
			}
			if (o.id != before) != c.anew {
				t.Errorf("%v: %+v: written anew is %v", typ, c, o.id != before)
			}
			if err := tx.Err(); err != nil {
				t.Error(err)
			}
		}
	}
}
