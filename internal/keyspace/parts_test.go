package keyspace

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// partsTest is a state of rows that transactions are applied to, at a time.
type partsTest struct {
	*rowStore
	t       *testing.T
	now     int64
	written int // bytes, by all transactions
}

func newPartsTest(t *testing.T) *partsTest {
	return &partsTest{rowStore: newRowStore(t), t: t, now: 1000}
}

// do applies what f does.
func (p *partsTest) do(f func(tx *Tx)) {
	p.t.Helper()
	p.update(func(tx *Tx) {
		tx.Now, tx.Applied = p.now, p.now
		f(tx)
		p.written += tx.Written()
	})
}

// view reads the state.
func (p *partsTest) view(base Reader) *Tx {
	return NewReadTx(base, Env{Now: p.now, Applied: p.now, Databases: p.dbs})
}

// rows returns all rows.
func (p *partsTest) rows() map[string]string {
	rows := map[string]string{}
	it, err := p.Iter(nil, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		rows[string(it.Key())] = string(it.Value())
	}
	if err := it.Close(); err != nil {
		p.t.Fatal(err)
	}
	return rows
}

// upload uploads parts for a key.
func (p *partsTest) upload(key, name string, parts ...string) {
	p.t.Helper()
	for n, part := range parts {
		p.do(func(tx *Tx) {
			if err := Upload(tx, []byte(key), []byte(name), uint64(n), []byte(part), p.now+60_000); err != nil {
				p.t.Fatalf("part %d of %s: %v", n, name, err)
			}
		})
	}
}

// set makes what was uploaded the value of a key.
func (p *partsTest) set(key, name string, size int, expire int64) {
	p.t.Helper()
	p.do(func(tx *Tx) {
		u, err := OpenUploaded(tx, []byte(key), []byte(name), uint64(size))
		if err != nil {
			p.t.Fatalf("%s for %s: %v", name, key, err)
		}
		SetUploaded(u, 0, []byte(key), tx.Open(0, []byte(key)), expire)
	})
}

// want compares the strings at keys of database 0 ("-": absent) and looks for rows that
// are nobody's.
func (p *partsTest) want(pairs ...string) {
	p.t.Helper()
	tx := p.view(p)
	for i := 0; i < len(pairs); i += 2 {
		got := "-"
		if o := tx.Open(0, []byte(pairs[i])); o != nil {
			if got = string(o.Bytes()); o.Len() != len(got) {
				p.t.Errorf("%s has a length of %d, not %d", pairs[i], o.Len(), len(got))
			}
		}
		if got != pairs[i+1] {
			p.t.Errorf("%s is %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
	p.wantNoOrphans()
}

// wantNoOrphans fails if there are parts that no object row leads to.
func (p *partsTest) wantNoOrphans() {
	p.t.Helper()
	owned := map[string]bool{}
	rows := p.rows()
	for row, val := range rows {
		o := &Object{}
		if row[3] == kindObject && o.decode([]byte(val)) == nil && o.rowed {
			owned[row[1:3]+string(be.AppendUint64(nil, o.id))] = true
		}
		if row[3] == kindTrash {
			owned[row[1:3]+row[4:12]] = true
		}
	}
	for row := range rows {
		if row[3] == kindSub && !owned[row[1:3]+row[4:12]] {
			p.t.Errorf("part %x belongs to nobody", row)
		}
	}
}

// TestUploads has values come in parts, and what keys with such values go through.
func TestUploads(t *testing.T) {
	p := newPartsTest(t)
	p.upload("k", "u", "one ", "two ", "end")
	p.want("k", "-", "u", "-")
	p.set("k", "u", 11, 0)
	p.want("k", "one two end")

	p.upload("k", "v", "another")
	p.set("k", "v", 7, 5000)
	p.want("k", "another")
	p.do(func(tx *Tx) { tx.Open(0, []byte("k")).SetExpire(9000) })
	p.want("k", "another")

	p.do(func(tx *Tx) { tx.Open(0, []byte("k")).CopyTo(0, []byte("copy in another slot")) })
	p.do(func(tx *Tx) { tx.Open(0, []byte("k")).Rename([]byte("{k}near")) })
	p.do(func(tx *Tx) { tx.Open(0, []byte("{k}near")).CopyTo(1, []byte("{k}near")) })
	p.want("k", "-", "{k}near", "another", "copy in another slot", "another")
	p.do(func(tx *Tx) { tx.Open(0, []byte("{k}near")).Rename([]byte("far")) })
	p.want("{k}near", "-", "far", "another")
	p.do(func(tx *Tx) { tx.Open(0, []byte("far")).MoveTo(2) })
	p.do(func(tx *Tx) { tx.Open(2, []byte("far")).MoveTo(0) })
	p.want("far", "another")

	p.do(func(tx *Tx) { tx.SetString(0, []byte("far"), tx.Open(0, []byte("far")), []byte("short"), 0) })
	p.do(func(tx *Tx) { tx.Open(0, []byte("copy in another slot")).Delete() })
	p.want("far", "short", "copy in another slot", "-")

	p.now = 9000 // the copy in database 1 expires
	p.do(func(tx *Tx) {
		if n := tx.Expire(Slot([]byte("k")), 10); n != 1 {
			t.Errorf("%d keys have expired, want 1", n)
		}
	})
	p.want()
	p.do(func(tx *Tx) { tx.Open(0, []byte("far")).Delete() })
	for row := range p.rows() {
		if row[3] != kindGone {
			t.Errorf("row %x is left", row)
		}
	}
}

// TestUploadsThatFail has parts that do not fit together, or are not there any more.
func TestUploadsThatFail(t *testing.T) {
	p := newPartsTest(t)
	part := func(tx *Tx, n uint64, size int) error {
		return Upload(tx, []byte("k"), []byte("u"), n, make([]byte, size), 2000)
	}
	open := func(tx *Tx, key, name string, size uint64) error {
		_, err := OpenUploaded(tx, []byte(key), []byte(name), size)
		return err
	}
	for _, c := range []struct {
		name string
		f    func(tx *Tx) error
	}{
		{"no first part", func(tx *Tx) error { return part(tx, 1, 10) }},
		{"an older version is there", func(tx *Tx) error { tx.Format = formatParts - 1; return part(tx, 0, 10) }},
		{"more than a command may write", func(tx *Tx) error { return part(tx, 0, WriteSetMax+1) }},
		{"nothing was uploaded", func(tx *Tx) error { return open(tx, "k", "u", 10) }},
	} {
		p.do(func(tx *Tx) {
			if err := c.f(tx); !errors.Is(err, ErrUpload) || tx.Writes() > 0 {
				t.Errorf("%s: %v, %d writes", c.name, err, tx.Writes())
			}
		})
	}
	p.upload("k", "u", "some", "one")
	for _, c := range []struct {
		name string
		f    func(tx *Tx) error
	}{
		{"a part again", func(tx *Tx) error { return part(tx, 1, 3) }},
		{"a part behind a shorter one", func(tx *Tx) error { return part(tx, 2, 3) }},
		{"a part too early", func(tx *Tx) error { return part(tx, 3, 3) }},
		{"nothing", func(tx *Tx) error { return part(tx, 2, 0) }},
		{"another size", func(tx *Tx) error { return open(tx, "k", "u", 10) }},
		{"another name", func(tx *Tx) error { return open(tx, "k", "v", 7) }},
		{"of a key of another slot", func(tx *Tx) error { return open(tx, "foo", "u", 7) }},
	} {
		p.do(func(tx *Tx) {
			if err := c.f(tx); !errors.Is(err, ErrUpload) || tx.Writes() > 0 {
				t.Errorf("%s: %v, %d writes", c.name, err, tx.Writes())
			}
		})
	}
	p.do(func(tx *Tx) { // SET NX, say, of a key that is there
		u, err := OpenUploaded(tx, []byte("k"), []byte("u"), 7)
		if err != nil {
			t.Fatal(err)
		}
		u.Drop()
	})
	if len(p.rows()) != 0 {
		t.Errorf("%d rows are left of what was dropped", len(p.rows()))
	}
	p.upload("k", "u", "some", "one")
	p.now += 60_001
	p.do(func(tx *Tx) { tx.Expire(Slot([]byte("k")), 10) })
	if len(p.rows()) != 0 {
		t.Errorf("%d rows are left of what nobody has gone on with", len(p.rows()))
	}
}

// TestPartsAreAsLongAsTheFirst takes no part that is longer, nor all of them if they are
// more than a command may write.
func TestPartsAreAsLongAsTheFirst(t *testing.T) {
	p := newPartsTest(t)
	p.upload("k", "u", strings.Repeat("x", WriteSetMax-5))
	p.upload("k", "v", "some")
	p.do(func(tx *Tx) {
		for name, size := range map[string]int{"u": 6, "v": 5} {
			if err := Upload(tx, []byte("k"), []byte(name), 1, make([]byte, size), 2000); !errors.Is(err, ErrUpload) || tx.Writes() > 0 {
				t.Errorf("%d bytes behind %s: %v, %d writes", size, name, err, tx.Writes())
			}
		}
	})
}

// TestOverwriteIsWhatCopyIs changes strings anywhere, short and long ones, in a row and in
// parts, and compares all that can be read with bytes in memory.
func TestOverwriteIsWhatCopyIs(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := newPartsTest(t)
		var want []byte
		if seed%2 == 1 {
			want = bytes.Repeat([]byte("upload "), 20_000)
			var parts []string
			for part := range slices.Chunk(want, 10_000) {
				parts = append(parts, string(part))
			}
			p.upload("k", "u", parts...)
			p.set("k", "u", len(want), 0)
		}
		for range 60 {
			at := r.IntN(len(want) + 1)
			if r.IntN(4) == 0 {
				at = len(want) + r.IntN(20_000) // with zeros before it
			}
			b := bytes.Repeat([]byte{byte('a' + r.IntN(26))}, r.IntN(2)*r.IntN(9_000)+r.IntN(20))
			if at+len(b) > 300_000 {
				continue
			}
			before := p.written
			p.do(func(tx *Tx) { Overwrite(tx, 0, []byte("k"), tx.Open(0, []byte("k")), at, b) })
			if grown := max(0, at+len(b)-len(want)); len(want) > partsFrom && seed%2 == 0 && p.written-before > grown+len(b)+3*changedBytes {
				t.Fatalf("%d bytes at %d of %d were changed by writing %d", len(b), at, len(want), p.written-before)
			}
			if n := at + len(b); n > len(want) {
				want = append(want, make([]byte, n-len(want))...)
			}
			copy(want[at:], b)
			o := p.view(p).Open(0, []byte("k"))
			if o.rowed != (seed%2 == 1 || len(want) > partsFrom) {
				t.Fatalf("%d bytes lie in parts: %v", len(want), o.rowed)
			}
			from := r.IntN(len(want) + 1)
			to := from + r.IntN(len(want)-from+1)
			if o.Len() != len(want) || !bytes.Equal(Slice(o, from, to), want[from:to]) || !bytes.Equal(o.Bytes(), want) {
				t.Fatalf("seed %d: %d bytes behind %d at %d are not what they must be", seed, len(want), len(b), at)
			}
		}
		p.wantNoOrphans()
	}
}

// TestLongestStringsAreCopied copies strings that are as long as they may be: the rows of
// their parts would be more than a command may write.
func TestLongestStringsAreCopied(t *testing.T) {
	p := newPartsTest(t)
	p.do(func(tx *Tx) { Overwrite(tx, 0, []byte("k"), nil, partsUntil-1, []byte("x")) })
	p.do(func(tx *Tx) { Overwrite(tx, 0, []byte("k"), tx.Open(0, []byte("k")), WriteSetMax-101, []byte("x")) })
	want := string(append(append(make([]byte, partsUntil-1), 'x'), make([]byte, WriteSetMax-100-partsUntil)...))
	want = want[:WriteSetMax-101] + "x"
	p.do(func(tx *Tx) {
		before := tx.Written()
		if tx.Open(0, []byte("k")).CopyTo(0, []byte("copy")); tx.Written()-before > WriteSetMax {
			t.Errorf("%d bytes were written", tx.Written()-before)
		}
	})
	tx := p.view(p)
	for _, key := range []string{"k", "copy"} {
		if o := tx.Open(0, []byte(key)); o == nil || string(o.Bytes()) != want {
			t.Errorf("%s is not what it must be", key)
		}
	}
}

// TestLargeUploadsBecomeGarbage has a string of many parts removed bit by bit.
func TestLargeUploadsBecomeGarbage(t *testing.T) {
	p := newPartsTest(t)
	parts := make([]string, trashMin+1)
	for i := range parts {
		parts[i] = fmt.Sprintf("%3d ", i)
	}
	p.upload("k", "u", parts...)
	p.set("k", "u", len(strings.Join(parts, "")), 0)
	p.want("k", strings.Join(parts, ""))
	p.do(func(tx *Tx) { tx.Open(0, []byte("k")).Delete() })
	p.want("k", "-")
	id := p.id
	for gone := false; !gone; {
		p.do(func(tx *Tx) {
			before := tx.Writes()
			var err *RowError
			if gone, err = tx.PurgeTrash(Slot([]byte("k")), id, 100); err != nil || tx.Writes()-before > 101 {
				t.Fatalf("%d writes, %v", tx.Writes()-before, err)
			}
		})
	}
	if len(p.rows()) != 1 { // when the slot had its last delete
		t.Errorf("%d rows are left", len(p.rows()))
	}
}

// TestPartsThatAreMissing reads strings whose rows are not what they must be.
func TestPartsThatAreMissing(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(tx *Tx, part []byte)
	}{
		{"a part is missing", func(tx *Tx, part []byte) { tx.Delete(part) }},
		{"a part is too short", func(tx *Tx, part []byte) { tx.Put(part, []byte("x")) }},
		{"a part is too long", func(tx *Tx, part []byte) { tx.Put(part, make([]byte, 100)) }},
	} {
		p := newPartsTest(t)
		p.upload("k", "u", "some", "one")
		p.set("k", "u", 7, 0)
		p.do(func(tx *Tx) { c.harm(tx, partRow(nil, Slot([]byte("k")), p.id, 1)) })
		tx := p.view(p)
		val := tx.Open(0, []byte("k")).Bytes()
		if bad := tx.TakeRowError(); bad == nil || len(val) > 0 || !bytes.Equal(bad.Key, []byte("k")) {
			t.Errorf("%s: %q, %v", c.name, val, bad)
		}
		p.do(func(tx *Tx) { tx.Open(0, []byte("k")).Delete() }) // it can be removed all the same
		p.want("k", "-")
	}
}

// fewBytes is rows of which only so many bytes of a value may be read.
type fewBytes struct {
	Reader
	most int
}

func (r fewBytes) Fits(n int) bool { return n <= r.most }

// TestPartsWithoutRoom does not put together what there is no room for.
func TestPartsWithoutRoom(t *testing.T) {
	p := newPartsTest(t)
	p.upload("k", "u", "some", "one")
	p.set("k", "u", 7, 0)
	for most, want := range map[int]string{6: "", 7: "someone"} {
		tx := p.view(fewBytes{p, most})
		if got := string(tx.Open(0, []byte("k")).Bytes()); got != want || tx.TakeNoRoom() != (want == "") {
			t.Errorf("with room for %d bytes: %q", most, got)
		}
	}
}
