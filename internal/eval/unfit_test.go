package eval

import (
	"strings"
	"testing"

	"tutti/internal/command"
	"tutti/internal/group"
)

// A command whose reply has no room is taken back, nothing behind it is evaluated, and the
// sender hears how much it needs. A transaction is taken back whole.
func TestRepliesWithoutRoomAreTakenBack(t *testing.T) {
	c := newTestCore(t)
	const size = 2 * group.RepliesFree
	c.run(c.write("SET k "+strings.Repeat("x", size), "SET n 1"))
	refused := "-" + command.TextNoReply + "\r\n"
	send := func(atomic bool, room int, lines ...string) group.Reply {
		g := c.write(lines...)
		g.Atomic, g.Room = atomic, room
		b := c.evaluate(c.input(), g)
		c.apply(b)
		return b.Replies[0]
	}
	r := send(false, 0, "INCR n", "GETDEL k", "INCR n")
	if r.Status != group.OK || r.Unfit.From != 1 || r.Unfit.Need < size || r.Unfit.Need > size+20 || string(r.Replies[0]) != ":2\r\n" ||
		string(r.Replies[1]) != refused || string(r.Replies[2]) != refused {
		t.Errorf("%+v %.80q", r.Unfit, r.Replies)
	}
	need := r.Unfit.Need
	if again := c.replyOf(testSession, r.Seq); string(again.Replies[0]) != ":2\r\n" || string(again.Replies[1]) != refused {
		t.Errorf("a repetition: %.80q", again.Replies)
	}
	if r = send(true, 0, "INCR n", "GETDEL k", "INCR n"); r.Status != group.Undone || r.Unfit.From != 0 || r.Unfit.Need <= need || len(r.Replies) != 1 {
		t.Errorf("a transaction: %d %+v %.80q", r.Status, r.Unfit, r.Replies)
	}
	if r = send(false, 0, "STRLEN k", "GET n"); string(r.Replies[0]) != ":524288\r\n" || string(r.Replies[1]) != "$1\r\n2\r\n" {
		t.Errorf("after them: %q", r.Replies)
	}
	if r = send(true, need+100, "INCR n", "GETDEL k", "INCR n"); r.Status != group.OK || r.Unfit.Need != 0 || string(r.Replies[2]) != ":4\r\n" || len(r.Replies[1]) < size {
		t.Errorf("with room: %d %+v", r.Status, r.Unfit)
	}
	for range 20 { // more than a frame can bring
		c.run(c.write("RPUSH l " + strings.Repeat("x", 1<<20)))
	}
	large := "-" + group.TextReplyLarge + "\r\n"
	if r = send(false, 1<<30, "LPOP l 20", "INCR n"); r.Unfit.Need != 0 || string(r.Replies[0]) != large || string(r.Replies[1]) != ":5\r\n" {
		t.Errorf("%+v %.80q", r.Unfit, r.Replies)
	}
	if r = send(true, 1<<30, "INCR n", "LPOP l 20"); r.Status != group.Undone || r.Unfit.Need != 0 || string(r.Replies[0]) != large {
		t.Errorf("%d %+v %.80q", r.Status, r.Unfit, r.Replies)
	}
	if r = send(false, 1<<30, "LRANGE l 0 -1"); r.Unfit.Need <= group.RepliesEnd {
		t.Errorf("a read: %+v %.80q", r.Unfit, r.Replies)
	}
	if r = send(false, 0, "LLEN l", "GET n"); string(r.Replies[0]) != ":20\r\n" || string(r.Replies[1]) != "$1\r\n5\r\n" {
		t.Errorf("at the end: %q", r.Replies)
	}
}
