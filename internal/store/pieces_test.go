package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// inPieces returns a write set of some rows as entries bring it: pieces of size bytes, and
// what is behind them.
func inPieces(whole WriteSet, size, n int) (entries []WriteSet) {
	rows := whole.Rows()
	for i := range n {
		w := NewWriteSet(1, 0)
		w.Put(PieceRow(7, uint32(i)), rows[i*size:(i+1)*size])
		entries = append(entries, w)
	}
	last := NewJoined(2, n, xxhash.Sum64(rows[:n*size]), rows[n*size:], 0)
	for i := range n {
		last.Delete(PieceRow(7, uint32(i)))
	}
	last.Put([]byte("own"), []byte("row"))
	return append(entries, last)
}

func someRows() WriteSet {
	w := NewWriteSet(9, 0)
	for i := range 20 {
		w.Put(fmt.Appendf(nil, "row %02d", i), bytes.Repeat([]byte{byte(i)}, i*7))
	}
	w.Delete([]byte("gone"))
	return w
}

// TestWriteSetInPieces applies a write set that comes in pieces, with a restart, or another one that
// was given up, in between: it does what it does as a whole.
func TestWriteSetInPieces(t *testing.T) {
	const shard = 7
	want, err := newestOf(someRows().Each)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name    string
		restart bool // before the last entry
		other   int  // pieces of another one before
	}{{"at once", false, 0}, {"behind a restart", true, 0}, {"behind others", false, 9}, {"behind few others and a restart", true, 3}} {
		t.Run(x.name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := openLooked(t, fs)
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			at := Applied{}
			apply := func(w WriteSet) *Batch {
				t.Helper()
				b := s.NewBatch()
				var err error
				if at, err = b.Apply(shard, at, at.Index+1, 1, w); err == nil {
					err = b.Commit()
				}
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			for _, w := range inPieces(someRows(), 10, 9)[:x.other] {
				apply(w)
			}
			entries := inPieces(someRows(), 32, 5)
			last := len(entries) - 1
			for _, w := range entries[:last] {
				apply(w)
			}
			if x.restart {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openLooked(t, fs)
			}
			got, err := newestOf(apply(entries[last]).Effects.Each)
			if err != nil {
				t.Error(err)
			}
			for row, val := range want {
				if got[row] != val {
					t.Errorf("row %q is %q, want %q", row, got[row], val)
				}
			}
			if at.Time != 2 {
				t.Errorf("the time is %d", at.Time)
			}
			v := s.View(shard, at, nil, func() {})
			defer v.Release()
			if val, ok, err := v.Get([]byte("row 19"), nil); !ok || err != nil || len(val) != 19*7 {
				t.Errorf("%x, %v, %v", val, ok, err)
			}
			if n, err := v.Pieces(); n != max(0, x.other-5) || err != nil {
				t.Errorf("%d pieces are left, %v", n, err)
			}
		})
	}
}

// openLooked opens a state, and looks through a shard of it.
func openLooked(t *testing.T, fs vfs.FS) *State {
	t.Helper()
	s, err := OpenState(Config{FS: fs, Dir: "node", Small: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.LookThrough(7); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPiecesDiffer has pieces that are not those of the write set that goes on with them:
// the state can't be trusted.
func TestPiecesDiffer(t *testing.T) {
	entries := inPieces(someRows(), 32, 5)
	for _, x := range []struct {
		name   string
		change func(list []WriteSet) []WriteSet
		want   error
	}{
		{"one is missing", func(l []WriteSet) []WriteSet { return slices.Delete(l, 2, 3) }, ErrDamaged},
		{"the first is missing", func(l []WriteSet) []WriteSet { return l[1:] }, ErrDamaged},
		{"none is there", func(l []WriteSet) []WriteSet { return l[5:] }, ErrDamaged},
		{"one is twice there", func(l []WriteSet) []WriteSet { return slices.Insert(l, 1, l[0]) }, nil},
		{"one is another", func(l []WriteSet) []WriteSet {
			l[1] = slices.Clone(l[1])
			l[1][len(l[1])-1]++
			return l
		}, ErrDamaged},
		{"they go on with nothing", func(l []WriteSet) []WriteSet { return append(l[:5:5], l[5][:joinedHead-1]) }, ErrFormat},
		{"of none", func(l []WriteSet) []WriteSet { return append(l[:5:5], NewJoined(1, 0, 0, nil, 0)) }, ErrFormat},
	} {
		t.Run(x.name, func(t *testing.T) {
			var p pieces
			var got error
			for _, w := range x.change(slices.Clone(entries)) {
				e, err := p.join(w)
				if err != nil {
					got = err
					break
				}
				if err := e.Each(func(row, val []byte) error { p.put(row, val); return nil }, func([]byte) error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if !errors.Is(got, x.want) || (got == nil) != (x.want == nil) {
				t.Errorf("%v, want %v", got, x.want)
			}
		})
	}
}

// FuzzPieces cuts any bytes into pieces: they do what they do as a whole.
func FuzzPieces(f *testing.F) {
	rows := someRows().Rows()
	f.Add(rows, uint8(5), []byte{}, 1<<20)
	f.Add(rows[:200], uint8(7), rows[200:], 100)
	f.Add(rows[:20], uint8(20), rows, 1)
	f.Add(rows, uint8(1), rows[:10], 10)
	f.Fuzz(func(t *testing.T, rows []byte, n uint8, rest []byte, run int) {
		n = max(n, 1)
		p := pieces{most: run}
		for i := range uint32(n) {
			at := int(i) * len(rows) / int(n)
			p.put(PieceRow(7, i), rows[at:(int(i)+1)*len(rows)/int(n)])
		}
		want, wrong := newestOf(append(NewWriteSet(1, 0), append(slices.Clone(rows), rest...)...).Each)
		e, err := p.join(NewJoined(1, int(n), xxhash.Sum64(rows), rest, 0))
		var got map[string]string
		if err == nil {
			got, err = newestOf(e.Each)
		}
		if (err == nil) != (wrong == nil) || err == nil && !maps.Equal(got, want) {
			t.Errorf("%x and %x are %q, %v, want %q, %v", rows, rest, got, err, want, wrong)
		}
	})
}

// newestOf returns what becomes of each row.
func newestOf(each func(put func(row, val []byte) error, del func(row []byte) error) error) (map[string]string, error) {
	rows := make(map[string]string)
	err := each(
		func(row, val []byte) error { rows[string(row)] = "=" + string(val); return nil },
		func(row []byte) error { rows[string(row)] = "-"; return nil })
	return rows, err
}
