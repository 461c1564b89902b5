package store

import (
	"bytes"
	"errors"
	"testing"

	"tutti/internal/keyspace"
)

// A value that is held is what it was until it is let go, whatever becomes of its row: in a
// layer, in a memtable, in a table and in a blob file. What is small is copied.
func TestHeldValuesStay(t *testing.T) {
	s, _ := newTestState(t)
	s.late.max = lateBytes
	large, small := append(keyspace.SlotPrefix(nil, 1), "slarge"...), append(keyspace.SlotPrefix(nil, 1), "ssmall"...)
	at := Applied{Index: 10, Term: 1}
	write := func(b byte) {
		at = applied(t, s, at, func(w *WriteSet) {
			w.Put(large, bytes.Repeat([]byte{b}, holdFrom))
			w.Put(small, bytes.Repeat([]byte{b}, holdFrom-1))
		})
	}
	check := func(where string, b byte, inLayer bool) (v *View, val []byte, h keyspace.Held) {
		t.Helper()
		v = s.View(testShard, at, keyspace.NewDatabases(), func() {})
		val, h, ok, err := v.HoldIf(large, []byte("before"), func(n int) bool { return n == holdFrom })
		if want := bytes.Repeat([]byte{b}, holdFrom); h == nil || !bytes.Equal(val, want) || !ok || err != nil {
			t.Fatalf("%s: %d bytes, held %v, %v, %v", where, len(val), h, ok, err)
		}
		if is := h.(inPlace).closer == nil; is != inLayer {
			t.Errorf("%s: from a layer: %v", where, is)
		}
		copied, none, ok, err := v.HoldIf(small, []byte("before"), nil)
		if none != nil || !bytes.Equal(copied, append([]byte("before"), bytes.Repeat([]byte{b}, holdFrom-1)...)) || !ok || err != nil {
			t.Errorf("%s: %d bytes of a small one, held %v, %v, %v", where, len(copied), none, ok, err)
		}
		if _, none, ok, err := v.HoldIf(large, nil, func(int) bool { return false }); none != nil || ok || !errors.Is(err, keyspace.ErrNoRoom) {
			t.Errorf("%s: where there is no room: held %v, %v, %v", where, none, ok, err)
		}
		if val, none, ok, err := v.HoldIf(append(small, 'x'), []byte("before"), nil); string(val) != "before" || none != nil || ok || err != nil {
			t.Errorf("%s: of no row: %q, held %v, %v, %v", where, val, none, ok, err)
		}
		return v, val, h
	}
	settle := func() {
		b := s.NewBatch()
		late := s.late.of(testShard)
		b.shards = append(b.shards, target{id: testShard, late: late, top: late.top.Load()})
		if err := errors.Join(b.shards[0].settle(b.b), b.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	flush := func() {
		if err := errors.Join(s.db.Flush(), s.db.Compact(t.Context(), large[:3], append(small, 0xff), false)); err != nil {
			t.Fatal(err)
		}
	}
	write('a')
	v, val, h := check("in a layer", 'a', true)
	write('b')
	settle()
	inTable, val2, h2 := check("in a memtable", 'b', false)
	flush()
	inBlob, val3, h3 := check("in a blob file", 'b', false)
	write('c')
	settle()
	flush()
	for i, val := range [][]byte{val, val2, val3} {
		if want := "abb"[i]; !bytes.Equal(val, bytes.Repeat([]byte{want}, holdFrom)) {
			t.Errorf("held of %c: %.20q", want, val)
		}
	}
	for _, h := range []keyspace.Held{h, h2, h3} {
		h.LetGo()
	}
	for _, v := range []*View{v, inTable, inBlob} {
		v.Release()
	}
}
