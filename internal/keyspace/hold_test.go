package keyspace

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// holding is a Reader of rows that are held, and knows how many are.
type holding struct {
	fixedReader
	n   int
	err error
}

func (r *holding) Hold(row, dst []byte) ([]byte, Held, bool, error) {
	v, ok := r.fixedReader[string(row)]
	if r.err != nil || !ok {
		return dst, nil, false, r.err
	}
	if len(v) < 100 {
		return append(dst, v...), nil, true, nil
	}
	r.n++
	return v, r, true, nil
}

func (r *holding) LetGo() { r.n-- }

// TestHeldUntilForgotten has commands read large values, and counts how many are held.
func TestHeldUntilForgotten(t *testing.T) {
	s := newRowStore(t)
	base := &holding{fixedReader: fixedReader{}}
	value := func(key string) string { return strings.Repeat(key, map[bool]int{true: 10, false: 1000}[key == "s"]) }
	for _, key := range []string{"a", "b", "s"} {
		s.update(func(tx *Tx) {
			tx.SetString(0, []byte(key), nil, []byte(value(key)), 0)
			tx.Effects(func(row, val []byte) { base.fixedReader[string(row)] = bytes.Clone(val) }, func([]byte) {})
		})
	}
	tx := &Tx{}
	Reread(tx, base, Env{Databases: NewDatabases()})
	open := func(key string, held int) *Object {
		t.Helper()
		o := tx.Open(0, []byte(key))
		if o == nil || string(o.Bytes()) != value(key) || base.n != held {
			t.Fatalf("%s: %v, %d held, want %d", key, o, base.n, held)
		}
		return o
	}
	for range 3 {
		a := open("a", 1)
		open("s", 1)
		open("b", 2)
		if string(a.Bytes()) != value("a") {
			t.Errorf("changed by those that were opened after it: %.20q", a.Bytes())
		}
		if tx.Open(0, []byte("none")) != nil || base.n != 2 {
			t.Errorf("what is not there: %d held", base.n)
		}
		if tx.Forget(); base.n != 0 {
			t.Errorf("%d held of a command that has ended", base.n)
		}
	}
	open("a", 1)
	if End(tx); base.n != 0 || tx.base != nil || tx.Databases != nil {
		t.Errorf("%d held of a transaction that is over, which keeps %v", base.n, tx)
	}
	Reread(tx, base, Env{Databases: NewDatabases()})
	open("a", 1)
	if Reread(tx, base, Env{Databases: NewDatabases()}); base.n != 0 {
		t.Errorf("%d held of the one before", base.n)
	}
	tx.Forget()
	n := heldMax / len(value("a"))
	for range 2 * n {
		if o := tx.Open(0, []byte("a")); string(o.Bytes()) != value("a") || base.n > n {
			t.Fatalf("%d held of %d bytes each, %.20q", base.n, len(value("a")), o.Bytes())
		}
	}
	if tx.Forget(); base.n != 0 {
		t.Errorf("%d held of a command that opened many", base.n)
	}
	if base.err = errors.New("broken disk"); tx.Open(0, []byte("a")) != nil || !errors.Is(tx.Err(), base.err) || base.n != 0 {
		t.Errorf("%v, %d held", tx.Err(), base.n)
	}
}
