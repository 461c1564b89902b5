package shard

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// own has the shard own other slots, and waits until it does.
func (n *testNode) own(slots cluster.SlotRange) {
	n.t.Helper()
	n.must(n.host.SetSlots(n.t.Context(), testShard, slots))
	n.wait("other slots", func() bool { return n.info().First == slots.First && n.info().End == slots.End })
}

// claim returns a group of one line about one key, by the first descriptor.
func (n *testNode) claim(key, line string) *group.Group {
	n.seq++
	g := newGroup(n.session, n.seq, line)
	slot := int(keyspace.Slot([]byte(key)))
	g.Claim = group.Claim{Slots: cluster.SlotRange{First: slot, End: slot + 1}, Generation: 1}
	return g
}

// TestSlotsChange takes slots from a shard by an entry of its log, and gives them
// back: it refuses what is not its own, after a start too, and remembers nothing
// of keys that others may have changed.
func TestSlotsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alone := newTestNode(t, 1, 2) // of two voters
		if err := alone.host.SetSlots(t.Context(), testShard, cluster.AllSlots); !errors.Is(err, ErrNotLeader) {
			t.Errorf("without a leader: %v", err)
		}
		alone.stop()
		n := newTestNode(t, 1)
		n.lead()
		slot := int(keyspace.Slot([]byte("a")))
		without := cluster.SlotRange{First: 0, End: slot}
		n.want(n.run("SET a 1", "SET b 1", "SET a 1", "SET {a}t 1 PX 1000"), "+OK +OK +OK +OK ")
		n.own(without)
		refused := func(g *group.Group) {
			t.Helper()
			if r := n.do(g); r.Status != group.Moved || r.Owned == nil || r.Owned.Slots != without || r.Owned.Generation != 2 {
				t.Errorf("%+v, owned %+v", r, r.Owned)
			}
		}
		get := n.claim("a", "GET a")
		refused(get)
		again := *get
		again.Attempt++
		refused(&again)
		if r := n.do(n.claim("b", "GET b")); r.Status != group.OK || string(r.Replies[0]) != "$1\r\n1\r\n" {
			t.Errorf("a key in slots that stayed: %+v", r)
		}
		v, _, err := n.view(&Read{})
		n.must(err)
		if v.Owned.Slots != without || v.Owned.Generation != 2 {
			t.Errorf("a view shows %+v", v.Owned)
		}
		v.Release()
		time.Sleep(5 * time.Second)
		if got := n.keys(); got != 3 {
			t.Errorf("%d keys: what is others' was swept", got)
		}
		// Somebody else has the slots meanwhile, and deletes a.
		n.must(n.state.Rewrite(nil, [][]byte{n.rowOf("a")}))
		n.own(cluster.AllSlots)
		n.want(n.run("SETNX a 2", "GET a"), ":1 $1 2 ")
		time.Sleep(5 * time.Second)
		if got := n.keys(); got != 3 { // the deleted one is counted
			t.Errorf("%d keys: what expired meanwhile was not swept", got)
		}
		n.own(without)
		n.stop()
		n.open()
		n.start(2)
		n.lead()
		if r := n.do(n.claim("a", "GET a")); r.Status != group.Moved || r.Owned.Generation != 4 {
			t.Errorf("after a start: %+v, owned %+v", r, r.Owned)
		}
		n.stop()
	})
}
