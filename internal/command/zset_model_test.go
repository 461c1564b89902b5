package command

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tutti/internal/resp"
)

// zsetModel is a sorted set as a sorted slice.
type zsetModel struct{ ms []zsetModelMember }

type zsetModelMember struct {
	name  string
	score float64
}

func (m *zsetModel) find(name string) int {
	return slices.IndexFunc(m.ms, func(e zsetModelMember) bool { return e.name == name })
}

func (m *zsetModel) put(name string, score float64) (added bool) {
	i := m.find(name)
	if i < 0 {
		m.ms = append(m.ms, zsetModelMember{name, score})
	} else {
		m.ms[i].score = score
	}
	slices.SortFunc(m.ms, func(a, b zsetModelMember) int {
		return cmp.Or(cmp.Compare(a.score, b.score), strings.Compare(a.name, b.name))
	})
	return i < 0
}

// cut removes the members for which in is true and returns them.
func (m *zsetModel) cut(in func(i int, e zsetModelMember) bool) (gone []zsetModelMember) {
	var kept []zsetModelMember
	for i, e := range m.ms {
		if in(i, e) {
			gone = append(gone, e)
		} else {
			kept = append(kept, e)
		}
	}
	m.ms = kept
	return gone
}

// printed lists members with their scores as the CLI does.
func printed(ms []zsetModelMember) string {
	var vals []string
	for _, e := range ms {
		vals = append(vals, e.name, resp.FormatDouble(e.score))
	}
	return quoted(vals)
}

// step makes up one command, applies it to the model and returns the command
// with the reply that is due. Members come from sizeMax names, so the set stays
// about as large as that.
func (m *zsetModel) step(r *rand.Rand, sizeMax int) (line, want string) {
	n := len(m.ms)
	name := fmt.Sprintf("m%04d", r.IntN(sizeMax))
	// Scores grow, as deadlines do, but not all: some tie, some are low.
	score := float64(r.IntN(sizeMax)) / 2
	if r.IntN(4) == 0 {
		score = float64(r.IntN(5) - 2)
	}
	low := float64(r.IntN(sizeMax+4)-2) / 2
	high := low + float64(r.IntN(sizeMax))/2
	switch r.IntN(12) {
	case 0, 1:
		var line strings.Builder
		added := 0
		for range 1 + r.IntN(1+sizeMax/4) {
			name, score := fmt.Sprintf("m%04d", r.IntN(sizeMax)), score+float64(r.IntN(9))
			fmt.Fprintf(&line, " %v %s", score, name)
			if m.put(name, score) {
				added++
			}
		}
		return "ZADD z" + line.String(), integer(added)
	case 2:
		if i := m.find(name); i >= 0 {
			score += m.ms[i].score
		}
		by := score
		if i := m.find(name); i >= 0 {
			by -= m.ms[i].score
		}
		m.put(name, score)
		return fmt.Sprintf("ZINCRBY z %v %s", by, name), strconv.Quote(resp.FormatDouble(score))
	case 3:
		if r.IntN(2) == 0 && n > 0 { // the lowest, as queues do
			name = m.ms[0].name
		}
		gone := m.cut(func(_ int, e zsetModelMember) bool { return e.name == name })
		return "ZREM z " + name, integer(len(gone))
	case 4:
		count := r.IntN(6)
		return fmt.Sprintf("ZPOPMIN z %d", count), printed(m.cut(func(i int, _ zsetModelMember) bool { return i < count }))
	case 5:
		count := r.IntN(6)
		gone := m.cut(func(i int, _ zsetModelMember) bool { return i >= n-count })
		slices.Reverse(gone)
		return fmt.Sprintf("ZPOPMAX z %d", count), printed(gone)
	case 6:
		if r.IntN(3) > 0 {
			low = -10
			high = m.scoreAt(r.IntN(8))
		}
		gone := m.cut(func(_ int, e zsetModelMember) bool { return low < e.score && e.score <= high })
		return fmt.Sprintf("ZREMRANGEBYSCORE z (%v %v", low, high), integer(len(gone))
	case 7:
		from := r.IntN(n+2) * r.IntN(2)
		to := from + r.IntN(6)
		gone := m.cut(func(i int, _ zsetModelMember) bool { return from <= i && i <= to })
		return fmt.Sprintf("ZREMRANGEBYRANK z %d %d", from, to), integer(len(gone))
	}
	return m.look(r, name, low, high)
}

// scoreAt is the score of the member of a rank, 0 if there is none.
func (m *zsetModel) scoreAt(rank int) float64 {
	if rank < len(m.ms) {
		return m.ms[rank].score
	}
	return 0
}

// look is step for commands that change nothing.
func (m *zsetModel) look(r *rand.Rand, name string, low, high float64) (line, want string) {
	var in []zsetModelMember
	for _, e := range m.ms {
		if low <= e.score && e.score < high {
			in = append(in, e)
		}
	}
	n := len(m.ms)
	switch r.IntN(5) {
	case 0:
		return fmt.Sprintf("ZCOUNT z %v (%v", low, high), integer(len(in))
	case 1:
		i := m.find(name)
		if i < 0 {
			return "ZRANK z " + name, "(nil)"
		}
		if r.IntN(2) == 0 {
			return "ZREVRANK z " + name, integer(n - 1 - i)
		}
		return "ZRANK z " + name, integer(i)
	case 2:
		skip, limit := r.IntN(4), r.IntN(9)
		in = in[min(skip, len(in)):]
		in = in[:min(limit, len(in))]
		return fmt.Sprintf("ZRANGEBYSCORE z %v (%v WITHSCORES LIMIT %d %d", low, high, skip, limit), printed(in)
	case 3:
		slices.Reverse(in)
		return fmt.Sprintf("ZREVRANGEBYSCORE z (%v %v WITHSCORES", high, low), printed(in)
	}
	from := r.IntN(n + 1)
	to := from + r.IntN(n+1)
	ms := slices.Clone(m.ms)
	line = fmt.Sprintf("ZRANGE z %d %d WITHSCORES", from, to)
	if r.IntN(2) == 0 {
		slices.Reverse(ms)
		line += " REV"
	}
	return line, printed(ms[from:min(to+1, n)])
}

// TestZSetModel runs random commands on one sorted set, in batches, and
// compares every reply with a sorted slice's.
func TestZSetModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			sizeMax := []int{12, 60, 150, 700}[seed%4]
			b, m := newBench(t), &zsetModel{}
			for round := range 300 {
				var lines, wants []string
				for range 1 + r.IntN(6) {
					line, want := m.step(r, sizeMax)
					lines, wants = append(lines, line), append(wants, want)
				}
				if round%8 == 0 {
					lines, wants = append(lines, "ZRANGE z 0 -1 WITHSCORES", "ZCARD z"), append(wants, printed(m.ms), integer(len(m.ms)))
				}
				for i, got := range b.batch(lines...) {
					if got != wants[i] {
						t.Fatalf("%s\n got: %.300s\nwant: %.300s", lines[i], got, wants[i])
					}
				}
			}
		})
	}
}

// strs returns the strings of a printed reply, however nested.
func strs(reply string) (list []string) {
	for i, part := range strings.Split(reply, `"`) {
		if i%2 == 1 {
			list = append(list, part)
		}
	}
	return list
}

// TestZScan checks that ZSCAN sees every member of a big sorted set, with its
// score, while others come and go.
func TestZScan(t *testing.T) {
	b := newBench(t)
	want := map[string]string{}
	var line strings.Builder
	line.WriteString("ZADD z")
	for i := range 500 {
		fmt.Fprintf(&line, " %d.5 stays%d %d goes%d", i, i, i, i)
		want[fmt.Sprintf("stays%d", i)] = fmt.Sprintf("%d.5", i)
	}
	b.do(line.String())
	got := map[string]string{}
	for cursor, i := "0", 0; ; i++ {
		w := strs(b.do("ZSCAN z " + cursor + " COUNT 20"))
		b.batch(fmt.Sprintf("ZREM z goes%d goes%d", i, i+100), fmt.Sprintf("ZADD z %d comes%d", i, i))
		for k := 1; k+1 < len(w); k += 2 {
			got[w[k]] = w[k+1]
		}
		if cursor = w[0]; cursor == "0" {
			break
		}
	}
	for name, score := range want {
		if got[name] != score {
			t.Errorf("%s has score %q, want %q", name, got[name], score)
		}
	}
}

// TestZRandMember checks counts, distinctness and scores of random members of
// small and big sorted sets.
func TestZRandMember(t *testing.T) {
	for _, size := range []int{5, 100, 3000} {
		b := newBench(t)
		var line strings.Builder
		line.WriteString("ZADD z")
		for i := range size {
			fmt.Fprintf(&line, " %d m%d", i, i)
		}
		b.do(line.String())
		for _, count := range []int{1, 3, size / 2, size - 1, size, size + 7, -1, -3, -size - 9} {
			w := strs(b.do(fmt.Sprintf("ZRANDMEMBER z %d WITHSCORES", count)))
			n := min(count, size)
			if count < 0 {
				n = -count
			}
			seen := map[string]bool{}
			for i := 0; i+1 < len(w); i += 2 {
				seen[w[i]] = true
				if w[i] != "m"+w[i+1] {
					t.Fatalf("size %d: member %s with score %s", size, w[i], w[i+1])
				}
			}
			if len(w) != 2*n || count > 0 && len(seen) != n {
				t.Errorf("size %d, count %d: %d members, %d of them different", size, count, len(w)/2, len(seen))
			}
		}
		if w := strs(b.do("ZRANDMEMBER z")); len(w) != 1 || w[0][0] != 'm' {
			t.Errorf("size %d: random member %v", size, w)
		}
	}
}
