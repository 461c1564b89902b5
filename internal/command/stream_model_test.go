package command

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// streamModel is a stream with its groups as slices and maps.
type streamModel struct {
	entries []int // ids are n-0
	last    int
	groups  map[string]*groupModel
}

type groupModel struct {
	last    int
	pending map[int]*pendingModel
	known   map[string]bool // consumers
}

type pendingModel struct {
	consumer string
	count    int
}

func (g *groupModel) ids(of string) (ids []int) {
	for id, p := range g.pending {
		if of == "" || p.consumer == of {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (m *streamModel) has(id int) bool { return slices.Contains(m.entries, id) }

func streamReply(ids []int, has func(id int) bool) string {
	if len(ids) == 0 {
		return "(empty array)"
	}
	var b strings.Builder
	width := len(strconv.Itoa(len(ids)))
	for i, id := range ids {
		pad := strings.Repeat(" ", width+2)
		fmt.Fprintf(&b, "%*d) 1) \"%d-0\"\n", width, i+1, id)
		if !has(id) {
			fmt.Fprintf(&b, "%s2) (nil)\n", pad)
			continue
		}
		fmt.Fprintf(&b, "%s2) 1) \"n\"\n%s   2) \"%d\"\n", pad, pad, id)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// readReply is the reply of XREADGROUP for one stream.
func readReply(list string) string {
	lines := strings.Split(list, "\n")
	for i := range lines {
		if i == 0 {
			lines[i] = "   2) " + lines[i]
		} else {
			lines[i] = "      " + lines[i]
		}
	}
	return "1) 1) \"x\"\n" + strings.Join(lines, "\n")
}

// step makes up one command, applies it to the model and returns the command with the
// reply that is due.
func (m *streamModel) step(r *rand.Rand, sizeMax int) (line, want string) {
	n := len(m.entries)
	some := 1 + r.IntN(m.last+2)
	names := []string{"a", "b", "c"}
	who := names[r.IntN(3)]
	group := []string{"g", "h"}[r.IntN(2)]
	g := m.groups[group]
	if n < sizeMax/8 && r.IntN(3) > 0 || r.IntN(4) == 0 {
		return m.add(r)
	}
	switch r.IntN(12) {
	case 0:
		count := 0
		var ids []string
		for range 1 + r.IntN(3) {
			id := 1 + r.IntN(m.last+2)
			if r.IntN(2) == 0 && len(m.entries) > 0 {
				id = m.entries[0]
			}
			if i := slices.Index(m.entries, id); i >= 0 {
				m.entries = slices.Delete(m.entries, i, i+1)
				count++
			}
			ids = append(ids, fmt.Sprint(id))
		}
		return "XDEL x " + strings.Join(ids, " "), integer(count)
	case 1:
		keep := r.IntN(n + 2)
		if n > 20 && r.IntN(2) == 0 {
			keep = n - r.IntN(8)
		}
		gone := max(n-keep, 0)
		m.entries = m.entries[gone:]
		return fmt.Sprintf("XTRIM x MAXLEN %d", keep), integer(gone)
	case 2:
		low := some
		if r.IntN(3) > 0 && n > 0 {
			low = m.entries[0] + r.IntN(6)
		}
		gone := 0
		for len(m.entries) > 0 && m.entries[0] < low {
			m.entries = m.entries[1:]
			gone++
		}
		return fmt.Sprintf("XTRIM x MINID %d", low), integer(gone)
	case 3:
		var in []int
		to := some + r.IntN(40)
		for _, id := range m.entries {
			if id > some && id <= to {
				in = append(in, id)
			}
		}
		if r.IntN(2) == 0 {
			slices.Reverse(in)
			return fmt.Sprintf("XREVRANGE x %d (%d", to, some), streamReply(in, m.has)
		}
		return fmt.Sprintf("XRANGE x (%d %d", some, to), streamReply(in, m.has)
	case 4:
		if n == 0 && len(m.groups) == 0 || r.IntN(4) > 0 {
			return "XLEN x", integer(n)
		}
		if g != nil && r.IntN(3) == 0 {
			delete(m.groups, group)
			return "XGROUP DESTROY x " + group, integer(1)
		}
		fallthrough
	case 5:
		if g != nil {
			g.last = some
			return fmt.Sprintf("XGROUP SETID x %s %d", group, some), "OK"
		}
		m.groups[group] = &groupModel{pending: map[int]*pendingModel{}, known: map[string]bool{}}
		return "XGROUP CREATE x " + group + " 0 MKSTREAM", "OK"
	}
	if g == nil {
		return "XACK x " + group + " 1-0", integer(0)
	}
	switch r.IntN(8) {
	case 0, 1, 2:
		return m.deliver(r, group, who)
	case 3:
		ids, count := g.ids(""), 0
		r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		ids = append(ids[:min(len(ids), r.IntN(6))], some)
		var words []string
		for _, id := range ids {
			if g.pending[id] != nil {
				delete(g.pending, id)
				count++
			}
			words = append(words, fmt.Sprint(id))
		}
		return "XACK x " + group + " " + strings.Join(words, " "), integer(count)
	case 4:
		g.known[who] = true
		ids := g.ids(who)
		for _, id := range ids {
			if m.has(id) {
				g.pending[id].count++
			}
		}
		return "XREADGROUP GROUP " + group + " " + who + " STREAMS x 0", readReply(streamReply(ids, m.has))
	case 5:
		return m.claim(r, group, who)
	case 6:
		ids := g.ids(who)
		known := g.known[who]
		if !known || r.IntN(3) > 0 {
			return m.pending(group)
		}
		for _, id := range ids {
			delete(g.pending, id)
		}
		delete(g.known, who)
		return "XGROUP DELCONSUMER x " + group + " " + who, integer(len(ids))
	}
	return m.pending(group)
}

func (m *streamModel) add(r *rand.Rand) (line, want string) {
	m.last += 1 + r.IntN(3)
	m.entries = append(m.entries, m.last)
	return fmt.Sprintf("XADD x %d-0 n %d", m.last, m.last), fmt.Sprintf("%q", fmt.Sprintf("%d-0", m.last))
}

func (m *streamModel) deliver(r *rand.Rand, group, who string) (line, want string) {
	g, count := m.groups[group], 1+r.IntN(20)
	g.known[who] = true
	var got []int
	for _, id := range m.entries {
		if id > g.last && len(got) < count {
			got = append(got, id)
		}
	}
	ack := r.IntN(4) > 0
	for _, id := range got {
		g.last = id
		if ack {
			g.pending[id] = &pendingModel{who, 1}
		}
	}
	line = fmt.Sprintf("XREADGROUP GROUP %s %s COUNT %d", group, who, count)
	if !ack {
		line += " NOACK"
	}
	if len(got) == 0 {
		return line + " STREAMS x >", "(nil)"
	}
	return line + " STREAMS x >", readReply(streamReply(got, m.has))
}

func (m *streamModel) claim(r *rand.Rand, group, who string) (line, want string) {
	g := m.groups[group]
	g.known[who] = true
	if r.IntN(2) == 0 {
		count := 1 + r.IntN(8)
		from := 1 + r.IntN(m.last+2)
		var got, gone []int
		next := 0
		for _, id := range g.ids("") {
			switch {
			case id < from:
			case len(got)+len(gone) == count:
				next = id
			case m.has(id):
				got = append(got, id)
				g.pending[id] = &pendingModel{who, g.pending[id].count + 1}
			default:
				gone = append(gone, id)
				delete(g.pending, id)
			}
			if next != 0 {
				break
			}
		}
		line = fmt.Sprintf("XAUTOCLAIM x %s %s 0 %d COUNT %d", group, who, from, count)
		var list []string
		for _, id := range gone {
			list = append(list, fmt.Sprintf("%d-0", id))
		}
		return line, fmt.Sprintf("1) \"%d-0\"\n2) %s\n3) %s", next, indent(streamReply(got, m.has)), indent(quoted(list)))
	}
	var got []int
	line = "XCLAIM x " + group + " " + who + " 0"
	for range 1 + r.IntN(4) {
		id := 1 + r.IntN(m.last+2)
		if ids := g.ids(""); len(ids) > 0 && r.IntN(3) > 0 {
			id = ids[r.IntN(len(ids))]
		}
		line += fmt.Sprintf(" %d", id)
		p := g.pending[id]
		switch {
		case p == nil:
		case m.has(id):
			got = append(got, id)
			g.pending[id] = &pendingModel{who, p.count + 1}
		default:
			delete(g.pending, id)
		}
	}
	return line, streamReply(got, m.has)
}

func indent(s string) string { return strings.ReplaceAll(s, "\n", "\n   ") }

func (m *streamModel) pending(group string) (line, want string) {
	g := m.groups[group]
	var lines []string
	ids := g.ids("")
	width := len(strconv.Itoa(len(ids)))
	for i, id := range ids {
		p := g.pending[id]
		pad := strings.Repeat(" ", width+2)
		lines = append(lines, fmt.Sprintf("%*d) 1) \"%d-0\"\n%s2) %q\n%s3) (integer) 0\n%s4) (integer) %d", width, i+1, id, pad, p.consumer, pad, pad, p.count))
	}
	want = "(empty array)"
	if len(lines) > 0 {
		want = strings.Join(lines, "\n")
	}
	return "XPENDING x " + group + " - + 100000", want
}

// TestStreamModel runs random commands on one stream and its groups, in batches, and
// compares every reply with those of slices and maps. Garbage is removed meanwhile.
func TestStreamModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			sizeMax := []int{20, 60, 300, 1200}[seed%4]
			b, m := newBench(t), &streamModel{groups: map[string]*groupModel{}}
			b.do("XGROUP CREATE x g 0 MKSTREAM")
			m.groups["g"] = &groupModel{pending: map[int]*pendingModel{}, known: map[string]bool{}}
			for round := range 150 {
				var lines, wants []string
				for range 1 + r.IntN(6) {
					line, want := m.step(r, sizeMax)
					lines, wants = append(lines, line), append(wants, want)
				}
				if round%50 == 10 {
					for range sizeMax / 2 {
						line, want := m.add(r)
						lines, wants = append(lines, line), append(wants, want)
					}
				}
				if lines, wants = append(lines, "XLEN x"), append(wants, integer(len(m.entries))); round%5 == 0 {
					lines, wants = append(lines, "XRANGE x - +"), append(wants, streamReply(m.entries, m.has))
				}
				for i, got := range b.batch(lines...) {
					if got != wants[i] {
						t.Fatalf("round %d: %s\n got: %.400s\nwant: %.400s", round, lines[i], got, wants[i])
					}
				}
				b.purge(100)
			}
			for b.purge(100) > 0 {
			}
			b.do("DEL x")
			for b.purge(512) > 0 {
			}
			if left := b.rows(); len(left) != 1 || left[0][3] != 'v' {
				t.Errorf("%d rows are left of nothing, the first %x", len(left), left[0])
			}
		})
	}
}
