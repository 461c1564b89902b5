package eval

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tutti/internal/keyspace"
)

// walks counts how often a state was walked over.
type walks struct {
	keyspace.Reader
	n *int
}

func (w walks) Iter(lower, upper []byte) (keyspace.Iterator, error) {
	*w.n++
	return w.Reader.Iter(lower, upper)
}

// TestStreamEnds has a leader that lasts and one that is new for each batch evaluate the
// same: what the first remembers of the ends of streams must not show.
func TestStreamEnds(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 7))
		lasting, fresh := newTestCore(t), newTestCore(t)
		lasting.run(lasting.write("XGROUP CREATE x g 0 MKSTREAM", "XGROUP CREATE x h 0"))
		fresh.run(fresh.write("XGROUP CREATE x g 0 MKSTREAM", "XGROUP CREATE x h 0"))
		next := 0
		for range 250 {
			var lines []string
			for range 1 + r.IntN(4) {
				lines = append(lines, streamLine(r, &next))
			}
			atomic, apply := r.IntN(4) == 0, r.IntN(8) > 0
			a := endsBatch(lasting, lines, atomic, apply)
			fresh.reign()
			if b := endsBatch(fresh, lines, atomic, apply); !slices.Equal(a, b) {
				t.Fatalf("seed %d: %q: a leader that lasts answers %q, a new one %q", seed, lines, a, b)
			}
		}
	}
}

// endsBatch evaluates commands, and applies what comes of it, or not.
func endsBatch(c *testCore, lines []string, atomic, apply bool) []string {
	g := c.write(lines...)
	g.Atomic = atomic
	if apply {
		return c.run(g)
	}
	c.seq--
	b := c.evaluate(c.input(), g)
	c.core.Dropped()
	return []string{text(b.Replies[0])}
}

// streamLine makes up a command about a stream.
func streamLine(r *rand.Rand, next *int) string {
	some := func() int { return max(1, *next-r.IntN(30)) }
	switch r.IntN(24) {
	case 0:
		return fmt.Sprintf("XDEL x %d-0 %d-0", some(), some())
	case 1:
		return fmt.Sprintf("XTRIM x MAXLEN %d", r.IntN(20))
	case 2:
		return fmt.Sprintf("XSETID x %d-0", some()+r.IntN(3))
	case 3:
		return fmt.Sprintf("XREADGROUP GROUP h b COUNT %d STREAMS x >", 1+r.IntN(5))
	case 4:
		return fmt.Sprintf("XREADGROUP GROUP g a COUNT %d NOACK STREAMS x x > >", 1+r.IntN(5))
	case 5:
		return fmt.Sprintf("XGROUP SETID x g %d-0", some())
	case 6:
		return fmt.Sprintf("XREAD COUNT 3 STREAMS x %d-0", some())
	case 7:
		return fmt.Sprintf("XRANGE x %d-0 %d-0", some(), some())
	case 8:
		return fmt.Sprintf("XREVRANGE x + %d-0 COUNT 3", some())
	case 9:
		if r.IntN(6) == 0 {
			return []string{"RENAME x y", "RENAME y x", "DEL x", "COPY y x", "XGROUP CREATE x g 0 MKSTREAM", "XGROUP DESTROY x h"}[r.IntN(6)]
		}
		return "XGROUP CREATE x g 0 MKSTREAM"
	case 10, 11, 12, 13, 14:
		*next++
		return fmt.Sprintf("XADD x MAXLEN ~ %d %d-0 n %d", 1+r.IntN(150), *next, *next)
	case 15, 16, 17, 18, 19:
		return "XREADGROUP GROUP g a COUNT 1 NOACK STREAMS x >"
	default:
		*next++
		return fmt.Sprintf("XADD x %d-0 n %d", *next, *next)
	}
}

// TestStreamEndsSpareWalks reads a stream as it grows, without walking over the store.
func TestStreamEndsSpareWalks(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("XGROUP CREATE x g 0 MKSTREAM"))
	n := 0
	turn := func(i int) {
		for _, line := range []string{fmt.Sprintf("XADD x MAXLEN ~ 200 %d-0 n %d", i, i), "XREADGROUP GROUP g a COUNT 1 STREAMS x >", fmt.Sprintf("XACK x g %d-0", i)} {
			in := c.input()
			in.State = walks{in.State, &n}
			b := c.evaluate(in, c.write(line))
			if text(b.Replies[0]) == "*-1 " {
				t.Fatalf("nothing was read at entry %d", i)
			}
			c.apply(b)
		}
	}
	turn(1)
	turn(2)
	n = 0
	for i := 3; i < 1000; i++ {
		turn(i)
	}
	if n > 10 {
		t.Errorf("%d walks over the store for 1000 entries", n)
	}
}

// BenchmarkStreamInTurn adds an entry and has a group read it, in batches of their own.
func BenchmarkStreamInTurn(b *testing.B) {
	c := newTestCore(b)
	c.run(c.write("XGROUP CREATE x g 0 MKSTREAM"))
	value := string(bytes.Repeat([]byte("v"), 100))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for _, line := range []string{fmt.Sprintf("XADD x MAXLEN ~ 100 %d-0 v %s", i+1, value), "XREADGROUP GROUP g a COUNT 1 NOACK STREAMS x >"} {
			c.apply(c.evaluate(c.input(), c.write(line)))
		}
	}
}
