package server

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/group"
)

// crew makes clients with commands for the shard 1.
type crew struct {
	t   *testing.T
	s   *Server
	all []*conn
}

func newCrew(t *testing.T) *crew {
	return &crew{t: t, s: newTestServer(t)}
}

func (w *crew) client(lines ...string) *conn {
	w.t.Helper()
	c := &conn{s: w.s, id: uint64(len(w.all))}
	c.session.init(&c.face, w.s.cfg.Users.Set())
	c.lanes = newLanes(c)
	c.seat.c, c.seat.here = c, true
	for _, line := range lines {
		args := words(line)
		cmd, text := w.s.cfg.Table.Lookup(args)
		if cmd == nil {
			w.t.Fatal(text)
		}
		c.pipeline.pending = append(c.pipeline.pending, pending{cmd: cmd, args: args})
	}
	place(testMap(w.t, 0), c.pipeline.pending)
	c.seat.writes = len(lines)
	w.all = append(w.all, c)
	return c
}

func (w *crew) groups() (all []*together) {
	for _, c := range w.all {
		all = addWriter(all, 1, c)
	}
	return all
}

// The commands of clients go together up to what one group may have, each client's
// whole and in order; clients of the two protocols don't.
func TestGroupsOfManyClients(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	w := newCrew(t)
	for i := range 300 {
		var lines []string
		for n := range 1 + r.IntN(40) {
			lines = append(lines, fmt.Sprintf("SET k%d.%d %s", i, n, strings.Repeat("v", 1+r.IntN(2000))))
		}
		c := w.client(lines...)
		c.session.proto = 2 + i%2
		c.session.users = w.s.cfg.Users.Set()
	}
	groups := w.groups()
	seen := 0
	for _, g := range groups {
		args, bytes, at := 0, 0, 0
		for _, cmd := range g.g.Cmds {
			args += len(cmd.Args)
			bytes += argsBytes(cmd.Args)
		}
		if len(g.parts) > 1 && (len(g.g.Cmds) > group.CommandsMax || bytes > group.BytesMax || args > argsTogetherMax) {
			t.Errorf("a group of %d clients has %d commands, %d arguments, %d bytes", len(g.parts), len(g.g.Cmds), args, bytes)
		}
		if args != g.args || bytes != g.bytes {
			t.Errorf("%d arguments of %d bytes were counted, there are %d of %d", g.args, g.bytes, args, bytes)
		}
		for _, p := range g.parts {
			if p.c.session.proto != int(g.g.Proto) {
				t.Errorf("client %d speaks another protocol than its group", p.c.id)
			}
			for i := range p.n {
				if want := p.c.pipeline.pending[i].args[1]; string(g.g.Cmds[at].Args[1]) != string(want) {
					t.Fatalf("command %d of client %d is %q", i, p.c.id, g.g.Cmds[at].Args)
				}
				at++
			}
			seen++
		}
	}
	if seen != len(w.all) || len(groups) > 30 {
		t.Errorf("%d of %d clients are in %d groups", seen, len(w.all), len(groups))
	}
}

// A group claims what all of its clients do: all their slots, the oldest of their
// maps, and the oldest users by whose rights one of them was let in.
func TestClaimOfManyClients(t *testing.T) {
	t.Parallel()
	a := group.Claim{Slots: cluster.SlotRange{First: 5, End: 6}, Generation: 3, Users: 9}
	b := group.Claim{Slots: cluster.SlotRange{First: 2, End: 3}, Generation: 4, Users: 7}
	want := group.Claim{Slots: cluster.SlotRange{First: 2, End: 6}, Generation: 3, Users: 7}
	if got := joined(a, b); got != want {
		t.Errorf("got %+v", got)
	}
	if got := joined(b, a); got != want {
		t.Errorf("got %+v the other way round", got)
	}
}

// A client whose commands were left out because others' replies were large sends
// them again by itself; one whose own replies are too large is told so, as ever.
func TestRepliesOfOthersCountForNobody(t *testing.T) {
	t.Parallel()
	w := newCrew(t)
	left := []byte("-" + group.TextReplies + "\r\n")
	done := func(c *conn) (n int) {
		for _, p := range c.pipeline.pending {
			if p.done {
				n++
			}
		}
		return n
	}
	others := w.client("SET a 1", "SET b 1", "GET a")
	if answerOwn(others.pipeline.pending, [][]byte{[]byte("+OK\r\n"), left, left}) || done(others) != 1 {
		t.Errorf("%d commands were answered, of which one was executed", done(others))
	}
	own := w.client("GET huge", "SET b 1")
	if !answerOwn(own.pipeline.pending, [][]byte{make([]byte, group.RepliesMax+1), left}) || done(own) != 2 {
		t.Errorf("%d commands were answered, want both", done(own))
	}
}

// What goes to the shard's loop ends with the last write, unless there is nothing
// here to read from.
func TestWritesOf(t *testing.T) {
	t.Parallel()
	w := newCrew(t)
	for _, c := range []struct {
		lines string
		away  bool
		want  int
	}{{"GET a", false, 0}, {"GET a", true, 1}, {"SET a 1,GET a", false, 1}, {"GET a,SET a 1", false, 2}, {"GET a,SET a 1,GET a,GET b", true, 4}} {
		if got := writesOf(w.client(strings.Split(c.lines, ",")...).pipeline.pending, c.away); got != c.want {
			t.Errorf("%s: %d", c.lines, got)
		}
	}
}

// What a client goes to a goroutine with are the commands that were not executed,
// whose replies come behind those of the others.
func TestOnlyWhatIsLeftIsExecuted(t *testing.T) {
	t.Parallel()
	w := newCrew(t)
	c := w.client("SET a 1", "INCR a", "SET b 1", "INCR b")
	for i, reply := range []string{"+OK\r\n", ":2\r\n"} {
		c.pipeline.pending[i].answer([]byte(reply))
	}
	c.seat.began = time.Now()
	c.seat.settle()
	var left []string
	for _, p := range c.pipeline.pending {
		left = append(left, string(p.args[0])+" "+string(p.args[1]))
	}
	if got := strings.Join(left, ", "); got != "SET b, INCR b" || string(c.out.replies) != "+OK\r\n:2\r\n" {
		t.Errorf("left are %s, the replies are %q", got, c.out.replies)
	}
}
