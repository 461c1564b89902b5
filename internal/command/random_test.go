package command

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// words returns the strings of a printed array.
func words(reply string) (list []string) {
	for _, line := range strings.Split(reply, "\n") {
		if _, word, ok := strings.Cut(line, ") "); ok {
			s, _ := strconv.Unquote(word)
			list = append(list, s)
		}
	}
	return list
}

// fill puts the fields (members) 0 to n-1 into the hash h and the set s.
func fill(b *bench, n int) {
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("HSET h %d v%d", i, i), fmt.Sprintf("SADD s %d", i))
	}
	b.batch(lines...)
}

// TestRandomMembers checks that samples are of the right size, have elements
// of the collection only, and differ where they must: packed, of rows, and so
// large that a sample does not read everything.
func TestRandomMembers(t *testing.T) {
	for _, size := range []int{1, 10, 32, 200, 3000} {
		b := newBench(t)
		fill(b, size)
		for _, count := range []int{1, 2, 20, size / 2, size - 1, size, size + 1, -1, -20, -2 * size} {
			for _, cmd := range []string{"SRANDMEMBER s", "HRANDFIELD h"} {
				line := fmt.Sprintf("%s %d", cmd, count)
				got := words(b.do(line))
				want := max(min(count, size), -count)
				seen := map[string]bool{}
				for _, m := range got {
					if n, err := strconv.Atoi(m); err != nil || n < 0 || n >= size {
						t.Fatalf("size %d: %s: strange %q", size, line, m)
					}
					seen[m] = true
				}
				if len(got) != want || count > 0 && len(seen) != want {
					t.Fatalf("size %d: %s: %d elements, %d different, want %d", size, line, len(got), len(seen), want)
				}
			}
		}
		pairs := words(b.do("HRANDFIELD h -50 WITHVALUES"))
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] != "v"+pairs[i] {
				t.Fatalf("size %d: field %s with value %s", size, pairs[i], pairs[i+1])
			}
		}
	}
}

// TestPopMembers pops a set empty and expects each member once.
func TestPopMembers(t *testing.T) {
	for _, size := range []int{26, 100, 2500} {
		b := newBench(t)
		fill(b, size)
		seen := map[string]bool{}
		for left := size; left > 0; {
			got := []string{}
			if left%3 == 0 {
				s, _ := strconv.Unquote(b.do("SPOP s"))
				got = append(got, s)
			} else {
				got = words(b.do(fmt.Sprintf("SPOP s %d", 1+left/3)))
			}
			for _, m := range got {
				if seen[m] {
					t.Fatalf("size %d: %q popped twice", size, m)
				}
				seen[m] = true
			}
			left -= len(got)
			if n := b.do("SCARD s"); n != integer(left) {
				t.Fatalf("size %d: SCARD %s, want %d", size, n, left)
			}
		}
		if len(seen) != size {
			t.Fatalf("size %d: popped %d", size, len(seen))
		}
	}
}

// TestRandomFairness checks by a chi-square test that every element has the
// same chance: with 9 degrees of freedom, 40 is exceeded once in 100000 times.
func TestRandomFairness(t *testing.T) {
	b := newBench(t)
	fill(b, 10)
	// The same as rows: a member too long for the packed form.
	b.batch("SADD rows "+strings.Repeat("x", 1100), "SADD rows 0 1 2 3 4 5 6 7 8")
	for _, cmd := range []string{"SRANDMEMBER s -1000", "SRANDMEMBER s 8", "SRANDMEMBER s 2", "HRANDFIELD h -1000",
		"HRANDFIELD h 8", "HRANDFIELD h 2", "SRANDMEMBER rows -1000", "SRANDMEMBER rows 8", "SRANDMEMBER rows 2"} {
		hits, total := map[string]int{}, 0
		for total < 1000 {
			for _, m := range words(b.do(cmd)) {
				hits[m]++
				total++
			}
		}
		chi, expected := 0.0, float64(total)/10
		for _, n := range hits {
			d := float64(n) - expected
			chi += d * d / expected
		}
		if len(hits) != 10 || chi > 40 {
			t.Errorf("%s: %d different, chi-square %.1f", cmd, len(hits), chi)
		}
	}
}
