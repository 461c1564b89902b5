package eval

import (
	"bytes"
	"testing"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// TestForeignKeys refuses commands for slots that are another shard's, written or
// read, and a transaction as a whole.
func TestForeignKeys(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET a 1", "SET b 1"))
	slot := int(keyspace.Slot([]byte("a")))
	owned := cluster.SlotRange{First: slot, End: slot + 1}
	c.slots = owned
	no := "-" + TextForeign + " "
	c.want(c.run(c.write("GET a", "SET b 2", "GET b", "MSET a 2 b 2", "DBSIZE")), "$1 1 "+no+no+no+":2 ")
	exec := func(watch string, lines ...string) *group.Group {
		g := c.write(lines...)
		g.Atomic = true
		if watch != "" {
			g.Watches = []group.Watch{{Key: []byte(watch), Version: c.at.Index, Exists: true}}
		}
		return g
	}
	c.want(c.run(exec("", "SET a 3", "SET b 3")), no+no)
	c.want(c.run(exec("", "SET a 3", "GET a")), "+OK $1 3 ")
	c.want(c.run(exec("a", "GET a"), exec("b", "GET a")), "$1 3 ", "status 6")

	v := c.view()
	defer v.Release()
	v.Slots = owned
	args := func(key string) [][]byte { return [][]byte{[]byte("GET"), []byte(key)} }
	get, _ := c.core.cfg.Table.Lookup(args("a"))
	_, err := Over(v, c.now, nil, nil, func(r Reads) {
		if got := r.Run(get, 0, 2, args("a")); !bytes.Equal(got, []byte("$1\r\n3\r\n")) {
			t.Errorf("read %q", got)
		}
		if got := r.Run(get, 0, 2, args("b")); !bytes.Equal(got, []byte("-"+TextForeign+"\r\n")) {
			t.Errorf("read of another shard's key %q", got)
		}
		if r.Unchanged(&group.Watch{Key: []byte("b")}) || !r.Unchanged(&group.Watch{Key: []byte("a"), Version: c.at.Index, Exists: true}) {
			t.Error("watched keys")
		}
	})
	if err != nil {
		t.Error(err)
	}
}
