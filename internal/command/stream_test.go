package command

import (
	"fmt"
	"strings"
	"testing"
)

// TestIDsAreGivenOnce: entries that come in one millisecond have ids that grow, also
// when the last of them is gone.
func TestIDsAreGivenOnce(t *testing.T) {
	b := newBench(t)
	seq := 0
	add := func() {
		t.Helper()
		if got, want := b.do("XADD s * f v"), fmt.Sprintf(`"%d-%d"`, b.now, seq); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		seq++
	}
	add()
	add()
	b.do(fmt.Sprintf("XDEL s %d-1", b.now))
	add()
	b.do("XTRIM s MAXLEN 0")
	add()
	b.now++
	seq = 0
	add()
	if got := b.batch("XADD s * f v", "XADD s * f v", "XLEN s"); got[0] == got[1] || got[2] != "(integer) 4" {
		t.Errorf("in one batch: %q", got)
	}
}

// TestIDsBeginAnew lets ids of an empty stream begin anew, where entries that were
// trimmed are still to be removed: what is added then stays.
func TestIDsBeginAnew(t *testing.T) {
	b := newBench(t)
	b.do("XGROUP CREATE s g 0 MKSTREAM")
	for i := range 300 {
		b.do(fmt.Sprintf("XADD s %d f v", i+1))
	}
	if got := b.batch("XTRIM s MAXLEN 0", "XLEN s", "XRANGE s - +", "XADD s 200 f v", "XSETID s 5", "XADD s 10 f v"); got[0] != "(integer) 300" || got[2] != "(empty array)" || !strings.HasPrefix(got[3], "(error)") || got[5] != `"10-0"` {
		t.Errorf("%q", got)
	}
	for b.purge(100) > 0 {
	}
	if got := b.do("XRANGE s - +"); got != "1) 1) \"10-0\"\n   2) 1) \"f\"\n      2) \"v\"" {
		t.Error(got)
	}
	if got := b.do("XREADGROUP GROUP g c STREAMS s >"); !strings.Contains(got, "10-0") {
		t.Errorf("the group is gone: %s", got)
	}
	b.do("DEL s")
	for b.purge(100) > 0 {
	}
	if left := b.rows(); len(left) != 1 {
		t.Errorf("%d rows are left", len(left))
	}
}

// TestWhenConsumersWereThere: a consumer exists once it has asked, and it is told when
// it last asked, and when it last got something.
func TestWhenConsumersWereThere(t *testing.T) {
	b := newBench(t)
	b.do("XGROUP CREATE s g $ MKSTREAM")
	look := func(idle, inactive int) {
		t.Helper()
		got := b.do("XINFO CONSUMERS s g")
		if want := fmt.Sprintf("6) (integer) %d\n   7) \"inactive\"\n   8) (integer) %d", idle, inactive); !strings.Contains(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	b.do("XREADGROUP GROUP g c STREAMS s >")
	b.now += 7
	look(7, -1)
	b.do("XADD s 1-1 f v")
	b.do("XREADGROUP GROUP g c STREAMS s >")
	b.now += 3
	look(3, 3)
	b.do("XREADGROUP GROUP g c STREAMS s >")
	b.now += 2
	look(2, 5)
	b.do("XCLAIM s g c 0 1-1")
	look(0, 0)
	if got := b.do("XPENDING s g IDLE 1 - + 10"); got != "(empty array)" {
		t.Error(got)
	}
	b.now += 1
	if got := b.do("XPENDING s g IDLE 1 - + 10 c"); !strings.Contains(got, "1-1") {
		t.Error(got)
	}
	if got := b.do("XAUTOCLAIM s g d 2 0"); !strings.Contains(got, "0-0") || strings.Contains(got, "1-1") {
		t.Error(got)
	}
	b.now += 1
	if got := b.do("XAUTOCLAIM s g d 2 0"); !strings.Contains(got, "1-1") {
		t.Error(got)
	}
}

// TestLargeStream: what is done at one end of a stream of many entries touches few rows.
func TestLargeStream(t *testing.T) {
	b := newBench(t)
	for range 20 {
		lines := make([]string, 1000)
		for i := range lines {
			lines[i] = "XADD s * f v"
		}
		b.batch(lines...)
	}
	b.do("XGROUP CREATE s g 0")
	for _, x := range []struct {
		line  string
		steps int
	}{
		{"XADD s * f v", 10}, {"XADD s MAXLEN 20001 * f v", 14}, {"XADD s MAXLEN ~ 20001 * f v", 10}, {"XLEN s", 3}, {"XRANGE s - + COUNT 3", 10}, {"XREVRANGE s + - COUNT 3", 10},
		{"XREADGROUP GROUP g c COUNT 3 STREAMS s >", 40}, {"XTRIM s MAXLEN 19901", 250}, {"XTRIM s MAXLEN 3", 30}, {"XINFO STREAM s", 12}, {"DEL s", 30},
	} {
		tx := b.begin()
		b.eval(tx, x.line)
		b.index++
		if tx.Steps() > x.steps {
			t.Errorf("%s takes %d steps, more than %d", x.line, tx.Steps(), x.steps)
		}
		b.apply(tx)
	}
}
