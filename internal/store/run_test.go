package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// testRun makes a run of rows and what became of them: "put", "gone", and "fresh" for what
// nothing below has.
func testRun(rows map[string]string) *run {
	r := newRun(0, 0, 0)
	names := make([]string, 0, len(rows))
	for name := range rows {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		kind, val := rowPut, []byte(rows[name])
		switch head, _, _ := strings.Cut(rows[name], " "); head {
		case "gone":
			kind, val = 0, nil
		case "fresh":
			kind |= rowFresh
		}
		r.add([]byte(name), val, kind, rowHash([]byte(name)))
	}
	return r.seal()
}

// What runs have of a row is what the newest of them has, however they are merged.
func TestNewestRunCounts(t *testing.T) {
	large := strings.Repeat("x", runLarge)
	list := runs{
		testRun(map[string]string{"again": "new", "came": "gone", "of-four": "1", "went": "gone", "large": large + "!"}),
		testRun(map[string]string{"again": "old", "back": "put", "of-four": "2", "longer-than-eight": "b"}),
		testRun(map[string]string{"again": "older", "back": "gone", "came": "fresh", "of-four": "3", "longer-than-eight-": "c"}),
		testRun(map[string]string{"back": "oldest", "of-four": "4", "only": "here", "went": "put", "large": large}),
	}
	want := "again=new back=put large=" + large + "! longer-than-eight=b longer-than-eight-=c of-four=1 only=here went="
	all := func(l runs) string {
		var got []string
		_ = l.each(func(r *run, i int, _ rowKind) error {
			got = append(got, fmt.Sprintf("%s=%s", r.key(i), r.value(i)))
			return nil
		})
		return strings.Join(got, " ")
	}
	if got := all(list); got != want {
		t.Errorf("runs have %s", got)
	}
	if got := all(runs{list.merge()}); got != want {
		t.Errorf("merged they have %s", got)
	}
	if got := all(runs{list[:2].merge(), list[2:].merge()}); got != want {
		t.Errorf("merged in pairs they have %s", got)
	}
	merged := runs{list.merge()}
	for _, l := range []runs{list, merged} {
		for row, want := range map[string]string{"again": "new", "only": "here", "large": large + "!", "went": "", "nowhere": ""} {
			val, ok, known := l.get([]byte(row), rowHash([]byte(row)))
			if string(val) != want || ok != (want != "") || known != (row != "nowhere") {
				t.Errorf("%s is %.20q, %v, %v", row, val, ok, known)
			}
		}
	}
	piece := newRun(0, 1, 0) // is removed before long
	piece.add(PieceRow(1, 0), []byte(large), rowPut, 0)
	if r := piece.seal(); r.heavy != 0 || r.bytes < len(large) {
		t.Errorf("a piece has %d bytes, %d of large values", r.bytes, r.heavy)
	}
	if r := merged[0]; r.heavy != len(large)+1 || r.bytes < r.heavy {
		t.Errorf("%d bytes, %d of large values", r.bytes, r.heavy)
	}
}

// Four runs of a level become one of the next, up to the last level, but none of those that
// are being written.
func TestRunsAreMergedByFours(t *testing.T) {
	levels := func(l runs) (levels string) {
		for _, r := range l {
			levels += fmt.Sprint(r.level)
		}
		return levels
	}
	var list runs
	add := func(n, keep int) {
		for range n {
			list = list.add(testRun(map[string]string{fmt.Sprint(rand.Int()): "put"}), keep)
		}
	}
	for _, x := range []struct {
		add, keep int
		want      string
	}{{3, 0, "000"}, {1, 0, "1"}, {11, 0, "000111"}, {1, 0, "2"}, {16 * 5, 0, "222222"}, {3, 0, "000222222"}, {1, 9, "0000222222"}, {3, 9, "1000222222"}, {1, 0, "01000222222"}} {
		if add(x.add, x.keep); levels(list) != x.want {
			t.Fatalf("levels %s after %d more, want %s", levels(list), x.add, x.want)
		}
	}
}
