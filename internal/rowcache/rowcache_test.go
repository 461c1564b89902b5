package rowcache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// model is a shard's state as it was at every index, and what has become of its
// newest entry: told to the cache, then committed, then published.
type model struct {
	rows      *Rows
	states    []map[string]string // by index
	views     []uint64            // published indices that readers still hold
	unfilled  []reading
	published bool
	census    *Census
	piece     int // of the census, the next
}

// pieces is in how many a census goes through the rows.
const pieces = 4

// reading is a reader that has missed and has not told what it found.
type reading struct {
	at  uint64
	row string
}

func newModel(c *Cache) *model {
	return &model{rows: c.Open(), states: []map[string]string{{}}, views: []uint64{0}, published: true}
}

func (m *model) newest() uint64 { return uint64(len(m.states) - 1) }

// write tells the cache of the next entry.
func (m *model) write(rng *rand.Rand, rows int) {
	m.publish()
	next := make(map[string]string)
	for row, val := range m.states[m.newest()] {
		next[row] = val
	}
	index := m.newest() + 1
	var changes []Change
	for range 1 + rng.IntN(4) {
		row := fmt.Sprintf("row-%d", rng.IntN(rows))
		c := Change{Row: []byte(row), Gone: rng.IntN(3) == 0, Once: rng.IntN(4) == 0}
		if c.Gone {
			delete(next, row)
		} else {
			next[row] = fmt.Sprintf("%d-%s", index, bytes.Repeat([]byte{'x'}, rng.IntN(300)*rng.IntN(300)*rng.IntN(2)/10))
			c.Val = []byte(next[row])
		}
		changes = append(changes, c)
	}
	m.rows.Write(index, changes)
	m.states = append(m.states, next)
	m.published = false
}

// publish lets readers have the newest entry.
func (m *model) publish() {
	if !m.published {
		m.views = append(m.views, m.newest())
		m.published = true
	}
}

// read looks a row up over some view, and compares a hit with the model.
func (m *model) read(t *testing.T, rng *rand.Rand, rows int) (hit bool) {
	at := m.views[len(m.views)-1]
	if rng.IntN(3) == 0 {
		at = m.views[rng.IntN(len(m.views))]
	}
	row := fmt.Sprintf("row-%d", rng.IntN(rows))
	want, there := m.states[at][row]
	val, ok, known := m.rows.Get(at, []byte(row), nil)
	if !known {
		m.unfilled = append(m.unfilled, reading{at, row})
		return false
	}
	if ok != there || string(val) != want {
		t.Fatalf("%s at %d of %d is %.40q, %v; want %.40q, %v", row, at, m.newest(), val, ok, want, there)
	}
	if m.rows.Differs(at, []byte(row), []byte(want)) == there || !m.rows.Differs(at, []byte(row), []byte(want+"x")) {
		t.Fatalf("%s at %d: a value that differs is not told from %.40q, %v", row, at, want, there)
	}
	return true
}

// fill has one of those who have missed tell what it found.
func (m *model) fill(rng *rand.Rand) {
	if len(m.unfilled) == 0 {
		return
	}
	i := rng.IntN(len(m.unfilled))
	r := m.unfilled[i]
	m.unfilled = append(m.unfilled[:i], m.unfilled[i+1:]...)
	val, ok := m.states[r.at][r.row]
	m.rows.Fill(r.at, []byte(r.row), []byte(val), ok)
}

// count begins a census, or goes through its next piece, over the newest view.
func (m *model) count(rng *rand.Rand) {
	at := m.views[len(m.views)-1]
	if m.census == nil {
		if !m.published {
			return // an entry was told that no view shows
		}
		if rng.IntN(5) == 0 {
			m.rows.complete.Store(nil) // as if it were stale
		}
		if m.census, m.piece = m.rows.Census(func() uint64 { return 10 }), 0; m.census == nil {
			return
		}
	}
	if rng.IntN(50) == 0 {
		m.census.Cancel()
		m.census = nil
		return
	}
	for row := range m.states[at] {
		if int(row[len(row)-1])%pieces == m.piece {
			m.census.Found([]byte(row))
		}
	}
	if m.piece++; m.piece == pieces {
		m.census.Done(at)
		m.census = nil
	}
}

// TestHitIsWhatTheSnapshotSays does in random order what a shard and its readers
// do: tell of an entry, publish it, read at an old view, fill late, count what
// there is, begin anew.
func TestHitIsWhatTheSnapshotSays(t *testing.T) {
	for _, size := range []int64{1 << 10, 300 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			c := New(size, all)
			defer c.Close()
			hits := 0
			for seed := range uint64(15) {
				rng := rand.New(rand.NewPCG(seed, 1))
				rows := []int{5, 50, 2000}[rng.IntN(3)]
				shards := []*model{newModel(c), newModel(c)} // of the same rows
				for range 4000 {
					if rng.IntN(50) == 0 {
						c.Rest()
					}
					if rng.IntN(500) == 0 {
						shards[1] = newModel(c) // its state was replaced
					}
					m := shards[rng.IntN(len(shards))]
					switch rng.IntN(11) {
					case 0, 1:
						m.write(rng, rows)
					case 2:
						m.publish()
					case 3, 4, 5:
						m.fill(rng)
					case 6:
						m.count(rng)
					default:
						if m.read(t, rng, rows) {
							hits++
						}
					}
					if len(m.views) > 20 {
						m.views = m.views[10:] // readers leave
					}
				}
				checkStripes(t, c)
			}
			if hits < 2000 {
				t.Errorf("only %d hits", hits)
			}
		})
	}
}

// checkStripes walks the rings: every record is whole, and those that live are
// found, and counted.
func checkStripes(t *testing.T, c *Cache) {
	t.Helper()
	for i := range c.stripes {
		s := &c.stripes[i]
		var bytes, rows, absent uint64
		for at := s.tail; at < s.head; {
			r := s.at(int(at % uint64(len(s.ring))))
			at += uint64(r.cap())
			if r.cap()%8 != 0 || r.cap() == 0 {
				t.Fatalf("stripe %d has a record of %d bytes at %d", i, r.cap(), at)
			}
			if r.has(flagDead) {
				continue
			}
			bytes += uint64(r.cap())
			rows++
			if r.has(flagAbsent) {
				absent++
			}
		}
		if s.head-s.tail > uint64(len(s.ring)) || bytes != s.bytes || rows != s.rows || absent != s.absent {
			t.Fatalf("stripe %d from %d to %d has %d bytes, %d rows, %d absent; counted were %d, %d, %d",
				i, s.tail, s.head, bytes, rows, absent, s.bytes, s.rows, s.absent)
		}
		found := uint64(0)
		for b := s.table; len(b) > 0; b = b[slotLen:] {
			if slot := ne.Uint64(b); uint32(slot) != 0 {
				found++
				if s.at(placeOf(slot)).has(flagDead) {
					t.Fatalf("stripe %d: a slot leads to a dead record", i)
				}
			}
		}
		if found != rows {
			t.Fatalf("stripe %d has %d slots for %d rows", i, found, rows)
		}
	}
}

// TestRules are the rules of the package comment, one by one.
func TestRules(t *testing.T) {
	row, old, young := []byte("row"), []byte("old"), []byte("young")
	get := func(r *Rows, at uint64) string {
		val, ok, known := r.Get(at, row, []byte("="))
		if !known {
			return "unknown"
		}
		if !ok {
			return "absent"
		}
		return string(val)
	}
	for _, x := range []struct {
		name string
		do   func(r *Rows)
		at   uint64
		want string
	}{
		{"nothing", func(r *Rows) {}, 9, "unknown"},
		{"filled", func(r *Rows) { r.Fill(5, row, old, true) }, 5, "=old"},
		{"filled, for a younger reader", func(r *Rows) { r.Fill(5, row, old, true) }, 9, "=old"},
		{"filled, for an older reader", func(r *Rows) { r.Fill(5, row, old, true) }, 4, "=old"},
		{"written before it was filled, for a reader before", func(r *Rows) { put(r, 3, row, old); r.Fill(5, row, old, true) }, 2, "unknown"},
		{"filled as absent", func(r *Rows) { r.Fill(5, row, nil, false) }, 5, "absent"},
		{"filled empty", func(r *Rows) { r.Fill(5, row, nil, true) }, 5, "="},
		{"written, not filled", func(r *Rows) { put(r, 6, row, young) }, 6, "unknown"},
		{"filled too late", func(r *Rows) { put(r, 6, row, young); r.Fill(5, row, old, true) }, 6, "unknown"},
		{"filled too late, for its own view", func(r *Rows) { put(r, 6, row, young); r.Fill(5, row, old, true) }, 5, "unknown"},
		{"written", func(r *Rows) { r.Fill(5, row, old, true); put(r, 6, row, young) }, 6, "=young"},
		{"written, for an older reader", func(r *Rows) { r.Fill(5, row, old, true); put(r, 6, row, young) }, 5, "unknown"},
		{"removed", func(r *Rows) { r.Fill(5, row, old, true); remove(r, 6, row) }, 6, "absent"},
		{"made", func(r *Rows) { r.Fill(5, row, nil, false); put(r, 6, row, young) }, 6, "=young"},
		{"grown", func(r *Rows) { r.Fill(5, row, nil, false); put(r, 6, row, bytes.Repeat(young, 20)) }, 6, "=" + string(bytes.Repeat(young, 20))},
		{"grown too large", func(r *Rows) { r.Fill(5, row, old, true); put(r, 6, row, make([]byte, recordMax)) }, 6, "unknown"},
		{"too large", func(r *Rows) { r.Fill(5, row, make([]byte, recordMax), true) }, 6, "unknown"},
		{"of another shard", func(r *Rows) { r.c.Open().Fill(5, row, old, true) }, 6, "unknown"},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := New(0, all)
			defer c.Close()
			r := c.Open()
			x.do(r)
			if got := get(r, x.at); got != x.want {
				t.Errorf("a reader at %d is told %.20q, want %.20q", x.at, got, x.want)
			}
		})
	}
}

// TestNoRows checks that nil Rows, and those of a closed cache, know nothing.
func TestNoRows(t *testing.T) {
	c := New(0, all)
	closed := c.Open()
	closed.Fill(1, []byte("row"), []byte("val"), true)
	c.Close()
	for _, r := range []*Rows{nil, closed} {
		r.Fill(1, []byte("row"), []byte("val"), true)
		put(r, 2, []byte("row"), []byte("val"))
		remove(r, 3, []byte("row"))
		if _, _, known := r.Get(9, []byte("row"), nil); known || r.Differs(9, []byte("row"), nil) {
			t.Error("they know a row")
		}
	}
}

// TestReadRowsStay checks that a row which is read again and again outlives many
// that are not. It goes where it would come to lie across the end of the ring, once
// in a hundred runs; without being spared it would go each time the ring is full
// again: five times were seen.
func TestReadRowsStay(t *testing.T) {
	c := New(1<<20, all)
	defer c.Close()
	r := c.Open()
	hot := []byte("hot")
	gone := uint64(0)
	r.Fill(1, hot, []byte("value"), true)
	for i := range 100_000 {
		row := fmt.Appendf(nil, "cold-%d", i)
		r.Fill(1, row, row, true)
		if i%100 == 0 {
			if _, _, known := r.Get(1, hot, nil); !known {
				gone++
				r.Fill(1, hot, []byte("value"), true)
			}
		}
	}
	checkStripes(t, c)
	u := c.Usage()
	if u.Size > 1<<20 || u.Bytes > u.Size || u.Bytes < u.Size/2 || u.Rows < 5000 || u.Absent != 0 || gone > 2 || u.Hits != 1000-gone || u.Misses != gone {
		t.Errorf("the row was gone %d times: %+v", gone, u)
	}
}

// TestUsage counts what rows there are.
func TestUsage(t *testing.T) {
	c := New(0, all)
	defer c.Close()
	r := c.Open()
	r.Fill(1, []byte("a"), []byte("1"), true)
	r.Fill(1, []byte("b"), nil, false)
	r.Fill(1, []byte("c"), nil, false)
	put(r, 2, []byte("c"), []byte("longer than what it had"))
	remove(r, 2, []byte("a"))
	r.Get(2, []byte("a"), nil)
	r.Get(2, []byte("d"), nil)
	if u := c.Usage(); u.Rows != 3 || u.Absent != 2 || u.Hits != 1 || u.Misses != 1 || u.Bytes != 2*32+48 {
		t.Errorf("%+v", u)
	}
	checkStripes(t, c)
}

// TestReadersBeside has readers fill while entries are told, for the race
// detector and for the order of the two.
func TestReadersBeside(t *testing.T) {
	c := New(256<<10, all)
	defer c.Close()
	r := c.Open()
	const rows, entries = 8, 3000
	row := func(i int) []byte { return []byte{'r', byte(i)} }
	// The value of every row at an index is that index, so readers know it.
	var applied atomic.Uint64
	var wg sync.WaitGroup
	for id := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(id), 7))
			for {
				at := applied.Load()
				if at == entries {
					return
				}
				i := rng.IntN(rows)
				want := fmt.Sprint(at)
				val, ok, known := r.Get(at, row(i), nil)
				if !known {
					r.Fill(at, row(i), []byte(want), at > 0)
				} else if ok && string(val) != want || ok != (at > 0) {
					t.Errorf("at %d row %d is %q, %v", at, i, val, ok)
					return
				}
			}
		})
	}
	for at := uint64(1); at <= entries; at++ {
		for i := range rows {
			put(r, at, row(i), fmt.Append(nil, at))
		}
		applied.Store(at)
	}
	wg.Wait()
}

func TestHitAllocatesNothing(t *testing.T) {
	c := New(0, all)
	defer c.Close()
	r := c.Open()
	row, val, dst := []byte("row"), make([]byte, 100), make([]byte, 0, 200)
	r.Fill(1, row, val, true)
	if n := testing.AllocsPerRun(100, func() {
		r.Get(1, row, dst)
		put(r, 2, row, val)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGet(b *testing.B) {
	c := New(64<<20, all)
	defer c.Close()
	r := c.Open()
	rows := make([][]byte, 100_000)
	for i := range rows {
		rows[i] = fmt.Appendf(nil, "123456789012key-%d", i)
		r.Fill(1, rows[i], make([]byte, 100), true)
	}
	dst := make([]byte, 0, 200)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.Get(1, rows[i*7919%len(rows)], dst)
	}
}

func BenchmarkPut(b *testing.B) {
	for _, present := range []bool{true, false} {
		b.Run(fmt.Sprintf("present=%v", present), func(b *testing.B) {
			c := New(64<<20, all)
			defer c.Close()
			r := c.Open()
			rows, val := make([][]byte, 100_000), make([]byte, 100)
			for i := range rows {
				rows[i] = fmt.Appendf(nil, "123456789012key-%d", i)
				if present {
					r.Fill(1, rows[i], val, true)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				put(r, uint64(i), rows[i*7919%len(rows)], val)
			}
		})
	}
}

// TestAbsentRowsAreGivenBack has all rows removed: once they are counted again they
// take no memory.
func TestAbsentRowsAreGivenBack(t *testing.T) {
	c := New(1<<20, all)
	defer c.Close()
	r, other := c.Open(), c.Open()
	row := func(i int) []byte { return fmt.Appendf(nil, "row %d", i) }
	const n = 3000
	for i := range n {
		r.Fill(1, row(i), row(i), true)
		remove(r, 2, row(i))
	}
	remove(r, 9, row(1)) // after the view of the census
	other.Fill(1, row(2), nil, false)
	r.Census(func() uint64 { return n }).Done(5)
	checkStripes(t, c)
	if u := c.Usage(); u.Rows != 2 || u.Absent != 2 {
		t.Errorf("%+v", u)
	}
	for i := range n {
		if _, ok, known := r.Get(9, row(i), nil); ok || !known {
			t.Fatalf("row %d is not absent: %v, %v", i, ok, known)
		}
	}
	for i := range n { // and what was given back is used again
		r.Fill(9, row(n+i), row(i), true)
	}
	checkStripes(t, c)
}

// Memory of rows that are gone is given back, that of rows that are there is not.
func TestRest(t *testing.T) {
	c := New(1<<20, all)
	defer c.Close()
	r := c.Open()
	const n = 3000
	for i := range n {
		r.Fill(1, fmt.Appendf(nil, "row %d", i), []byte("value"), true)
	}
	before := c.Usage()
	if c.Rest(); c.Usage() != before {
		t.Errorf("rows that are there were forgotten: %+v, before %+v", c.Usage(), before)
	}
	for i := range n {
		remove(r, 2, fmt.Appendf(nil, "row %d", i))
	}
	c.Rest()
	checkStripes(t, c)
	if u := c.Usage(); u.Rows != 0 || u.Bytes != 0 || u.Absent != 0 {
		t.Errorf("%+v", u)
	}
	r.Fill(1, []byte("row 1"), []byte("old"), true) // by a reader from before the removal
	if _, _, known := r.Get(2, []byte("row 1"), nil); known {
		t.Error("a row that was removed came back")
	}
	r.Fill(2, []byte("row 1"), nil, false)
	if _, ok, known := r.Get(2, []byte("row 1"), nil); ok || !known {
		t.Error("what is looked up afterwards is not kept")
	}
	checkStripes(t, c)
}

// all has all rows take part in a census.
func all([]byte) bool { return true }

// TestCensus makes what is not there known, and is taken again when it says too
// little.
func TestCensus(t *testing.T) {
	c := New(1<<20, func(row []byte) bool { return row[0] == 'k' })
	defer c.Close()
	r := c.Open()
	row := func(i int) []byte { return fmt.Appendf(nil, "k%d", i) }
	const n = 5000
	about := func(n uint64) func() uint64 { return func() uint64 { return n } }
	knows := func(at uint64) (absent int) {
		for i := range 2 * n {
			if _, ok, known := r.Get(at, row(i), nil); known && !ok {
				absent++
			}
		}
		return absent
	}
	x := r.Census(about(n))
	if r.Census(about(n)) != nil {
		t.Error("two at a time")
	}
	for i := range n / 2 {
		x.Found(row(i))
		put(r, 7, row(n/2+i), []byte("v"))
	}
	if got := knows(7); got != 0 {
		t.Errorf("%d rows are absent before the census has ended", got)
	}
	x.Done(7)
	if got := knows(6); got != 0 {
		t.Errorf("%d rows are absent for an earlier reader", got)
	}
	if got := knows(7); got < n*99/100 || got > n {
		t.Errorf("%d rows are absent, want nearly all of %d", got, n)
	}
	if _, _, known := r.Get(7, []byte("x"), nil); known {
		t.Error("a row is known that does not take part")
	}
	if !r.Differs(7, row(n+1), nil) || r.Differs(7, row(1), nil) {
		t.Error("a row that there is, and is known not to be, is told from none")
	}
	if r.Census(about(n)) != nil {
		t.Error("again, and nothing has changed")
	}
	for i := range n {
		remove(r, 8, row(i))
	}
	if r.Census(about(0)) != nil {
		t.Error("again, for few that were removed: it has room for more")
	}
	for i := range filterMin {
		put(r, 9, row(3*n+i), nil)
	}
	if x := r.Census(about(n + filterMin)); x == nil {
		t.Error("not again, though it has more rows than it is for")
	} else if x.Cancel(); r.Census(about(10_000_000)) != nil {
		t.Error("a census of more rows than there is memory for")
	}
}
