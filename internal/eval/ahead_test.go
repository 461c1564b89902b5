package eval

import (
	"fmt"
	"testing"

	"tutti/internal/keyspace"
)

// toldState is a state that checks whether it was told of what it is asked for.
type toldState struct {
	keyspace.Reader
	told     map[string]bool
	unawares []string // keys that were looked up and had not been expected
	asked    int
}

func (s *toldState) Expect(rows [][]byte) bool {
	for _, row := range rows {
		s.told[string(row)] = true
	}
	return true
}

func (s *toldState) Get(row, dst []byte) ([]byte, bool, error) {
	if key, _, is := keyspace.ObjectKey(row); is {
		if s.asked++; !s.told[string(row)] {
			s.unawares = append(s.unawares, string(key))
		}
	}
	return s.Reader.Get(row, dst)
}

// TestKeysAreExpected has the state told of the keys of all commands before they are
// evaluated, be they in many groups or in a large one, but of those that are only
// replaced.
func TestKeysAreExpected(t *testing.T) {
	c := newTestCore(t)
	q := queue(c.write("EVAL return(redis.call('get',KEYS[2])) 2 first second"), c.write("SET blind 1", "NOSUCH a b"))
	for i := range 50 {
		q = append(q, Waiting{Group: c.write(fmt.Sprintf("INCR one-%d", i))})
	}
	large := c.write()
	for i := range 320 {
		large.Cmds = append(large.Cmds, c.write(fmt.Sprintf("HSET many-%d f 1", i), fmt.Sprintf("MGET a-%d b-%d", i, i)).Cmds...)
	}
	q = append(q, Waiting{Group: large})

	in := c.input()
	state := &toldState{Reader: in.State, told: make(map[string]bool)}
	in.State = state
	b := c.evaluateAll(in, q)
	if len(state.unawares) != 1 || state.unawares[0] != "blind" {
		t.Errorf("not expected were %q", state.unawares)
	}
	if want := 1 + 1 + 50 + 3*320; state.asked != want {
		t.Errorf("%d keys were looked up, want %d", state.asked, want)
	}
	if r := text(b.Replies[2]); r != ":1 " {
		t.Errorf("INCR: %q", r)
	}
}
