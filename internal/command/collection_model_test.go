package command

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// quoted formats strings as the CLI prints an array of them.
func quoted(vals []string) string {
	if len(vals) == 0 {
		return "(empty array)"
	}
	lines := make([]string, len(vals))
	width := len(strconv.Itoa(len(vals)))
	for i, v := range vals {
		lines[i] = fmt.Sprintf("%*d) %q", width, i+1, v)
	}
	return strings.Join(lines, "\n")
}

// listModel is a list as a slice.
type listModel struct{ vals []string }

func (m *listModel) remove(count int, val string) int {
	order := make([]int, len(m.vals))
	for i := range order {
		order[i] = i
	}
	if count < 0 {
		slices.Reverse(order)
		count = -count
	}
	gone := map[int]bool{}
	for _, i := range order {
		if m.vals[i] == val && (count == 0 || len(gone) < count) {
			gone[i] = true
		}
	}
	var kept []string
	for i, v := range m.vals {
		if !gone[i] {
			kept = append(kept, v)
		}
	}
	m.vals = kept
	return len(gone)
}

func (m *listModel) cut(start, stop int) []string {
	first, end := clampRange(int64(start), int64(stop), len(m.vals))
	return m.vals[first:end]
}

func integer(n int) string { return fmt.Sprintf("(integer) %d", n) }

// step makes up one command, applies it to the model and returns the command
// with the reply that is due.
func (m *listModel) step(r *rand.Rand, sizeMax int) (line, want string) {
	n := len(m.vals)
	val := "v" + strconv.Itoa(r.IntN(7))
	if r.IntN(20) == 0 {
		val = strings.Repeat("x", r.IntN(300)+1)
	}
	i := r.IntN(2*n+4) - n - 2
	op := r.IntN(12)
	switch {
	case n >= sizeMax:
		op = 4 + r.IntN(2)
	case n < sizeMax/4 && r.IntN(8) == 0: // mostly one value, so that LREM removes most
		many := slices.Repeat([]string{"v0", "v0", "v0", val}, sizeMax/4)
		m.vals = slices.Concat(m.vals, many)
		return "RPUSH l " + strings.Join(many, " "), integer(len(m.vals))
	}
	switch op {
	case 0, 1:
		many := slices.Repeat([]string{val}, 1+r.IntN(r.IntN(40)+1))
		if op == 0 {
			m.vals = slices.Concat(many, m.vals)
			return "LPUSH l " + strings.Join(many, " "), integer(len(m.vals))
		}
		m.vals = slices.Concat(m.vals, many)
		return "RPUSH l " + strings.Join(many, " "), integer(len(m.vals))
	case 2:
		if n == 0 {
			return "LPOP l", "(nil)"
		}
		v := m.vals[0]
		m.vals = m.vals[1:]
		return "LPOP l", strconv.Quote(v)
	case 3:
		if n == 0 {
			return "RPOP l", "(nil)"
		}
		v := m.vals[n-1]
		m.vals = m.vals[:n-1]
		return "RPOP l", strconv.Quote(v)
	case 4:
		if r.IntN(4) > 0 {
			i = r.IntN(20) - 10
		}
		stop := i + r.IntN(n+1)
		if r.IntN(2) == 0 {
			stop = -1 - r.IntN(5)
		}
		m.vals = slices.Clone(m.cut(i, stop))
		return fmt.Sprintf("LTRIM l %d %d", i, stop), "OK"
	case 5:
		count := r.IntN(5) - 2
		gone := m.remove(count, val)
		return fmt.Sprintf("LREM l %d %s", count, val), integer(gone)
	case 6:
		at := slices.Index(m.vals, val)
		pos := at
		line = "LINSERT l BEFORE " + val + " new"
		if r.IntN(2) == 0 {
			line, pos = "LINSERT l AFTER "+val+" new", at+1
		}
		if n == 0 {
			return line, integer(0)
		}
		if at < 0 {
			return line, integer(-1)
		}
		m.vals = slices.Insert(m.vals, pos, "new")
		return line, integer(n + 1)
	case 7:
		line = fmt.Sprintf("LSET l %d %s", i, val)
		if n == 0 {
			return line, "(error) " + errNoKey
		}
		if i < -n || i >= n {
			return line, "(error) ERR index out of range"
		}
		m.vals[(i+n)%n] = val
		return line, "OK"
	case 8:
		line = fmt.Sprintf("LINDEX l %d", i)
		if i < -n || i >= n {
			return line, "(nil)"
		}
		return line, strconv.Quote(m.vals[(i+n)%n])
	case 9:
		if n == 0 {
			return "LMOVE l l LEFT RIGHT", "(nil)"
		}
		v := m.vals[0]
		m.vals = append(slices.Clone(m.vals[1:]), v)
		return "LMOVE l l LEFT RIGHT", strconv.Quote(v)
	case 10:
		count := 1 + r.IntN(4)
		k := min(count, n)
		popped := slices.Clone(m.vals[n-k:])
		slices.Reverse(popped)
		m.vals = m.vals[:n-k]
		if n == 0 {
			return fmt.Sprintf("RPOP l %d", count), "(nil)"
		}
		return fmt.Sprintf("RPOP l %d", count), quoted(popped)
	}
	stop := i + r.IntN(n+1)
	return fmt.Sprintf("LRANGE l %d %d", i, stop), quoted(m.cut(i, stop))
}

// TestListModel runs random commands on one list, in batches, and compares
// every reply with a slice's.
func TestListModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			sizeMax := []int{20, 60, 400, 2000}[seed%4]
			b, m := newBench(t), &listModel{}
			for range 300 {
				var lines, wants []string
				for range 1 + r.IntN(6) {
					line, want := m.step(r, sizeMax)
					lines, wants = append(lines, line), append(wants, want)
				}
				lines, wants = append(lines, "LRANGE l 0 -1", "LLEN l"), append(wants, quoted(m.vals), integer(len(m.vals)))
				for i, got := range b.batch(lines...) {
					if got != wants[i] {
						t.Fatalf("%s\n got: %.300s\nwant: %.300s", lines[i], got, wants[i])
					}
				}
			}
		})
	}
}

// TestSetModel compares operations on random sets, packed and not, with maps.
func TestSetModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	b := newBench(t)
	for round := range 150 {
		sets := make([]map[string]bool, 3)
		var lines []string
		for i := range sets {
			sets[i] = map[string]bool{}
			lines = append(lines, fmt.Sprintf("SADD s%d gone", i), fmt.Sprintf("SREM s%d gone", i))
			for range r.IntN([]int{3, 40, 200}[r.IntN(3)]) {
				m := "m" + strconv.Itoa(r.IntN(100))
				sets[i][m] = true
				lines = append(lines, fmt.Sprintf("SADD s%d %s", i, m))
			}
		}
		for i := range sets {
			b.batch(fmt.Sprintf("SUNIONSTORE s%d none", i))
		}
		b.batch(lines...)
		want := map[string]map[string]bool{"SUNION": {}, "SINTER": {}, "SDIFF": {}}
		for i := range 100 {
			m := "m" + strconv.Itoa(i)
			a, b, c := sets[0][m], sets[1][m], sets[2][m]
			for op, in := range map[string]bool{"SUNION": a || b || c, "SINTER": a && b && c, "SDIFF": a && !b && !c} {
				if in {
					want[op][m] = true
				}
			}
		}
		for op, members := range want {
			sorted := slices.Sorted(func(yield func(string) bool) {
				for m := range members {
					if !yield(m) {
						return
					}
				}
			})
			got := b.do(op + " s0 s1 s2")
			if !sameMembers(got, sorted) {
				t.Fatalf("round %d: %s: %s\nwant %v", round, op, got, sorted)
			}
			if got, want := b.do(op+"STORE d s0 s1 s2"), integer(len(sorted)); got != want {
				t.Fatalf("round %d: %sSTORE: %s, want %s", round, op, got, want)
			}
			if got := b.do("SMEMBERS d"); !sameMembers(got, sorted) {
				t.Fatalf("round %d: stored %s: %s\nwant %v", round, op, got, sorted)
			}
		}
	}
}

// sameMembers compares a printed array, in any order, with sorted strings.
func sameMembers(reply string, sorted []string) bool {
	got := words(reply)
	slices.Sort(got)
	return slices.Equal(got, sorted)
}
