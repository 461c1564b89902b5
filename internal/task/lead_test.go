package task

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	work    = []byte("work")
	someone = []byte("w")
)

// add adds tasks with small payloads.
func (s *shard) add(n int, o Options) []Ref {
	s.t.Helper()
	a := &Addition{Queue: work, Options: o}
	for i := range n {
		a.Payloads = append(a.Payloads, fmt.Appendf(nil, "payload %d", i))
	}
	var refs []Ref
	s.change(func(c *Change) {
		var err error
		if refs, err = c.Add(a); err != nil {
			s.t.Fatal(err)
		}
	})
	return refs
}

func (s *shard) claim(n int, lease time.Duration) (claims []Claim) {
	s.t.Helper()
	s.change(func(c *Change) { claims = c.Claim(someone, lease, n, [][]byte{work}) })
	return claims
}

// A lease is renewed by any sign of life of its worker, and ends after it in full.
func TestLeaseEnds(t *testing.T) {
	s := newShard(t)
	ref := s.add(1, DefaultOptions())[0]
	s.claim(1, 10*time.Second)
	s.later(9 * time.Second)
	s.change(func(c *Change) { c.Beat(someone) })
	s.later(9 * time.Second)
	if tk := s.task(ref); tk.State != Running {
		t.Fatalf("%v though its worker lives", tk.State)
	}
	s.later(2 * time.Second)
	if tk := s.task(ref); tk.State != Ready || tk.Crashes != 1 || tk.Failures != 0 {
		t.Fatalf("%v after %d crashes and %d failures", tk.State, tk.Crashes, tk.Failures)
	}
	var stops []Stop
	s.change(func(c *Change) { stops = c.Beat(someone) })
	if len(stops) != 1 || stops[0].Ref != ref {
		t.Errorf("the worker is told to stop %v", stops)
	}
}

// A new leader knows nothing of signs of life, so it begins each lease anew: one that
// went on where the old leader was would be too short, as its worker's words may have
// been lost with that.
func TestNewLeaderRestartsLeases(t *testing.T) {
	s := newShard(t)
	ref := s.add(1, DefaultOptions())[0]
	s.claim(1, 10*time.Second)
	s.later(9 * time.Second)
	s.elect()
	s.later(9 * time.Second)
	if tk := s.task(ref); tk.State != Running {
		t.Fatalf("%v before the lease of the new leader ended", tk.State)
	}
	s.later(2 * time.Second)
	if tk := s.task(ref); tk.State != Ready {
		t.Fatalf("%v after it ended", tk.State)
	}
}

// A task that loses its workers again and again ends.
func TestCrashesEnd(t *testing.T) {
	s := newShard(t)
	ref := s.add(1, DefaultOptions())[0]
	for range crashesMax {
		if got := s.claim(1, time.Second); len(got) != 1 {
			t.Fatalf("claimed %v", got)
		}
		s.elect()
		s.later(2 * time.Second)
	}
	if tk := s.task(ref); tk.State != Dead || !strings.Contains(string(tk.Errors[2]), "silent") {
		t.Errorf("%v, %s", tk.State, tk.Errors)
	}
	if q := s.queue("work"); q.Crashed != crashesMax || q.Totals.Dead != 1 || q.Failed != 0 {
		t.Errorf("%+v", q.Totals)
	}
}

// Of a long list only a page is in memory; all of it comes in order, without a look
// at what has been taken before.
func TestReadyListIsPaged(t *testing.T) {
	s := newShard(t)
	const n = 3*pageMax + 17
	for added := 0; added < n; added += min(n-added, 1000) {
		s.add(min(n-added, 1000), DefaultOptions())
	}
	next := uint64(1)
	for i := 0; next <= n; i++ {
		for _, cl := range s.claim(700, time.Hour) {
			if cl.Number != next {
				t.Fatalf("number %d after %d", cl.Number, next-1)
			}
			next++
		}
		if ln := &s.lead.queues["work"].lane[5]; len(ln.page) > pageMax {
			t.Fatalf("a page of %d", len(ln.page))
		}
		if i == 3 {
			s.elect()
		}
	}
}

// A million tasks that wait cost a leader little memory.
func TestMemoryOfManyTasks(t *testing.T) {
	l := NewLead(nil)
	queue := &l.lanes(work).lane[5]
	queue.loaded = true
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	row, val := readyRow(nil, work, 5, 0), refValue(nil, Ref{1, 2})
	for i := range uint64(1_000_000) {
		be.PutUint64(row[len(row)-8:], i+1)
		l.put(row, val)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > 1<<20 {
		t.Errorf("%d bytes", n)
	}
	runtime.KeepAlive(l)
}

func TestLimits(t *testing.T) {
	s := newShard(t)
	s.add(9, DefaultOptions())
	set := func(f func(s *Settings)) {
		s.change(func(c *Change) { c.Set(work, func(s *Settings) bool { f(s); return true }) })
	}
	set(func(s *Settings) { s.Limit, s.MaxLen = 2, 10 })
	got := s.claim(5, time.Hour)
	if len(got) != 2 {
		t.Fatalf("claimed %d of a limit of 2", len(got))
	}
	s.change(func(c *Change) { c.Done(work, got[0].Ref, got[0].Token, nil) })
	if got := s.claim(5, time.Hour); len(got) != 1 {
		t.Errorf("claimed %d after one was done", len(got))
	}
	set(func(s *Settings) { s.Limit, s.Paused = 0, true })
	if got := s.claim(5, time.Hour); len(got) != 0 {
		t.Errorf("claimed %d of a paused queue", len(got))
	}
	s.change(func(c *Change) {
		_, err := c.Add(&Addition{Queue: work, Payloads: make([][]byte, 3), Options: DefaultOptions()})
		if busy, ok := errors.AsType[*BusyError](err); !ok || !strings.HasPrefix(busy.Error(), `BUSY queue "work" has 8 of at most 10`) {
			t.Errorf("added beyond the limit: %v", err)
		}
	})
	s.add(2, DefaultOptions())
	set(func(s *Settings) { s.MaxLen, s.MaxBytes = 0, 200 })
	s.change(func(c *Change) {
		if _, err := c.Add(&Addition{Queue: work, Payloads: [][]byte{make([]byte, 150)}, Options: DefaultOptions()}); err == nil {
			t.Error("added more bytes than may be")
		}
	})
}

// The rate of a queue is kept, and those who wait are told when it allows more. At
// the start of a term nothing is allowed: nobody knows what was claimed before it.
func TestRate(t *testing.T) {
	s := newShard(t)
	s.add(20, DefaultOptions())
	s.change(func(c *Change) { c.Set(work, func(s *Settings) bool { s.Rate = 4; return true }) })
	if got := s.claim(9, time.Hour); len(got) != 0 {
		t.Errorf("claimed %d at once", len(got))
	}
	if !slices.ContainsFunc(s.lead.waking, func(q *lanes) bool { return q.wake > s.mono && q.wake <= s.mono+time.Second/4+1 }) {
		t.Errorf("nobody is told: %+v", s.lead.waking)
	}
	s.later(time.Second / 4)
	if got := s.claim(9, time.Hour); len(got) != 1 {
		t.Errorf("claimed %d after a quarter of a second", len(got))
	}
	s.later(time.Hour)
	if got := s.claim(9, time.Hour); len(got) != 4 {
		t.Errorf("claimed %d after an hour", len(got))
	}
	s.elect()
	if got := s.claim(9, time.Hour); len(got) != 0 {
		t.Errorf("claimed %d from a new leader", len(got))
	}
}

// Time-outs, expiries and the end of retention come by shard time, not early.
func TestTimers(t *testing.T) {
	s := newShard(t)
	o := DefaultOptions()
	o.Timeout, o.TTL, o.Retries, o.KeepFailed = 2000, 5000, 0, 1000
	refs := s.add(2, o)
	s.claim(1, time.Hour)
	s.later(1999 * time.Millisecond)
	if tk := s.task(refs[0]); tk.State != Running {
		t.Fatalf("%v before its time-out", tk.State)
	}
	s.later(time.Millisecond)
	if tk := s.task(refs[0]); tk.State != Dead || string(tk.Errors[0]) != "timed out after 2000 ms" {
		t.Fatalf("%v after its time-out: %s", tk.State, tk.Errors)
	}
	s.later(999 * time.Millisecond)
	if s.task(refs[0]) == nil {
		t.Fatal("forgotten too early")
	}
	s.later(2000 * time.Millisecond)
	if tk := s.task(refs[1]); s.task(refs[0]) != nil || tk.State != Ready {
		t.Fatalf("the first is there: %v; the second is %v", s.task(refs[0]) != nil, tk.State)
	}
	s.later(time.Millisecond)
	if tk := s.task(refs[1]); tk.State != Dead {
		t.Fatalf("%v after its expiry", tk.State)
	}
	s.later(time.Second)
	if len(s.rows) != 0 {
		t.Errorf("%d rows are left", len(s.rows))
	}
}

// Tasks after others run when all of those are done; if one of them ends otherwise
// they end dead, and those that wait for them too.
func TestAfter(t *testing.T) {
	s := newShard(t)
	after := func(parents ...Ref) Ref {
		t.Helper()
		a := &Addition{Queue: work, Payloads: [][]byte{nil}, Options: DefaultOptions()}
		for _, p := range parents {
			a.After = append(a.After, Parent{ID: []byte("parent"), Ref: p})
		}
		var refs []Ref
		s.change(func(c *Change) { refs, _ = c.Add(a) })
		return refs[0]
	}
	parents := s.add(600, DefaultOptions()) // more than one step tells
	child := after(append(parents, parents[0])...)
	grandchild := after(child)
	state := func(ref Ref) State { return s.task(ref).State }
	for done := 0; done < len(parents); {
		for _, cl := range s.claim(600, time.Hour) {
			done++
			if state(child) != Waiting {
				t.Fatalf("%v too early", state(child))
			}
			s.change(func(c *Change) { c.Done(work, cl.Ref, cl.Token, nil) })
			s.later(0)
		}
	}
	if state(child) != Ready || state(grandchild) != Waiting {
		t.Fatalf("%v and %v", state(child), state(grandchild))
	}
	if late := after(parents[7]); state(late) != Ready {
		t.Errorf("after one that is done: %v", state(late))
	}
	s.change(func(c *Change) { c.Cancel(work, child) })
	s.elect()
	s.later(0)
	if state(grandchild) != Dead {
		t.Errorf("after one that was cancelled: %v", state(grandchild))
	}
	if got, want := fmt.Sprintf("%s", s.task(grandchild).Errors), fmt.Sprintf("[task %s that it waits for ended cancelled]", AppendID(nil, work, child)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	forgotten := DefaultOptions()
	forgotten.KeepFailed = 0
	gone := s.add(1, forgotten)[0]
	orphan := after(gone)
	s.change(func(c *Change) { c.Cancel(work, gone) })
	s.later(time.Second)
	if got := fmt.Sprintf("%s", s.task(orphan).Errors); state(orphan) != Dead || !strings.Contains(got, "not kept any more") {
		t.Errorf("after one that was cancelled and forgotten: %v, %s", state(orphan), got)
	}
	for _, parent := range []Ref{grandchild, {3, 99}} {
		if late := after(parent); state(late) != Dead || len(s.task(late).Errors) != 1 {
			t.Errorf("after %v: %v", parent, state(late))
		}
	}
	many := s.add(1, DefaultOptions())[0]
	var children []Ref
	for range 3 * stepMax / 2 {
		children = append(children, after(many))
	}
	s.change(func(c *Change) { c.Cancel(work, many) })
	for _, ref := range children {
		s.later(0)
		if state(ref) != Dead {
			t.Fatalf("%v", state(ref))
		}
	}
}

// A task that waits for many is ready soon after they have ended together: no batch
// for each of them. Those that wait for others need not wait for that either.
func TestManyParentsEndTogether(t *testing.T) {
	s := newShard(t)
	parents := s.add(ParentsMax, DefaultOptions())
	a := &Addition{Queue: work, Payloads: [][]byte{nil}, Options: DefaultOptions()}
	for _, p := range parents {
		a.After = append(a.After, Parent{ID: []byte("parent"), Ref: p})
	}
	var refs []Ref
	s.change(func(c *Change) { refs, _ = c.Add(a) })
	for ended := 0; ended < ParentsMax; {
		claims := s.claim(PayloadsMax, time.Hour)
		ended += len(claims)
		s.change(func(c *Change) {
			for _, cl := range claims {
				c.Done(work, cl.Ref, cl.Token, nil)
			}
		})
	}
	steps := 0
	for s.lead.Due(func() (int64, bool) { return s.now, true }, s.mono) {
		steps++
		tx := s.begin()
		s.lead.Step(tx)
		s.apply(tx)
	}
	if got := s.task(refs[0]).State; got != Ready || steps > ParentsMax/stepMax*3 {
		t.Errorf("%v after %d steps", got, steps)
	}
}

// A row that can't be read ends no leader, and is not met again and again.
func TestUnreadableRowInTheBackground(t *testing.T) {
	for kind, spoil := range map[string]func(s *shard, ref Ref) string{
		"state of a task that is due":    func(_ *shard, ref Ref) string { return string(numberRow(nil, kindState, ref)) },
		"queue of a task that is due":    func(*shard, Ref) string { return string(queueRow(nil, work)) },
		"claim of a worker that is lost": func(_ *shard, ref Ref) string { return string(numberRow(nil, kindClaim, ref)) },
	} {
		s := newShard(t)
		o := DefaultOptions()
		o.TTL = 5000
		ref := s.add(1, o)[0]
		if strings.HasPrefix(kind, "claim") {
			s.claim(1, time.Second)
		}
		s.rows[spoil(s, ref)] = "\x01\xff"
		s.later(10 * time.Second) // it ends
		if s.lead.Due(func() (int64, bool) { return s.now, true }, s.mono) {
			t.Errorf("%s: there is always something to do", kind)
		}
	}
}

// A unique key is taken by what was applied, and by nothing else.
func TestUniqueKeyOfWhatWasNeverApplied(t *testing.T) {
	s := newShard(t)
	o := DefaultOptions()
	o.Unique = []byte("u")
	a := &Addition{Queue: work, Payloads: [][]byte{nil}, Options: o}
	c := Begin(s.begin(), s.lead)
	never, _ := c.Add(a)
	c.End()
	s.settle()
	if refs := s.add(1, o); refs[0] == never[0] || s.task(refs[0]) == nil {
		t.Errorf("%v has the key, which was never there", refs[0])
	}
}

// A KEYLIMIT that was raised lets those that wait run at once, of all KEYs, whoever
// leads by then; what was never applied lets nobody.
func TestKeyLimitIsRaised(t *testing.T) {
	for name, lost := range map[string]func(s *shard){
		"by one leader": func(*shard) {},
		"by the next":   func(s *shard) { s.elect() },
		"by the next, half done": func(s *shard) {
			tx := s.begin()
			s.lead.Step(tx)
			s.apply(tx)
			s.elect()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShard(t)
			const keys = 2*stepMax + 5
			for i := range keys {
				s.add(4, keyed(fmt.Sprintf("k%d", i)))
			}
			s.add(3*turnsMax, keyed("many"))
			s.add(1, keyed("one"))
			s.change(func(c *Change) { c.Set([]byte("other"), func(q *Settings) bool { q.KeyLimit = 9; return true }) })
			if n := s.queue("work").Now[Ready]; n != keys+2 {
				t.Fatalf("%d are ready", n)
			}
			c := Begin(s.begin(), s.lead)
			c.Set(work, func(q *Settings) bool { q.KeyLimit = 3; return true })
			c.End()
			s.settle() // it is never applied
			s.later(0)
			if n := s.queue("work").Now[Ready]; n != keys+2 {
				t.Fatalf("%d are ready though nothing was raised", n)
			}
			s.set(func(q *Settings) { q.KeyLimit = 3 })
			lost(s)
			s.later(0)
			if n := s.queue("work").Now[Ready]; n != 3*keys+3+1 {
				t.Errorf("%d are ready", n)
			}
			s.set(func(q *Settings) { q.KeyLimit = 3 * turnsMax })
			lost(s)
			s.later(0)
			if q := s.queue("work"); q.Now[Waiting] != 0 || q.Now[Ready] != 4*keys+3*turnsMax+1 {
				t.Errorf("%d wait and %d are ready", q.Now[Waiting], q.Now[Ready])
			}
			s.set(func(q *Settings) { q.KeyLimit = 1 }) // it takes nothing from anybody
			s.later(0)
			if len(s.claim(100, time.Minute)) != 100 {
				t.Error("not all can be claimed")
			}
		})
	}
}
