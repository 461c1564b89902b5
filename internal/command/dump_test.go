package command

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// TestDumpRestore restores every type, packed and in rows, from its dump.
func TestDumpRestore(t *testing.T) {
	for _, n := range []int{3, 100} {
		var names, pairs, scored strings.Builder
		for i := range n {
			fmt.Fprintf(&names, " e%d", i)
			fmt.Fprintf(&pairs, " f%d v%d", i, i)
			fmt.Fprintf(&scored, " %g m%d", float64(i)/3-5, i)
		}
		for _, c := range []struct{ write, read string }{
			{"SET k " + strings.Repeat("x", n*n), "GET"},
			{"RPUSH k" + names.String(), "LRANGE 0 -1"},
			{"SADD k" + names.String(), "SORT ALPHA"},
			{"HSET k" + pairs.String(), "HGETALL"},
			{"ZADD k" + scored.String(), "ZRANGE 0 -1 WITHSCORES"},
		} {
			name, _, _ := strings.Cut(c.write, " ")
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				b := newBench(t)
				b.do(c.write)
				read, rest, _ := strings.Cut(c.read, " ")
				want := b.do(read + " k " + rest)
				payload, err := strconv.Unquote(b.do("DUMP k"))
				if err != nil {
					t.Fatal(err)
				}
				restore := " 100000 " + strconv.Quote(payload)
				got := b.batch("RESTORE l"+restore, read+" l "+rest, "TTL l", "RESTORE l"+restore, "RESTORE k"+restore+" REPLACE", "TTL k")
				if fmt.Sprint(got) != fmt.Sprint([]string{"OK", want, "(integer) 100", "(error) BUSYKEY Target key name already exists.", "OK", "(integer) 100"}) {
					t.Errorf("got %.300s", got)
				}
				if got := b.do(read + " k " + rest); got != want {
					t.Errorf("got %.100s\nwant %.100s", got, want)
				}
			})
		}
	}
}
