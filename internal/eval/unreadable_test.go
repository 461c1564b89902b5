package eval

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// keyRow is the object row of a key in database 0.
func keyRow(t *testing.T, key string) []byte {
	t.Helper()
	var found []byte
	tx := keyspace.NewTx(noRows{}, keyspace.Env{Databases: keyspace.NewDatabases()})
	tx.SetString(0, []byte(key), nil, []byte("v"), 0)
	tx.Effects(func(row, _ []byte) { found = bytes.Clone(row) }, func([]byte) {})
	return found
}

// noRows is a state without any row.
type noRows struct{}

func (noRows) Get(_, dst []byte) ([]byte, bool, error)     { return dst, false, nil }
func (noRows) Iter(_, _ []byte) (keyspace.Iterator, error) { return nil, errors.New("not here") }
func (noRows) Keys(_ uint32) (int64, error)                { return 0, nil }

// plant writes a row into the state, as no command would.
func plant(t *testing.T, s *store.State, at store.Applied, row, val []byte) store.Applied {
	t.Helper()
	w := store.NewWriteSet(at.Time, len(val))
	w.Put(row, val)
	b := s.NewBatch()
	at, err := b.Apply(testShard, at, at.Index+1, at.Term, w)
	if err == nil {
		err = b.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// unreadableRows are what a state may hold by a bug, or by a later version.
var unreadableRows = []struct {
	name, row string
	code      string
	says      string
}{
	{"a later type", "\x09\x63 whatever that is", "NEEDVERSION", "version 99"},
	{"a later flag", "\x21\x63", "NEEDVERSION", "version 99"},
	{"a string in parts cut short", "\x21\x06\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x02", "BADROW", "string in parts"},
	{"an unknown type", "\x09\x00\x00\x00\x00\x00\x00\x00\x01", "BADROW", `key "k"`},
	{"nothing", "", "BADROW", "0 bytes"},
	{"no version", "\x01\x00\x00", "BADROW", "3 bytes"},
	{"a packed hash cut short", "\x45\x00\x00\x00\x00\x00\x00\x00\x01\x01f\x09v", "BADROW", "packed element"},
	{"a packed sorted set in disorder", "\x44\x00\x00\x00\x00\x00\x00\x00\x01" + strings.Repeat("\x40\x00\x00\x00\x00\x00\x00\x00\x01m", 2), "BADROW", "order"},
	{"a list beyond all positions", "\x02\x00\x00\x00\x00\x00\x00\x00\x01" + "\x00\x00\x00\x00\x00\x00\x00\x01\x09\xff\xff\xff\xff\xff\xff\xff\xff", "BADROW", "positions"},
}

// TestCoreUnreadable refuses commands on a key whose row can't be read, and
// evaluates all others, of the same group even.
func TestCoreUnreadable(t *testing.T) {
	for _, u := range unreadableRows {
		t.Run(u.name, func(t *testing.T) {
			c := newTestCore(t)
			met := 0
			c.core.cfg.Unreadable = func(*keyspace.RowError) { met++ }
			c.run(c.write("SET other 1"))
			c.at = plant(t, c.state, c.at, keyRow(t, "k"), []byte(u.row))
			for _, line := range []string{"GET k", "SET k v", "DEL k", "INCR k", "HSET k f v", "ZADD k 1 m", "LPUSH k e", "EXPIRE k 10", "RENAME k {k}2", "EXISTS k", "TYPE k", "COPY k {k}3", "DUMP k", "SETRANGE k 5 x"} {
				before := met
				got := c.run(c.write("INCR other", line, "INCR other"))[0]
				if !strings.Contains(got, " -"+u.code+" ") || !strings.Contains(got, u.says) || !strings.Contains(got, "Not applied") {
					t.Errorf("%s: %q", line, got)
				}
				if met != before+1 {
					t.Errorf("%s: reported %d times", line, met-before)
				}
			}
			c.want(c.run(c.write("GET other", "MGET other none")), "$2 29 *2 $2 29 $-1 ")
			if got := c.run(c.write("KEYS *"))[0]; !strings.Contains(got, " k ") {
				t.Errorf("a walk over all keys finds %q", got)
			}
			val, ok, err := c.state.Newest(testShard, c.at.Index).Get(keyRow(t, "k"), nil)
			if err != nil || !ok || string(val) != u.row {
				t.Errorf("the row is now %q, %v", val, err)
			}
			// A new leader finds the same, and a flush gets rid of it.
			c.reign()
			c.core.cfg.Unreadable = func(*keyspace.RowError) { met++ }
			c.run(c.write("FLUSHDB"))
			in := c.input()
			in.Sweep = func(tx *keyspace.Tx) {
				for next, done := 0, false; !done; {
					next, done = tx.PurgeDatabase(c.dbs.Trash()[0], next, keyspace.Slots, 100)
				}
			}
			c.apply(c.evaluate(in))
			if _, ok, _ := c.state.Newest(testShard, c.at.Index).Get(keyRow(t, "k"), nil); ok {
				t.Error("the row is still there")
			}
		})
	}
}

// TestCoreUnreadableWatch takes an unreadable row as a version like any other.
func TestCoreUnreadableWatch(t *testing.T) {
	c := newTestCore(t)
	c.at = plant(t, c.state, c.at, keyRow(t, "k"), []byte("\x09\x63"))
	v := c.view()
	w := group.Watch{Key: []byte("k")}
	w.Version, w.Exists = keyspace.NewReadTx(v, keyspace.Env{Databases: c.dbs}).KeyVersion(0, w.Key)
	v.Release()
	exec := func() *group.Group {
		g := c.write("INCR n")
		g.Atomic, g.Watches = true, []group.Watch{w}
		return g
	}
	c.want(c.run(exec()), ":1 ")
	c.at = plant(t, c.state, c.at, keyRow(t, "k"), []byte("\x09\x64"))
	c.want(c.run(exec()), fmt.Sprint("status ", group.WatchFailed))
}

// TestCoreUnreadableDeadline removes the deadline of a key that can't be read, and
// goes on with other keys.
func TestCoreUnreadableDeadline(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET {a}k v PX 10", "SET {a}other v PX 20"))
	c.at = plant(t, c.state, c.at, keyRow(t, "{a}k"), []byte("\x09\x63"))
	c.now += 100
	in := c.input()
	swept := 0
	in.Sweep = func(tx *keyspace.Tx) { swept = tx.Expire(keyspace.Slot([]byte("a")), 10) }
	c.apply(c.evaluate(in))
	if _, ok, err := keyspace.NextDeadline(c.state.Newest(testShard, c.at.Index), keyspace.Slot([]byte("a"))); swept != 2 || ok || err != nil {
		t.Errorf("%d swept, a deadline is left: %v, %v", swept, ok, err)
	}
	c.want(c.run(c.write("DBSIZE")), ":1 ")
}

// TestCoreUnreadableCount refuses what would change a number of keys that can't
// be read; what changes none goes on.
func TestCoreUnreadableCount(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET a 1"))
	c.at = plant(t, c.state, c.at, store.CountRow(testShard, 0), []byte("short"))
	for _, line := range []string{"SET new 1", "DEL a", "FLUSHDB", "FLUSHALL", "DBSIZE"} {
		if got := c.run(c.write(line))[0]; !strings.HasPrefix(got, "-BADROW number of keys in shard 3 ") {
			t.Errorf("%s: %q", line, got)
		}
	}
	c.want(c.run(c.write("INCR a", "GET a")), ":2 $1 2 ")
}

// TestCoreCountFails makes the number of keys unreadable for a moment: nothing of
// the batch may become an entry, as it would replicate a wrong number, and FLUSHDB
// must not say OK.
func TestCoreCountFails(t *testing.T) {
	for _, line := range []string{"FLUSHDB", "FLUSHALL", "DBSIZE", "SET new 1", "DEL a", "SADD s m", "RENAME a {a}b"} {
		t.Run(line, func(t *testing.T) {
			c := newTestCore(t)
			c.run(c.write("SET a 1", "SET b 1"))
			broken := errors.New("broken disk")
			in := c.input()
			in.Keys = func(uint32) (int64, error) { return 0, broken }
			if b, _, err := c.core.Evaluate(in, []Waiting{{Group: c.write(line)}}); !errors.Is(err, broken) {
				t.Errorf("a batch %+v, %v", b, err)
			}
			c.want(c.run(c.write("DBSIZE")), ":2 ")
		})
	}
}

// TestHeavyUnreadable evaluates a group beside the loop that meets a row which
// can't be read: the command fails, the group comes to its end.
func TestHeavyUnreadable(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	c.at = plant(t, c.state, c.at, keyRow(t, "k"), []byte("\x09\x63"))
	g := c.write("SUNIONSTORE u a b", "GET k")
	if got := c.runAll(c.prepare(g))[0]; !strings.HasPrefix(got, ":18000 -NEEDVERSION ") {
		t.Errorf("%q", got)
	}
}
