package task

import (
	"fmt"
	"testing"
	"time"
)

// say is a beat with progress, and returns whether it wrote anything.
func (s *shard) say(ref Ref, fraction float64) bool {
	s.t.Helper()
	has := true
	tx := s.change(func(c *Change) {
		has = c.Report(work, ref, someone, Progress{fraction, fmt.Appendf(nil, "at %v", fraction)})
		c.Beat(someone)
	})
	if !has {
		s.t.Error("the worker has the task")
	}
	return !tx.Empty()
}

// However often a worker says how far it is, it is written once a second at most, and
// the last word always is.
func TestProgressIsWrittenOnceASecond(t *testing.T) {
	s := newShard(t)
	ref := s.add(1, DefaultOptions())[0]
	s.claim(1, time.Hour)
	want := func(f float64) {
		t.Helper()
		if got := s.task(ref).Fraction; got != f {
			t.Errorf("the record says %v, want %v", got, f)
		}
	}
	if !s.say(ref, 0.1) {
		t.Error("the first word is not written")
	}
	writes := 0
	for i := range 100 {
		s.later(100 * time.Millisecond)
		if s.say(ref, 0.1+float64(i)/1000) {
			writes++
		}
	}
	if writes > 10 {
		t.Errorf("written %d times within 10 s", writes)
	}
	s.later(2 * time.Second)
	want(0.1 + float64(99)/1000)
	if s.say(ref, 0.1+float64(99)/1000) {
		t.Error("written though nothing has changed")
	}
	s.say(ref, 0.5)
	s.say(ref, 0.6)
	s.say(ref, 0.5) // as it is recorded
	s.later(2 * time.Second)
	want(0.5)
	if s.lead.Due(func() (int64, bool) { return s.now, true }, s.mono) || len(s.lead.reports.late) > 0 {
		t.Error("there is something left to be written")
	}
}

// What was kept to be written later belongs to one claim, one leader, and a batch that
// is applied.
func TestProgressThatIsNotWritten(t *testing.T) {
	s := newShard(t)
	ref := s.add(1, DefaultOptions())[0]
	cl := s.claim(1, time.Hour)[0]
	s.say(ref, 0.1)
	s.say(ref, 0.2)
	s.change(func(c *Change) { c.Fail(work, ref, cl.Token, Failure{}) })
	s.claim(1, time.Hour)
	s.later(2 * time.Second)
	if got := s.task(ref); got.Fraction != 0.1 || got.State != Running {
		t.Errorf("of the claim before: %v, %v", got.Fraction, got.State)
	}
	if !s.say(ref, 0.3) {
		t.Error("the first word of a claim is not written")
	}
	s.later(2 * time.Second)
	c := Begin(s.begin(), s.lead)
	c.Report(work, ref, someone, Progress{Fraction: 0.4})
	c.End()
	s.settle() // it is never applied
	if !s.say(ref, 0.5) {
		t.Error("not written, as if the batch before had been applied")
	}
	s.say(ref, 0.6)
	s.now += 2000
	s.mono += 2 * time.Second
	s.lead.Step(s.begin()) // never applied either
	s.later(0)
	if got := s.task(ref).Fraction; got != 0.6 {
		t.Errorf("the record says %v", got)
	}
	s.say(ref, 0.7)
	s.elect()
	s.later(2 * time.Second)
	if !s.say(ref, 0.8) || s.task(ref).Fraction != 0.8 {
		t.Error("the next leader does not write what it is told")
	}
	s.say(ref, 0.9)
	s.later(2 * time.Second)
	s.change(func(c *Change) {
		c.Report(work, ref, someone, Progress{Fraction: 1})
		c.Cancel(work, ref)
	})
	s.later(2 * time.Second)
	if len(s.lead.reports.late)+len(s.lead.reports.written) > 0 {
		t.Error("remembered for ever")
	}
}
