package check

import (
	"fmt"
	"strings"
	"testing"
)

// Each anomaly that has a name, in the smallest history that shows it and no
// other, and beside it what looks like it but is right.
func TestAppendsNamesAnomalies(t *testing.T) {
	for _, c := range []struct {
		name string
		want string // names, with blanks between
		txns string
	}{
		{"serial", "", `
			1-2 +x1:1 +y1:1
			3-4 x[1] +x2:2
			5-6 x[1,2] y[1]`},
		{"concurrent", "", `
			1-9 +x1:2
			2-8 +x2:1
			3-7 x[]
			4-6 x[2]
			10-11 x[2,1]`},
		{"dirty write", "G0", `
			1-9 +x1 +y1
			2-8 +x2 +y2
			10-11 x[1,2]
			12-13 y[2,1]`},
		{"aborted read", "G1a", `
			1-2! +x1
			3-4 x[1]`},
		{"aborted append that nobody read", "", `
			1-2! +x1
			3-4 x[]`},
		{"unknown append read", "", `
			1-? +x1
			3-4 x[1]`},
		{"unknown append never read", "", `
			1-? +x1
			3-4 x[]`},
		{"unknown append read late", "", `
			1-? +x1
			3-4 x[]
			5-6 x[1]`},
		{"unknown append gone again", "G-single-realtime", `
			1-? +x1
			3-4 x[1]
			5-6 x[]`},
		{"unknown append seen by half", "G-single", `
			1-? +x1 +y1
			3-9 x[1] y[]
			4-8 y[1]`},
		{"intermediate read", "G1b G-single", `
			1-9 +x1 +x2
			2-8 x[1]
			10-11 x[1,2]`},
		{"own intermediate read", "", `
			1-9 +x1 x[1] +x2
			10-11 x[1,2]`},
		{"circular reads", "G1c", `
			1-9 +x1 y[1]
			2-8 +y1 x[1]`},
		{"circular read by order", "G1c", `
			1-9 +x1 +y2
			2-8 x[1] +y1
			10-11 y[1,2]`},
		{"read skew", "G-single", `
			1-9 +x1 +y1
			2-8 x[] y[1]`},
		{"lost update", "G-single", `
			1-9 x[] +x1
			2-8 x[] +x2
			10-11 x[1,2]`},
		{"lost update under WATCH", "G-single", `
			1-9 @x[] +x1
			2-8 @x[] +x2
			10-11 x[1,2]`},
		{"update under WATCH that was refused", "", `
			1-9 @x[] +x1
			2-8! @x[] +x2
			10-11 x[1]`},
		{"unknown under WATCH that came too late", "", `
			1-9 @x[] +x1
			2-? @x[] +x2
			10-11 x[1]`},
		{"unknown under WATCH that was applied all the same", "G-single", `
			1-9 @x[] +x1
			2-? @x[] +x2
			10-11 x[1,2]`},
		{"unknown under WATCH that alone has read", "", `
			1-2 +x5
			3-? @x[5] +y1
			4-5 y[1]`},
		{"unknown under WATCH that has read garbage", "garbage-read", `
			1-? @x[5] +y1
			3-4 y[1]`},
		{"unknown under WATCH that was not applied has read nothing", "", `
			1-? @x[5] +y1
			3-4 y[]`},
		{"write skew", "G2-item", `
			1-9 x[] +y1
			2-8 y[] +x1
			10-11 x[1] y[1]`},
		{"stale order of writes", "G0-realtime", `
			1-2 +x1
			3-4 +x2
			5-6 x[2,1]`},
		{"stale order told by lengths", "G0-realtime", `
			1-2 +x1:2
			3-4 +x2:1
			5-6 y[]`},
		{"read from the future", "G1c-realtime", `
			1-2 x[1]
			3-4 +x1`},
		{"stale read", "G-single-realtime", `
			1-2 +x1
			3-4 x[]
			5-6 x[1]`},
		{"stale read of what was told by a length", "G-single-realtime", `
			1-2 +x1:1
			2-3 y[]
			4-9 x[]
			5-8 x[1]`},
		{"write skew in real time", "G2-item-realtime", `
			1-9 x[] +y1
			2-3 +x1
			4-8 y[]
			10-11 x[1] y[1]`},
		{"unknown append seen by its other half", "G-single", `
			1-? +x1 +y1
			3-4 y[1] x[]`},
		{"lost append", "lost-append", `
			1-2 +x1
			3-4 x[]`},
		{"append not yet read", "", `
			1-5 +x1
			3-4 x[]`},
		{"lost append by length", "lost-append", `
			1-9 +x1:1
			2-8 +x2:2
			3-7 +x3:2
			4-6 x[1,3]`},
		{"two at one place", "incompatible-order", `
			1-9 +x1:1
			2-8 +x2:1
			3-7 y[]`},
		{"duplicate append", "duplicate-append", `
			1-2 +x1
			3-4 x[1,1]`},
		{"duplicate of an unknown append", "duplicate-append", `
			1-? +x1
			3-4 +x2
			5-6 x[1,2,1]`},
		{"garbage read", "garbage-read", `
			1-2 +x1
			3-4 x[1,7]`},
		{"incompatible order", "incompatible-order", `
			1-9 +x1
			2-8 +x2
			3-7 x[1,2]
			4-6 x[2]`},
		{"element in the middle gone", "incompatible-order", `
			1-9 +x1
			2-8 +x2
			3-7 +x3
			10-11 x[1,2,3]
			12-13 x[1,3]`},
		{"read without own append", "internal", `
			1-9 +x1 x[]
			2-8 x[1]`},
		{"two reads that differ", "internal G-single", `
			1-9 +x1
			2-8 x[] x[1]`},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			wantNames(t, transactions(t, c.txns), strings.Fields(c.want)...)
		})
	}
}

// However many violations there are, the first are told and the others counted.
func TestAppendsCountsWhatItDoesNotTell(t *testing.T) {
	var text strings.Builder
	for i := range 50 {
		fmt.Fprintf(&text, "%d-%d +x%d:1\n", 2*i+1, 2*i+2, i)
	}
	text.WriteString("200-201 x[0]")
	found, err := Check(transactions(t, text.String()))
	if err != nil {
		t.Fatal(err)
	}
	last := found[len(found)-1]
	if len(found) != foundMax+1 || last.Name != "lost-append" || last.Text != "and 39 more" {
		t.Errorf("%d found, the last is %v", len(found), &last)
	}
}
