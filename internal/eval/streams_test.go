package eval

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/group"
)

// TestReadersOfAStream: all who wait with XREAD get what comes, each what lies behind
// the id that it gave; of a group one gets it, and keeps it through leaders.
func TestReadersOfAStream(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATE s h $"))
	first, second, future := c.waits("XREAD BLOCK 0 STREAMS s 0"), c.waits("XREAD BLOCK 0 STREAMS other s 5 0-5"), c.waits("XREAD BLOCK 0 STREAMS s 9")
	mine, next, theirs := c.waits("XREADGROUP GROUP g a BLOCK 0 STREAMS s >"), c.waits("XREADGROUP GROUP g b BLOCK 0 STREAMS s >"), c.waits("XREADGROUP GROUP h a BLOCK 0 STREAMS s >")
	for _, g := range []*group.Group{first, second, future, mine, next, theirs} {
		b := c.evaluate(c.input(), g)
		if b.Replies[0].Status != group.Parked {
			t.Fatalf("%s: %v", g.Cmds[0].Args, b.Replies[0])
		}
		c.core.Kept()
		if b.Data != nil { // the consumer is there from now on
			c.apply(b)
			c.core.Applied(b)
		}
	}
	b := c.evaluate(c.input(), c.write("XADD s 1-1 f v"))
	var served []uint64
	for _, l := range b.Late {
		served = append(served, l.Seq)
		if got := text(l.Reply); !strings.Contains(got, "1-1") {
			t.Errorf("served %q", got)
		}
		if grouped := l.Seq >= mine.Seq; l.recorded != grouped {
			t.Errorf("waiter %d is recorded: %v", l.Seq, l.recorded)
		}
	}
	if want := fmt.Sprint([]uint64{first.Seq, second.Seq, mine.Seq, theirs.Seq}); fmt.Sprint(served) != want {
		t.Fatalf("served %v, want %s", served, want)
	}
	c.core.Kept()
	c.apply(b)
	c.core.Applied(b)
	if n := c.core.Waiters(); n != 2 {
		t.Errorf("%d wait", n)
	}
	c.reign()
	again := c.waits("XREADGROUP GROUP g a BLOCK 0 STREAMS s >")
	again.Wait.Seq = mine.Seq
	if b := c.evaluate(c.input(), again); b.Replies[0].Status != group.OK || !strings.Contains(text(b.Replies[0]), "1-1") {
		t.Errorf("registered with a later leader: %+v", b.Replies[0])
	}
}

// TestReadersLearnOfAnEnd: who waits for a group that goes is told, who waits for a
// stream goes on waiting.
func TestReadersLearnOfAnEnd(t *testing.T) {
	for _, end := range []string{"DEL s", "XGROUP DESTROY s g", "RENAME s other", "FLUSHALL", "SET s x"} {
		c := newTestCore(t)
		c.run(c.write("XGROUP CREATE s g $ MKSTREAM"))
		for _, g := range []*group.Group{c.waits("XREADGROUP GROUP g a BLOCK 0 STREAMS s >"), c.waits("XREAD BLOCK 0 STREAMS s 0")} {
			b := c.evaluate(c.input(), g)
			c.core.Kept()
			c.apply(b)
		}
		b := c.evaluate(c.input(), c.write(end))
		if len(b.Late) != 1 {
			t.Errorf("%s: %d are told", end, len(b.Late))
			continue
		}
		if got := text(b.Late[0].Reply); !strings.HasPrefix(got, "-NOGROUP") && !strings.HasPrefix(got, "-WRONGTYPE") {
			t.Errorf("%s: %q", end, got)
		}
	}
}

// TestManyReadersWhoFindNothing: readers who wait for what comes much later keep nobody
// behind them from being served, though one batch has no room to look at all of them.
func TestManyReadersWhoFindNothing(t *testing.T) {
	c := newTestCore(t)
	for range 25_000 {
		c.evaluate(c.input(), c.waits("XREAD BLOCK 0 STREAMS s 9"))
		c.core.Kept()
	}
	last := c.waits("XREAD BLOCK 0 STREAMS s 0")
	c.evaluate(c.input(), last)
	c.core.Kept()
	b := c.evaluate(c.input(), c.write("XADD s 1-1 f v"))
	for batches := 1; ; batches++ {
		c.core.Kept()
		if b.Data != nil {
			c.apply(b)
			c.core.Applied(b)
		} else {
			c.core.Confirmed(b)
		}
		if len(b.Late) > 0 || batches == 20 {
			t.Logf("after %d batches", batches)
			break
		}
		if !c.core.Due() {
			t.Fatal("nobody is served, and nothing is due")
		}
		b = c.evaluate(c.input())
	}
	if len(b.Late) != 1 || b.Late[0].Seq != last.Seq {
		t.Errorf("served %+v", b.Late)
	}
	if c.core.Due() {
		if b = c.evaluate(c.input()); len(b.Late) > 0 {
			t.Errorf("then served %+v", b.Late)
		}
		if c.core.Kept(); c.core.Due() {
			t.Error("it does not end")
		}
	}
}
