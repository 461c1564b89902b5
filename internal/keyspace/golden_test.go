package keyspace

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden bytes of a new Format")

// golden describes rows, each in a line.
type golden struct {
	strings.Builder
	env Env
}

func newGolden() *golden {
	ids := uint64(1)<<48 - 1
	return &golden{env: Env{Now: 1000, Applied: 1000, Index: 0x0102030405, Databases: NewDatabases(), NewID: func() uint64 { ids++; return ids }}}
}

func (b *golden) show(what string, f func(tx *Tx)) {
	tx := NewTx(stub{}, b.env)
	f(tx)
	fmt.Fprintf(b, "# %s\n", what)
	shown := make(map[string]int)
	tx.Effects(func(row, val []byte) {
		if of := string(row[3:min(12, len(row))]); shown[of] < 2 { // of many elements two do
			shown[of]++
			fmt.Fprintf(b, "%c %x = %x\n", row[3], row, val)
		}
	}, func([]byte) {})
}

// goldenRows makes rows of every family of format 1.
func goldenRows() string {
	b := newGolden()
	show := b.show
	show("string", func(tx *Tx) { tx.SetString(0, []byte("{key}s"), nil, []byte("value"), 0) })
	show("string in database 3 with a deadline", func(tx *Tx) { tx.SetString(3, []byte("{key}s"), nil, []byte("value"), 0x0a0b0c) })
	for _, n := range []int{2, packedItemsMax + 1} {
		how := "packed"
		if n > packedItemsMax {
			how = "of rows"
		}
		show(how+" list", func(tx *Tx) {
			o := tx.New(0, []byte("l"), TypeList)
			for i := range n {
				o.PushTail(fmt.Append(nil, "e", i))
			}
			o.Save()
		})
		show(how+" set", func(tx *Tx) {
			o := tx.New(0, []byte("s"), TypeSet)
			for i := range n {
				o.PutField(fmt.Append(nil, "m", i), nil)
			}
			o.Save()
		})
		show(how+" hash with a deadline", func(tx *Tx) {
			o := tx.New(0, []byte("h"), TypeHash)
			o.Expire = 0x0a0b0c
			for i := range n {
				o.PutField(fmt.Append(nil, "f", i), fmt.Append(nil, "v", i))
			}
			o.Save()
		})
		show(how+" sorted set", func(tx *Tx) {
			o := tx.New(0, []byte("z"), TypeZSet)
			ms := []ZMember{{[]byte("low"), math.Inf(-1)}, {[]byte("high"), 1.5}}
			for i := range n - 2 {
				ms = append(ms, ZMember{fmt.Append(nil, "m", i), float64(-i)})
			}
			o.FillMembers(ms)
			o.Save()
		})
	}
	show("garbage, and the index of a delete", func(tx *Tx) {
		o := tx.New(0, []byte("s"), TypeSet)
		for i := range trashMin + 1 {
			o.PutField(fmt.Append(nil, "m", i), nil)
		}
		o.Save()
		tx.Open(0, []byte("s")).Delete()
	})
	fmt.Fprintf(b, "# databases\n%x\n", NewDatabases().Flush(2).Swap(1, 2).Encode())
	return b.String()
}

// goldenStreams makes the rows that came with format 2.
func goldenStreams() string {
	b := newGolden()
	fields := [][]byte{[]byte("field"), []byte("value")}
	b.show("stream without entries", func(tx *Tx) { NewStream(tx, 0, []byte("x")).Save() })
	b.show("stream", func(tx *Tx) {
		s := NewStream(tx, 0, []byte("x"))
		s.Append(StreamID{0x0102030405, 6}, fields)
		s.Append(StreamID{0x0102030405, 7}, append(fields, []byte("other"), nil))
		s.MaxDeleted = StreamID{5, 300}
		s.Save()
		s.Object().SetExpire(0x0a0b0c)
	})
	b.show("groups", func(tx *Tx) {
		s := NewStream(tx, 0, []byte("x"))
		g := s.CreateGroup([]byte("group"), StreamID{7, 8}, 300)
		s.CreateGroup([]byte("other"), StreamID{}, ReadUnknown)
		c := g.CreateConsumer([]byte("consumer"), 1000)
		c.Saw(1001, true)
		g.CreateConsumer([]byte("else"), 1000)
		g.Deliver(StreamID{7, 8}, c, 1000, 2)
		s.Save()
	})
	b.show("garbage of a stream", func(tx *Tx) {
		s := NewStream(tx, 0, []byte("x"))
		for i := range uint64(trashMin + 2) {
			s.Append(StreamID{i + 1, 0}, fields)
		}
		s.Trim(StreamTrim{Keep: 1})
		g := s.CreateGroup([]byte("group"), StreamID{}, 0)
		for i := range trashMin + 1 {
			g.CreateConsumer(fmt.Append(nil, i), 0)
		}
		s.Save()
		for i := range uint64(trashMin + 2) {
			s.Append(StreamID{i + 1000, 0}, fields)
		}
		s.Save()
		s.Object().Delete()
	})
	return b.String()
}

// goldenFields makes the rows that came with format 3.
func goldenFields() string {
	b := newGolden()
	hash := func(tx *Tx, n int) *Object {
		o := tx.New(0, []byte("h"), TypeHash)
		for i := range n {
			o.PutField(fmt.Append(nil, "f", i), fmt.Append(nil, "v", i))
		}
		SetFieldDeadline(o, []byte("f0"), 0x0a0b0c)
		SetFieldDeadline(o, []byte("f1"), 0x0a0b0d)
		return o
	}
	b.show("packed hash", func(tx *Tx) { hash(tx, 3).Save() })
	b.show("packed hash with a deadline", func(tx *Tx) { hash(tx, 3).SetExpire(0x0a0b0e) })
	b.show("hash of rows", func(tx *Tx) { hash(tx, packedItemsMax+1).Save() })
	b.show("garbage", func(tx *Tx) {
		hash(tx, trashMin+1).Save()
		tx.Open(0, []byte("h")).Delete()
	})
	return b.String()
}

// goldenRuns makes the rows that came with format 4.
func goldenRuns() string {
	b := newGolden()
	list := func(tx *Tx, inserts ...int) *Object {
		o := tx.New(0, []byte("l"), TypeList)
		for i := range 40 {
			o.PushTail(fmt.Append(nil, "e", i))
		}
		for _, at := range inserts {
			o.Insert(at, []byte("new"))
		}
		return o
	}
	b.show("list of two runs", func(tx *Tx) {
		o := list(tx)
		o.Remove(20)
		o.Save()
	})
	b.show("list of three runs with a deadline", func(tx *Tx) { list(tx, 20).SetExpire(0x0a0b0e) })
	b.show("list of four runs", func(tx *Tx) {
		o := list(tx, 20)
		o.Remove(30)
		o.Save()
	})
	return b.String()
}

// goldenBlocks makes the rows that came with format 5.
func goldenBlocks() string {
	b := newGolden()
	long := func(tx *Tx) *Stream {
		s := NewStream(tx, 0, []byte("x"))
		for i := range uint64(blocksMin) {
			s.Append(StreamID{0x0102030405 + i, 6}, [][]byte{[]byte("field"), []byte("value")})
		}
		s.Save()
		return s
	}
	b.show("stream that has become long", func(tx *Tx) { long(tx) })
	b.show("long stream of two blocks, with a deadline", func(tx *Tx) {
		s := long(tx)
		for i := range uint64(blockEntries + 300) {
			s.Append(StreamID{0x0202030405 + i, 6}, [][]byte{[]byte("field"), []byte("value")})
		}
		s.Delete(StreamID{0x0202030406, 6})
		s.Save()
		s.Object().SetExpire(0x0a0b0c)
	})
	return b.String()
}

// goldenParts makes the rows that came with format 6.
func goldenParts() string {
	b := newGolden()
	upload := func(tx *Tx) {
		for n, part := range []string{"first ", "second", "last"} {
			if err := Upload(tx, []byte("k"), []byte("an upload"), uint64(n), []byte(part), 0x0a0b0c); err != nil {
				panic(err)
			}
		}
	}
	b.show("upload", upload)
	b.show("string in parts, with a deadline", func(tx *Tx) {
		upload(tx)
		u, err := OpenUploaded(tx, []byte("k"), []byte("an upload"), 16)
		if err != nil {
			panic(err)
		}
		SetUploaded(u, 0, []byte("k"), nil, 0x0d0e0f)
	})
	return b.String()
}

// TestGoldenRows fails when the bytes of a row change: rows are on the disks of
// all nodes, so that is a new Format, written only once all members know it.
func TestGoldenRows(t *testing.T) {
	for format, rows := range []string{1: goldenRows(), 2: goldenStreams(), 3: goldenFields(), 4: goldenRuns(), 5: goldenBlocks(), 6: goldenParts()} {
		if format > 0 {
			compareGolden(t, fmt.Sprintf("testdata/rows.%d", format), rows)
		}
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	want, err := os.ReadFile(name)
	if *rewrite && errors.Is(err, os.ErrNotExist) { // what is there belongs to a format that is in use
		err = os.WriteFile(name, []byte(got), 0o644)
		want = []byte(got)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("line %d of %s: rows have changed and Format has not:\n%s\n%s", i+1, name, g[i], w[i])
		}
	}
	t.Fatalf("%d lines of rows, %d in %s", len(g), len(w), name)
}

// TestLaterRows reads rows of formats to come: they are refused by their number,
// and never taken for damage.
func TestLaterRows(t *testing.T) {
	key := []byte("k")
	for _, row := range []string{"\x06\x63", "\x07\x63", "\x21\x63rest", "\x0f\xff", "\x26\x63rest", "\x25\x63rest", "\x22\x63rest", "\x11\x63\x00\x00\x00\x00\x00\x00\x00\x01v"} {
		dbs := NewDatabases()
		tx := NewTx(stub{objectRow(nil, Slot(key), 0, key), []byte(row)}, Env{Databases: dbs})
		o := tx.Open(0, key)
		bad := tx.TakeRowError()
		if o != nil || bad == nil || !errors.Is(bad, ErrLater) || bad.Format != row[1] || tx.Err() != nil {
			t.Errorf("%x: %v, %v", row, o, bad)
		}
		if version, exists := tx.KeyVersion(0, key); version == 0 || !exists || tx.Err() != nil {
			t.Errorf("%x: version %d, %v", row, version, exists)
		}
	}
	later := NewDatabases().Encode()
	later[0]++
	if _, err := DecodeDatabases(later); !errors.Is(err, ErrLater) || !strings.Contains(err.Error(), "needs format 2") {
		t.Errorf("databases: %v", err)
	}
	mark := trashRow(nil, 7, 9)
	tx := NewTx(stub{mark, []byte{6, 99}}, Env{Databases: NewDatabases()})
	if gone, err := tx.PurgeTrash(7, 9, 10); gone || err == nil || err.Format != 99 || !tx.Empty() {
		t.Errorf("garbage: gone %v, %v", gone, err)
	}
	tx = NewTx(stub{mark, []byte{6}}, Env{Databases: NewDatabases()})
	if gone, err := tx.PurgeTrash(7, 9, 10); !gone || err != nil || tx.Empty() {
		t.Errorf("malformed garbage: gone %v, %v", gone, err)
	}
}
