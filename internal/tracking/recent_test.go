package tracking

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What is known of the keys read last is bounded, by their number while a client rests and
// by bytes always, and it is the newest that are known.
func TestRecentIsBounded(t *testing.T) {
	for _, c := range []struct{ size, adds, least, most int }{
		{20, 50, 50, 50},
		{20, 3000, 3000, 3000},
		{20, 100_000, recentBytes / 20 / 2, recentBytes / 20},
		{60_000, 100, 1, 1},
		{2 * recentBytes, 3, 1, 1}, // one alone is known whatever it takes
	} {
		var r recent
		name := func(i int) string { return fmt.Sprintf("%0*d", c.size, i) }
		for i := range c.adds {
			r.add(name(i))
		}
		if n := len(r.keys); n < c.least || n > c.most || r.keys[n-1] != name(c.adds-1) || r.size != n*c.size {
			t.Errorf("%d of %d bytes: %d are known, of %d bytes; the last is ...%s", c.adds, c.size, n, r.size, strings.TrimLeft(r.keys[n-1], "0"))
		}
		n := len(r.keys)
		r.rest()
		if want := n; len(r.keys) != want && (want <= 2*recentMax || len(r.keys) != recentMax) {
			t.Errorf("%d of %d bytes: %d are left of %d", c.adds, c.size, len(r.keys), n)
		}
		r.add(name(c.adds - 1))
		if got := r.take(); !slices.IsSorted(got) || got[len(got)-1] != name(c.adds-1) || len(slices.Compact(slices.Clone(got))) != len(got) || r.size != 0 || len(r.keys) != 0 {
			t.Errorf("%d of %d bytes: %d are told", c.adds, c.size, len(got))
		}
	}
}
