package keyspace

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
)

// stub is a store with one row.
type stub struct{ row, val []byte }

func (s stub) Get(row, dst []byte) ([]byte, bool, error) {
	if !bytes.Equal(row, s.row) {
		return dst, false, nil
	}
	return append(dst, s.val...), true, nil
}

func (s stub) Iter(_, _ []byte) (Iterator, error) { return &emptyIter{}, nil }

// FuzzObjectRow opens a key whose row is anything: it is read as what would be
// written for it, or the transaction fails.
func FuzzObjectRow(f *testing.F) {
	key := []byte("key")
	add := func(fill func(tx *Tx, o *Object), typ Type, expire int64) {
		tx := NewTx(stub{}, Env{Databases: NewDatabases(), Index: 5, NewID: func() uint64 { return 7 }})
		o := tx.New(0, key, typ)
		o.Expire = expire
		fill(tx, o)
		o.Save()
		tx.Effects(func(row, val []byte) {
			if row[3] == kindObject {
				f.Add(val)
				f.Add(val[:len(val)-1])
			}
		}, func([]byte) {})
	}
	for _, n := range []int{1, packedItemsMax + 1} {
		add(func(_ *Tx, o *Object) {
			for i := range n {
				o.PushTail([]byte{byte(i)})
			}
		}, TypeList, 0)
		for _, typ := range []Type{TypeSet, TypeHash} {
			add(func(_ *Tx, o *Object) {
				for i := range n {
					o.PutField([]byte{byte(i)}, []byte("val"))
				}
			}, typ, 1<<40)
		}
		add(func(_ *Tx, o *Object) {
			var ms []ZMember
			for i := range n {
				ms = append(ms, ZMember{Member: []byte{byte(i)}, Score: float64(i) - 1})
			}
			o.FillMembers(ms)
		}, TypeZSet, 0)
	}
	for _, n := range []int{2, packedItemsMax + 1} {
		add(func(_ *Tx, o *Object) {
			for i := range n {
				o.PutField([]byte{byte(i)}, []byte("val"))
			}
			SetFieldDeadline(o, []byte{1}, 1<<40)
		}, TypeHash, 1<<41)
	}
	add(func(_ *Tx, o *Object) {
		for i := range packedItemsMax + 1 {
			o.PushTail([]byte{byte(i)})
		}
		o.Insert(16, []byte("new"))
		o.Remove(24)
	}, TypeList, 1<<41)
	f.Add([]byte{byte(TypeString), 0, 0, 0, 0, 0, 0, 0, 1, 'v'})
	tx := NewTx(stub{}, Env{Databases: NewDatabases(), Index: 5, NewID: func() uint64 { return 7 }})
	s := NewStream(tx, 0, key)
	f.Add(s.Object().encode(nil))
	s.Append(StreamID{1 << 40, 3}, [][]byte{[]byte("f"), []byte("v")})
	s.Save()
	f.Add(s.Object().encode(nil))
	for i := range uint64(blocksMin) {
		s.Append(StreamID{1<<40 + i, 4}, [][]byte{[]byte("f"), []byte("v")})
	}
	s.Save()
	f.Add(s.Object().encode(nil))
	f.Fuzz(func(t *testing.T, row []byte) {
		dbs := NewDatabases()
		tx := NewTx(stub{objectRow(nil, Slot(key), dbs.Physical(0), key), row}, Env{Now: math.MinInt64, Databases: dbs})
		o := tx.Open(0, key)
		if o == nil {
			if err := tx.Err(); err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrLater) {
				t.Fatal(err)
			}
			return
		}
		n := o.Len()
		if o.Packed() && (n == 0 || n > len(row)) {
			t.Fatalf("%d elements in %d bytes", n, len(row))
		}
		if err := tx.Err(); err != nil {
			t.Fatalf("an object was opened, and %v", err)
		}
		o.tx.Index = o.Version
		again := &Object{tx: tx, Key: key}
		if !again.load(o.encode(nil)) || again.Type != o.Type || again.Version != o.Version || again.Expire != o.Expire ||
			again.Packed() != o.Packed() || again.Len() != n || again.id != o.id || again.head != o.head || !bytes.Equal(again.val, o.val) && !o.Packed() {
			t.Fatalf("%x becomes %+v, then %+v", row, o, again)
		}
		if h, other := o.timed, again.timed; Timed(o) != Timed(again) || Timed(o) && (h.soonest != other.soonest || h.count != other.count || !maps.Equal(h.packed, other.packed)) {
			t.Fatalf("deadlines of %x: %+v, then %+v", row, h, other)
		}
		if l, other := o.runs, again.runs; (l == nil) != (other == nil) || l != nil && !reflect.DeepEqual(l, other) {
			t.Fatalf("runs of %x: %+v, then %+v", row, l, other)
		}
		for i, it := range o.items {
			if other := again.items[i]; !bytes.Equal(it.sub, other.sub) || !bytes.Equal(it.val, other.val) ||
				math.Float64bits(it.score) != math.Float64bits(other.score) {
				t.Fatalf("element %d of %x: %+v, then %+v", i, row, it, other)
			}
		}
	})
}

// FuzzRuns reads anything as the row of the runs of a list: what is taken has the elements
// that the object row has, none of them twice, and is what would be written for it.
func FuzzRuns(f *testing.F) {
	f.Add(be.AppendUint64(be.AppendUint64(nil, 500), 7))
	f.Add(be.AppendUint64(be.AppendUint64(nil, 102), 7))
	f.Add(be.AppendUint64(be.AppendUint64(be.AppendUint64(be.AppendUint64(nil, 1<<63), 6), 1<<62), 1))
	f.Fuzz(func(t *testing.T, val []byte) {
		row := runsRow(nil, 5, 7)
		tx := NewTx(stub{row, val}, Env{Databases: NewDatabases()})
		o := &Object{tx: tx, Key: []byte("l"), Type: TypeList, slot: 5, rowed: true, head: 100}
		o.id, o.count, o.runs = 7, 12, &listRuns{first: run{100, 3}, last: run{200, 2}}
		all := allRuns(o)
		if all == nil {
			if !errors.Is(tx.Err(), ErrMalformed) {
				t.Fatalf("%x: %v", val, tx.Err())
			}
			return
		}
		if elementsOf(all) != 12 || !apart(all) || !slices.Equal(all, allRuns(o)) {
			t.Fatalf("%x is read as %v", val, all)
		}
		o.runs.inner = nil // so that it is written
		setRuns(o, all)
		if is, _ := tx.Get(row, nil); len(compact(all)) == len(all) && !bytes.Equal(is, val) {
			t.Fatalf("%x would be %x", val, is)
		}
	})
}

// FuzzStreamRows reads anything as the rows that a stream has beside its own: what is
// taken is what would be written for it.
func FuzzStreamRows(f *testing.F) {
	f.Add(encodeEntry(nil, [][]byte{[]byte("field"), []byte("value"), nil, nil}))
	f.Add((&Group{id: 1 << 48, Last: StreamID{1 << 40, 5}, Read: ReadUnknown, pending: 3, consumers: 2, made: 300}).encode(nil))
	f.Add((&Consumer{number: 5, Seen: 1 << 40, Active: 7, pending: 2}).encode(nil))
	f.Add(appendPending(nil, 1<<40, 3, []byte("consumer")))
	f.Fuzz(func(t *testing.T, val []byte) {
		tx := NewTx(stub{}, Env{Databases: NewDatabases(), NewID: func() uint64 { return 7 }})
		s := NewStream(tx, 0, []byte("key"))
		same := func(what string, is []byte) {
			t.Helper()
			if !bytes.Equal(is, val) {
				t.Fatalf("%s of %x would be %x", what, val, is)
			}
			if err := tx.Err(); err != nil {
				t.Fatalf("%s was taken, and %v", what, err)
			}
		}
		if fields, ok := decodeEntry(nil, val); ok {
			same("an entry", encodeEntry(nil, fields))
		}
		g := &Group{s: s}
		if p, ok := g.decodePending(StreamID{1, 2}, val); ok {
			same("a delivered entry", appendPending(nil, p.Delivered, p.Count, p.Consumer))
		}
		_ = tx.TakeRowError()
		if c := g.decodeConsumer(nil, val); c != nil {
			same("a consumer", c.encode(nil))
		}
		_ = tx.TakeRowError()
		if g := s.decodeGroup(nil, val); g != nil {
			same("a group", g.encode(nil))
		}
	})
}

func FuzzDecodeDatabases(f *testing.F) {
	f.Add(NewDatabases().Encode())
	f.Add(NewDatabases().Flush(3).Flush(4).Swap(0, 3).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := DecodeDatabases(b); err == nil && !bytes.Equal(d.Encode(), b) {
			t.Errorf("%x is read as %+v", b, d)
		}
	})
}

// FuzzRowKeys reads any row key as an entry of an expiry index, of keys or of hashes
// with fields that expire, and as the mark of garbage.
func FuzzRowKeys(f *testing.F) {
	f.Add(expiryRow(nil, 3, 99, 1, []byte("key")))
	f.Add(expiryRow(nil, 3, -99, 1, nil))
	f.Add(timedRow(nil, 3, 99, 1, []byte("key")))
	f.Add(trashRow(nil, 16383, 1<<50))
	f.Add(goneRow(nil, 1))
	f.Fuzz(func(t *testing.T, row []byte) {
		if slot, deadline, ok := Deadline(row); ok {
			write := expiryRow
			if row[3] == kindTimed {
				write = timedRow
			}
			if !bytes.Equal(write(nil, slot, deadline, be.Uint32(row[12:]), row[16:]), row) {
				t.Errorf("%x is read as slot %d, deadline %d", row, slot, deadline)
			}
		}
		if slot, id, ok := Trash(row); ok && !bytes.Equal(trashRow(nil, slot, id), row) {
			t.Errorf("%x is read as slot %d, id %d", row, slot, id)
		}
	})
}
