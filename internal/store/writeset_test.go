package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// rowsOf lists what a write set does, as text.
func rowsOf(each func(put func(row, val []byte) error, del func(row []byte) error) error) (rows []string, err error) {
	err = each(
		func(row, val []byte) error { rows = append(rows, fmt.Sprintf("%q=%q", row, val)); return nil },
		func(row []byte) error { rows = append(rows, fmt.Sprintf("%q-", row)); return nil })
	return rows, err
}

func TestWriteSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	for range 200 {
		at := r.Int64N(1 << 50)
		w := NewWriteSet(at, r.IntN(100))
		var want []string
		for range r.IntN(8) {
			row, val := bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(300)), bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(300))
			if r.IntN(3) == 0 {
				w.Delete(row)
				want = append(want, fmt.Sprintf("%q-", row))
			} else {
				w.Put(row, val)
				want = append(want, fmt.Sprintf("%q=%q", row, val))
			}
		}
		got, err := rowsOf(w.Each)
		if err != nil || !slices.Equal(got, want) || w.Time() != at {
			t.Fatalf("got %v at %d, %v; want %v at %d", got, w.Time(), err, want, at)
		}
		if n := len(w) - 1; n >= 0 {
			if got, err := rowsOf(w[:n].Each); err == nil && len(got) == len(want) {
				t.Errorf("a write set without its last byte has %v", got)
			}
		}
	}
	for _, w := range []WriteSet{nil, {}, {writeSetFormat}, {2, 0, 0, 0, 0, 0, 0, 0, 0}, append(NewWriteSet(1, 0), 4), append(NewWriteSet(1, 0), 0xff)} {
		if _, err := rowsOf(w.Each); !errors.Is(err, ErrFormat) {
			t.Errorf("%x: %v", []byte(w), err)
		}
	}
	stop := errors.New("stop")
	w := NewWriteSet(0, 0)
	w.Put([]byte("a"), nil)
	if err := w.Each(func(_, _ []byte) error { return stop }, nil); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
}

func FuzzWriteSet(f *testing.F) {
	w := NewWriteSet(7, 0)
	w.Put([]byte("row"), []byte("val"))
	w.Delete([]byte("gone"))
	f.Add([]byte(w))
	f.Add([]byte(w[:len(w)-1]))
	f.Fuzz(func(t *testing.T, b []byte) {
		again := NewWriteSet(0, len(b))
		n := 0
		err := WriteSet(b).Each(
			func(row, val []byte) error { n += len(row) + len(val); again.Put(row, val); return nil },
			func(row []byte) error { n += len(row); again.Delete(row); return nil })
		if n > len(b) {
			t.Fatalf("%d bytes of rows in %d", n, len(b))
		}
		if err != nil {
			return
		}
		want, _ := rowsOf(WriteSet(b).Each)
		if got, err := rowsOf(again.Each); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v is written as %v, %v", want, got, err)
		}
	})
}

func FuzzEachRow(f *testing.F) {
	f.Add(AppendRow(AppendRow(nil, []byte("row"), []byte("val")), []byte("b"), nil))
	f.Add([]byte{0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		if err := EachRow(b, func(row, val []byte) error { again = AppendRow(again, row, val); return nil }); err == nil && !bytes.Equal(again, b) {
			t.Errorf("%x is written as %x", b, again)
		}
	})
}
