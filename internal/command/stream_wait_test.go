package command

import (
	"bytes"
	"testing"
	"time"
)

// TestEndsAreSettled puts the last ids of streams in the place of "$".
func TestEndsAreSettled(t *testing.T) {
	b := newBench(t)
	b.do("XADD {s}a 5-1 f v")
	b.do("SET {s}b x")
	for _, x := range []struct{ line, ask, settled string }{
		{"XREAD BLOCK 0 STREAMS {s}a {s}b {s}c {s}d $ $ 7 $", "TUTTI.STREAMENDS {s}a {s}b {s}d", "XREAD BLOCK 0 STREAMS {s}a {s}b {s}c {s}d 5-1 0-0 7 0-0"},
		{"XREAD COUNT 1 BLOCK 5 STREAMS $ $", "TUTTI.STREAMENDS $", "XREAD COUNT 1 BLOCK 5 STREAMS $ 0-0"},
		{"XREAD BLOCK 0 STREAMS {s}a 0", "", ""},
	} {
		args := splitLine(t, x.line)
		ask := askEnds(args)
		if got := string(bytes.Join(ask, []byte(" "))); got != x.ask {
			t.Errorf("%s asks %q, want %q", x.line, got, x.ask)
		}
		if ask == nil {
			continue
		}
		tx := b.begin()
		c := &Ctx{Tx: tx, Args: ask}
		c.Run(b.table.Find(ask[0]))
		settled, ok := settleEnds(args, c.Out)
		if got := string(bytes.Join(settled, []byte(" "))); !ok || got != x.settled {
			t.Errorf("%s is settled as %q, want %q", x.line, got, x.settled)
		}
		for _, bad := range []string{"", "-ERR no\r\n", "$3\r\n0-0\r\n$"} {
			if settled, ok := settleEnds(args, []byte(bad)); ok && len(ask) != 2 {
				t.Errorf("%q settles %s as %q", bad, x.line, settled)
			}
		}
	}
}

func TestReadPatience(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"XREAD BLOCK 0 STREAMS k 0": 0, "XREAD BLOCK 15 COUNT 2 STREAMS k 0": 15 * time.Millisecond,
		"XREADGROUP GROUP g c BLOCK 9223372036854775 STREAMS k >": patienceMax,
		"XREAD STREAMS k 0": -1, "XREAD BLOCK x STREAMS k 0": -1, "XREAD BLOCK -1 STREAMS k 0": -1, "XREAD BLOCK 1 STREAMS k": -1, "XREADGROUP BLOCK 1 STREAMS k >": -1,
	} {
		d, ok := readPatience(splitLine(t, line))
		if !ok {
			d = -1
		}
		if d != want {
			t.Errorf("%s: %v, want %v", line, d, want)
		}
	}
}
