package command

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// TestStreamsBothWays has redis-server and tutti restore what the other has dumped of
// random streams with groups, and compares all that can be asked of them:
//
//	go test ./internal/command -run TestStreamsBothWays -redis 100
func TestStreamsBothWays(t *testing.T) {
	if *asRedis == 0 {
		t.Skip("compares with redis-server when it is asked to: -redis 100")
	}
	conn := dialRedis(t)
	for seed := range *asRedis {
		conn.do(t, "FLUSHALL")
		b := newBench(t)
		lines := streamLines(rand.New(rand.NewPCG(uint64(seed), 11)))
		for i, line := range lines {
			if got, want := b.do(line), conn.do(t, line); got != want && !strings.HasPrefix(line, "XREADGROUP") {
				t.Fatalf("seed %d, line %d: %.200s\ngot  %.1000s\nwant %.1000s", seed, i, line, got, want)
			}
		}
		theirs, ours := conn.do(t, "DUMP s"), b.do("DUMP s")
		for _, x := range []struct{ what, got string }{
			{"ours there", conn.do(t, "RESTORE restored 0 "+ours)}, {"theirs here", b.do("RESTORE restored 0 " + theirs)},
		} {
			if x.got != "OK" {
				t.Fatalf("seed %d: %s: %s", seed, x.what, x.got)
			}
		}
		for _, ask := range []string{"XLEN %s", "XRANGE %s - +", "XINFO STREAM %s FULL COUNT 0", "XPENDING %s g", "XPENDING %s h - + 1000", "XINFO GROUPS %s"} {
			want := timeless(conn.do(t, fmt.Sprintf(ask, "s")))
			for what, got := range map[string]string{
				"here": b.do(fmt.Sprintf(ask, "s")), "theirs here": b.do(fmt.Sprintf(ask, "restored")), "ours there": conn.do(t, fmt.Sprintf(ask, "restored")),
			} {
				if got = timeless(got); got != want {
					t.Fatalf("seed %d: %s: %s\n%s", seed, what, ask, firstDifference(got, want))
				}
			}
		}
	}
}

// streamLines make up a stream: entries whose fields are alike and not, that go again, in
// long runs and short ones, and groups that have read, claimed and acknowledged.
func streamLines(r *rand.Rand) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	n := 0
	entries := func() {
		for range r.IntN(250) {
			n += 1 + r.IntN(3)
			switch r.IntN(4) {
			case 0:
				add("XADD s %d-%d f%d %d", n, r.IntN(3), r.IntN(3), r.IntN(1_000_000))
			case 1:
				add("XADD s %d-1 name value%d other \"\\x00\\xff%d\"", n, n, n)
			default:
				add("XADD s %d-1 name value%d other %d", n, n, n)
			}
		}
	}
	add("XGROUP CREATE s g 0 MKSTREAM")
	add("XGROUP CREATE s h 0")
	for i := range 6 { // here they are there once they have read nothing, as in 7.2
		add("XGROUP CREATECONSUMER s %c c%d", "gh"[i%2], i/2)
	}
	for range 3 {
		entries()
		for range r.IntN(20) {
			switch id := 1 + r.IntN(n+1); r.IntN(7) {
			case 0, 1:
				add("XREADGROUP GROUP %c c%d COUNT %d STREAMS s >", "gh"[r.IntN(2)], r.IntN(3), 1+r.IntN(20))
			case 2:
				add("XACK s %c %d-1", "gh"[r.IntN(2)], id)
			case 3:
				add("XDEL s %d-1", id)
			case 4:
				add("XTRIM s MAXLEN %d", 1+r.IntN(400))
			case 5:
				add("XCLAIM s g c%d 0 %d-1 JUSTID", r.IntN(3), id)
			case 6:
				add("XGROUP SETID s h %d-0", id)
			}
		}
	}
	return lines
}

var (
	// times are what differs by when commands ran, and by how a stream lies in memory:
	// the two clocks, times of consumers and of deliveries.
	times = regexp.MustCompile(`(?m)"(radix-tree-keys|radix-tree-nodes|seen-time|active-time)"\n *\d+\) \(integer\) -?\d+|\(integer\) 1[67]\d{11}`)
	// places number the elements of a reply, and differ with what 7.2 has and 7.0 has not.
	places = regexp.MustCompile(`(?m)^[ \d)]*`)
	// idle follows the consumer of an entry.
	idle = regexp.MustCompile(`("c\d")\n\(integer\) \d+`)
)

// timeless is a reply without what depends on time, memory, and the version of Redis.
func timeless(reply string) string {
	reply = places.ReplaceAllString(times.ReplaceAllString(reply, ""), "")
	var list []string
	for line := range strings.Lines(reply) {
		if strings.TrimSpace(line) != "" {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return idle.ReplaceAllString(strings.Join(list, "\n"), "$1")
}

// firstDifference is where two texts part, with some of what follows.
func firstDifference(got, want string) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("got  …%.300s\nwant …%.300s", got[max(0, i-100):], want[max(0, i-100):])
}

// How many entries a group has read may be known to nobody, which a dump says as well.
func TestRestoreKnowsNoMoreThanTheDump(t *testing.T) {
	b := newBench(t)
	for _, line := range []string{"XADD s 1-1 f v", "XADD s 2-1 f v", "XTRIM s MAXLEN 1", "XGROUP CREATE s g 0", "XGROUP CREATE s h 2-1 ENTRIESREAD 2"} {
		b.do(line)
	}
	if got := b.do("RESTORE restored 0 " + b.do("DUMP s")); got != "OK" {
		t.Fatal(got)
	}
	if got, want := b.do("XINFO GROUPS restored"), b.do("XINFO GROUPS s"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
