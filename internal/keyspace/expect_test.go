package keyspace

import (
	"fmt"
	"slices"
	"testing"
)

// told is a Reader without rows that remembers what it was told of and asked for.
type told struct {
	expected, asked []string
	useless         bool
}

func (r *told) Expect(rows [][]byte) bool {
	for _, row := range rows {
		r.expected = append(r.expected, string(row))
	}
	return !r.useless
}

func (r *told) Get(row, dst []byte) ([]byte, bool, error) {
	r.asked = append(r.asked, string(row))
	return dst, false, nil
}

func (r *told) Iter(lower, upper []byte) (Iterator, error) { panic("nobody walks") }

// TestExpectedRowsAreThoseAskedFor has keys expected and then opened.
func TestExpectedRowsAreThoseAskedFor(t *testing.T) {
	dbs := NewDatabases().Flush(3).Swap(3, 5)
	r := new(told)
	tx := NewReadTx(r, Env{Databases: dbs})
	var x Expected
	for round := range 2 {
		n := 0
		for ; !x.Full(); n++ {
			x.Add(dbs, uint8(n%6), fmt.Appendf(nil, "key %d.%d", round, n))
		}
		x.Add(dbs, 0, make([]byte, expectedKey+1)) // too long to be looked at twice
		for ; round > 0 && n < expectedMax; n++ {  // of one command
			x.Add(dbs, uint8(n%6), fmt.Appendf(nil, "key %d.%d", round, n))
		}
		if round > 0 {
			x.Add(dbs, 0, []byte("one too many"))
		}
		x.Tell(r)
		if n != []int{expectedFull, expectedMax}[round] || len(r.expected) != n {
			t.Fatalf("round %d: %d keys were added, and %d told", round, n, len(r.expected))
		}
		for i := range n {
			tx.Open(uint8(i%6), fmt.Appendf(nil, "key %d.%d", round, i))
		}
		if !slices.Equal(r.asked, r.expected) {
			t.Fatalf("expected were\n%q\nasked for\n%q", r.expected, r.asked)
		}
		*r = told{}
	}
	x.Tell(r)
	if r.expected != nil {
		t.Fatalf("told twice of %q", r.expected)
	}
	r.useless = true
	for range 2 + expectedRest { // once, and once more in the end
		x.Add(dbs, 0, []byte("k"))
		x.Tell(r)
	}
	if len(r.expected) != 2 {
		t.Fatalf("told of %d keys, none of which was of use", len(r.expected))
	}
}

// TestQueuedRows knows the elements of lists from the rows of keys, entries and garbage.
func TestQueuedRows(t *testing.T) {
	for _, c := range []struct {
		name string
		row  []byte
		want bool
	}{
		{"element", listRow(nil, 7, 1<<48, 1<<63), true},
		{"key", objectRow(nil, 7, 1, []byte("12345678")), false},
		{"field", subRow(nil, 7, 1<<48, []byte("a field")), false},
		{"score", scorePrefix(nil, 7, 1<<48), false},
		{"runs", subPrefix(nil, 7, 1<<48), false},
	} {
		if got := Queued(c.row); got != c.want {
			t.Errorf("%s, %x: %v", c.name, c.row, got)
		}
	}
}
