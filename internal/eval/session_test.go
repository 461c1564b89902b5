package eval

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tutti/internal/group"
	"tutti/internal/store"
)

// outcomeOf is what a leader says of a sequence that comes again.
func (c *testCore) outcomeOf(session, seq uint64) string {
	c.t.Helper()
	s := c.core.sessions.byID[session]
	if s == nil {
		return "no session"
	}
	if seq <= s.acked {
		return "pruned"
	}
	o, ok := s.open[seq]
	if !ok {
		return "new"
	}
	if o.reply != nil {
		return text(*o.reply)
	}
	return text(c.replyOf(session, seq))
}

// replyOf reads what an entry recorded for a sequence.
func (c *testCore) replyOf(session, seq uint64) group.Reply {
	c.t.Helper()
	view := c.state.View(testShard, c.at, c.dbs, func() {})
	defer view.Release()
	reply, err := recorded(view, testShard, session, c.core.sessions.byID[session].open[seq].index, seq)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply
}

// TestSessionOutcomes checks what is found again: in the same term all, in
// another what had effects.
func TestSessionOutcomes(t *testing.T) {
	c := newTestCore(t)
	big := strings.Repeat("x", ReplyKeepMax)
	c.run(c.write("SET a "+big), c.write("GET nothing"), c.write("INCR n", "GET n"))
	c.run(c.write("GET a", "INCR n"))
	none := c.evaluate(c.input(), c.write("DEL nothing"))
	c.core.Remember(none)
	c.run(c.write("LPUSH l a b"))
	check := func(when string, want ...string) {
		t.Helper()
		for i, w := range want {
			if got := c.outcomeOf(testSession, uint64(i+1)); got != w && !(w == "long" && len(got) > ReplyKeepMax) {
				t.Errorf("%s, sequence %d: %.60q, want %q", when, i+1, got, w)
			}
		}
	}
	check("same term", "+OK ", "$-1 ", ":1 $1 1 ", "long", ":0 ", ":2 ", "new")
	c.reign()
	check("next term", "+OK ", "new", ":1 $1 1 ", "dropped :2 ", "new", ":2 ", "new")
	c.core.sessions.byID[testSession].ack(3)
	check("acknowledged", "pruned", "pruned", "pruned", "dropped :2 ", "new", ":2 ")
	c.reign()
	check("an acknowledgement alone is not recorded", "+OK ", "new", ":1 $1 1 ")
}

// TestRecordedBounds checks what is kept of large replies: each up to its own
// bound, and those of an entry up to theirs, the largest dropped first.
func TestRecordedBounds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		groups [][]int // sizes of values that are read, per group
		want   []string
	}{
		{"each alone", [][]int{{10, ReplyKeepMax, 20}, {ReplyKeepMax / 2}}, []string{"ok dropped ok ok", "ok ok"}},
		{"many below the bound", [][]int{slices.Repeat([]int{recordMax / 32}, 31)}, []string{strings.Repeat("ok ", 31) + "ok"}},
		{"the largest of an entry", [][]int{
			slices.Repeat([]int{recordMax / 64}, 20),
			append(slices.Repeat([]int{recordMax / 32}, 40), 5),
		}, []string{strings.Repeat("ok ", 20) + "ok", strings.Repeat("dropped ", 40) + "ok ok"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestCore(t)
			for _, g := range tt.groups {
				for _, size := range g {
					c.run(c.write(fmt.Sprintf("SET k%d %s", size, strings.Repeat("x", size))))
				}
			}
			var groups []*group.Group
			for _, g := range tt.groups {
				var lines []string
				for _, size := range g {
					lines = append(lines, fmt.Sprintf("GET k%d", size))
				}
				groups = append(groups, c.write(append(lines, "INCR n")...))
				groups[len(groups)-1].Room = group.RepliesMax
			}
			c.run(groups...)
			size := len(c.rows("r")[len(c.rows("r"))-1]) / 2 // in hexadecimal
			if size > recordMax+64<<10 {
				t.Errorf("the row has %d bytes", size)
			}
			c.reign()
			for i, g := range groups {
				var got []string
				for _, p := range c.replyOf(testSession, g.Seq).Replies {
					if len(p) == 0 {
						got = append(got, "dropped")
					} else {
						got = append(got, "ok")
					}
				}
				if strings.Join(got, " ") != tt.want[i] {
					t.Errorf("group %d: %q, want %q", i, got, tt.want[i])
				}
			}
		})
	}
}

// TestSessionPrune checks that rows go with a recorded floor that covers them,
// and only so.
func TestSessionPrune(t *testing.T) {
	c := newTestCore(t)
	count := func() int { return len(c.rows("r")) }
	c.run(c.write("INCR a"), c.write("INCR a"))
	c.run(c.write("INCR a"))
	c.run(c.write("INCR a"))
	if n := count(); n != 3 {
		t.Fatalf("%d rows for three entries", n)
	}
	s := c.core.sessions.byID[testSession]
	s.ack(1)
	c.run(c.write("INCR a"))
	if n := count(); n != 4 || s.floor != 1 {
		t.Errorf("%d rows, floor %d: half of a row was acknowledged", n, s.floor)
	}
	s.ack(3)
	b := c.evaluate(c.input(), c.write("GET a"))
	if b.Data != nil {
		t.Error("an acknowledgement alone makes an entry")
	}
	if n := count(); n != 4 {
		t.Errorf("%d rows", n)
	}
	c.run(c.write("INCR a"))
	if n := count(); n != 3 || s.floor != 3 || len(s.rows) != 3 {
		t.Errorf("%d rows, %d in memory, floor %d", n, len(s.rows), s.floor)
	}
	c.reign()
	s = c.core.sessions.byID[testSession]
	if s.floor != 3 || s.acked != 3 || len(s.rows) != 3 || c.outcomeOf(testSession, 4) != ":4 " || c.outcomeOf(testSession, 3) != "pruned" {
		t.Errorf("a later leader finds floor %d, %d rows, %q", s.floor, len(s.rows), c.outcomeOf(testSession, 4))
	}
}

// TestSessionManyPruned keeps the rows and the memory of a long session small.
func TestSessionManyPruned(t *testing.T) {
	c := newTestCore(t)
	for range 300 {
		c.core.sessions.byID[testSession].ack(c.seq)
		c.run(c.write("INCR a"), c.write("GET a"))
	}
	s := c.core.sessions.byID[testSession]
	if n := len(c.rows("r")); n > 2 || len(s.open) > 4 || len(s.rows) > 2 {
		t.Errorf("%d rows, %d outcomes, %d rows in memory", n, len(s.open), len(s.rows))
	}
}

// TestSessionIncarnations ends a session by a newer one of its node, however
// the two meet.
func TestSessionIncarnations(t *testing.T) {
	refused := fmt.Sprint("status ", group.NoSession)
	second, other := group.SessionID(1, 2), group.SessionID(2, 1)
	for _, c := range []struct {
		name string
		do   func(c *testCore)
	}{
		{"before", func(c *testCore) {
			c.run(&group.Group{Session: second, Open: true})
			c.want(c.run(newGroup(testSession, 9, "INCR a")), refused)
		}},
		{"in the same batch", func(c *testCore) {
			c.core.sessions.byID[testSession].ack(1)
			c.want(c.run(&group.Group{Session: second, Open: true}, newGroup(testSession, 9, "INCR a"), newGroup(other, 2, "INCR b")), "", refused, ":2 ")
		}},
		{"its own opening is late", func(c *testCore) {
			c.want(c.run(&group.Group{Session: second, Open: true}, &group.Group{Session: testSession, Open: true}), "", refused)
		}},
		{"twice", func(c *testCore) {
			c.run(&group.Group{Session: second, Open: true}, &group.Group{Session: second, Open: true})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tc := newTestCore(t)
			tc.run(tc.write("INCR n"))
			tc.run(&group.Group{Session: other, Open: true})
			tc.run(newGroup(other, 1, "INCR b"))
			c.do(tc)
			check := func(when string) {
				t.Helper()
				if s := tc.core.sessions; s.byID[testSession] != nil || s.byID[second] == nil || s.nodes[1] != 2 || s.byID[other] == nil {
					t.Errorf("%s the sessions are %v", when, s.byID)
				}
			}
			check("at once")
			for _, row := range tc.rows("sr") {
				if strings.Contains(row, fmt.Sprintf(" %016x", testSession)) {
					t.Errorf("row %s is left", row)
				}
			}
			tc.reign()
			check("later")
			if got := tc.outcomeOf(other, 1); got != ":1 " {
				t.Errorf("another node's outcome is %q", got)
			}
		})
	}
}

// TestRecordedDamage finds no reply in what is no row of replies.
func TestRecordedDamage(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("INCR a"))
	view := c.state.View(testShard, c.at, c.dbs, func() {})
	defer view.Release()
	if _, err := recorded(view, testShard, testSession, c.at.Index+1, 1); err == nil {
		t.Error("a reply of an entry that is not there")
	}
	val := appendRecorded(nil, 1, [][]byte{[]byte(":1\r\n")}, ReplyKeepMax)
	for n := range val[1:] {
		if n == 0 {
			continue // a row of no groups
		}
		if err := eachRecorded(val[:n+1], func(uint64, []byte) {}); err == nil {
			t.Errorf("%d bytes of %d are a row", n+1, len(val))
		}
	}
	val[0]++
	if err := eachRecorded(val, func(uint64, []byte) {}); !errors.Is(err, store.ErrFormat) {
		t.Errorf("a row of a later version: %v", err)
	}
	if rows := c.rows("n"); !slices.Equal(rows, []string{fmt.Sprintf("n %016x %016x", 1, 1)}) {
		t.Errorf("rows %q", rows)
	}
}
