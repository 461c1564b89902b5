package task

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// tally returns what the leader tells of a queue; nil: nothing.
func (s *shard) tally(name string) *Tally {
	for _, t := range s.lead.Tallies() {
		if t.Name == name {
			return &t
		}
	}
	return nil
}

// A leader tells what the rows of the queues hold, also one that has just begun, and
// whatever happened while it looked for them.
func TestTalliesAreTheRows(t *testing.T) {
	s := newShard(t)
	add := func(queue string) {
		s.change(func(c *Change) {
			_, _ = c.Add(&Addition{Queue: []byte(queue), Payloads: [][]byte{nil}, Options: Options{}})
		})
	}
	same := func(names ...string) {
		t.Helper()
		var got []string
		for _, x := range s.lead.Tallies() {
			got = append(got, x.Name)
			if string(s.queue(x.Name).Append(nil)) != string(x.Queue().Append(nil)) {
				t.Errorf("queue %s is %+v, told %+v", x.Name, s.queue(x.Name), x.Queue())
			}
		}
		if slices.Sort(got); !slices.Equal(got, names) {
			t.Errorf("told of %v, want %v", got, names)
		}
	}
	cancelAll := func(queue string) {
		s.change(func(c *Change) {
			list, _ := List(c.tx, []byte(queue), 0, Cursor{}, 10)
			for _, x := range list {
				c.Cancel([]byte(queue), x.Ref)
			}
		})
	}
	for _, q := range []string{"a", "b", "c"} {
		add(q)
	}
	cancelAll("b") // nothing of it is kept
	same("a", "c")
	s.elect()
	same("a", "c")

	found, err := Find(s.rows, 0, 1<<14)
	if err != nil {
		t.Fatal(err)
	}
	s.lead = NewLead(nil)
	add("a")
	cancelAll("c")
	add("d")
	s.lead.Restore(found, s.mono)
	same("a", "d")
	cancelAll("a")
	same("d")
}

// The task that is ready for longest is known to the time, within a term.
func TestOldestReadyTask(t *testing.T) {
	s := newShard(t)
	began := s.now
	oldest := func() time.Duration {
		t.Helper()
		x := s.tally("work")
		since, ok, err := x.Oldest(x.Queue(), s.rows)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return -1
		}
		return time.Duration(s.now-since) * time.Millisecond
	}
	want := func(d time.Duration) {
		t.Helper()
		if got := oldest(); got != d {
			t.Errorf("the oldest waits for %v, want %v", got, d)
		}
	}
	var later []Ref
	s.change(func(c *Change) {
		later, _ = c.Add(&Addition{Queue: work, Payloads: [][]byte{nil}, RunAt: began + 60_000, Options: DefaultOptions()})
	})
	want(-1)
	s.later(10 * time.Second)
	s.add(1, DefaultOptions())
	s.later(5 * time.Second)
	low := DefaultOptions()
	low.Prio = 1
	s.add(1, low)
	s.later(5 * time.Second)
	want(10 * time.Second)
	s.claim(1, time.Hour)
	want(5 * time.Second)
	s.claim(1, time.Hour)
	want(-1)
	s.later(40*time.Second + time.Millisecond) // it is due
	s.later(7 * time.Second)
	if s.task(later[0]).State != Ready {
		t.Fatal("not ready")
	}
	want(7 * time.Second)
	s.elect() // who remembers nothing knows at least since when it leads
	want(-1)
	s.add(1, DefaultOptions())
	s.later(3 * time.Second)
	want(3 * time.Second)
}

// However long a term is, few moments are noted, and each is known well enough for its
// age.
func TestMoments(t *testing.T) {
	var m moments
	if _, ok := m.of(7 << orderBits); ok {
		t.Error("a moment that nobody noted")
	}
	const n = 100_000
	for i := range uint64(n) {
		m.note(10+3*i, int64(1000*i))
		m.note(10+3*i, int64(1000*i+5)) // it is noted
	}
	if len(m.list) > momentsMax {
		t.Errorf("%d are noted", len(m.list))
	}
	for i := range uint64(n) {
		at, ok := m.of((10+3*i)<<orderBits | 7)
		age := int64(1000 * (n - i))
		if off := int64(1000*i) - at; !ok || off < 0 || off > age/64+1000 {
			t.Fatalf("the moment %d s ago is off by %d ms", age/1000, off)
		}
	}
	if at, ok := m.of(3 << orderBits); !ok || at != 0 {
		t.Errorf("before the first: %d", at)
	}
}

// How long tasks took is counted once it has happened, and never what was taken back.
func TestMeterCountsWhatIsApplied(t *testing.T) {
	s := newShard(t)
	var m Meter
	s.lead = NewLead(&m)
	s.restore()
	s.add(3, DefaultOptions())
	s.later(2 * time.Second)
	tx := s.begin()
	c := Begin(tx, s.lead)
	c.Claim(someone, time.Minute, 1, [][]byte{work})
	c.End()
	s.settle() // it is never applied
	counts := func(wait, run uint64) {
		t.Helper()
		x := m.of(work)
		if w, r := x.Wait(), x.Run(); w.Count != wait || r.Count != run {
			t.Errorf("%d waits and %d runs, want %d and %d", w.Count, r.Count, wait, run)
		}
	}
	counts(0, 0)
	claims := s.claim(2, time.Minute)
	counts(2, 0)
	s.later(30 * time.Second)
	s.change(func(c *Change) {
		c.Done(work, claims[0].Ref, claims[0].Token, nil)
		c.Fail(work, claims[1].Ref, claims[1].Token, Failure{})
	})
	counts(2, 2)
	for what, h := range map[time.Duration]time.Duration{2 * time.Second: m.of(work).Wait().Sum / 2, 30 * time.Second: m.of(work).Run().Sum / 2} {
		if h < what-time.Second/100 || h > what+time.Second/100 {
			t.Errorf("%v on average, want %v", h, what)
		}
	}
}

// So many queues are told apart, and which ones does not change as long as they are
// there.
func TestMeterTellsQueuesApart(t *testing.T) {
	var m Meter
	var names []string
	for i := range 2 * QueuesMetered {
		names = append(names, fmt.Sprintf("q%04d", i))
	}
	last := names[len(names)-1]
	m.of([]byte(last)).run.Add(1, 1)
	m.Keep(names)
	if m.Metered(last) == nil || m.Metered(last).Run().Count != 1 || m.Metered(names[QueuesMetered-1]) != nil || m.of([]byte(names[QueuesMetered])) != m.Rest() {
		t.Error("those that were there first are not told apart")
	}
	m.Keep(names[QueuesMetered:])
	if m.Metered(names[0]) != nil || m.Metered(names[QueuesMetered]) == nil {
		t.Error("a queue that is gone keeps its place")
	}
	for _, q := range []string{OtherQueues, "\xff"} {
		if m := (&Meter{}); m.of([]byte(q)) != m.Rest() {
			t.Errorf("%q is told apart", q)
		}
	}
}
