package task

import (
	"strings"
	"testing"
	"time"
)

// why asks what a task waits for; workers is how many claims wait.
func (s *shard) why(ref Ref, workers int) *Answer {
	s.t.Helper()
	tx := s.begin()
	a := Why(tx, s.lead, func(topic []byte) int {
		if string(topic) != string(QueueTopic(work)) {
			s.t.Errorf("asked who waits for %q", topic)
		}
		return workers
	}, nil, ref)
	if tx.Err() != nil {
		s.t.Fatal(tx.Err())
	}
	if !tx.Empty() {
		s.t.Error("to ask has effects")
	}
	return a
}

func (s *shard) set(change func(q *Settings)) {
	s.change(func(c *Change) { c.Set(work, func(q *Settings) bool { change(q); return true }) })
}

// keyed are options of tasks of one KEY.
func keyed(key string) Options {
	o := DefaultOptions()
	o.Key = []byte(key)
	return o
}

// TestWhy brings a task into each place where one may stay, and asks why it is there.
func TestWhy(t *testing.T) {
	for name, c := range map[string]struct {
		bring func(s *shard) Ref
		says  [][2]string // of each reason: what it is, and a part of its text with its names
		do    string
	}{
		"next": {func(s *shard) Ref { return s.add(1, DefaultOptions())[0] },
			[][2]string{{ForWorker, "it is the next one of queue \"work\", and no worker waits"}}, "start a worker"},
		"behind others": {func(s *shard) Ref {
			o := DefaultOptions()
			o.Prio = 9
			s.add(2, o)
			o.Prio = 1
			s.add(3, o)
			s.add(4, DefaultOptions())
			return s.add(1, DefaultOptions())[0]
		}, [][2]string{{ForWorker, "6 tasks of queue \"work\" go before it"}}, "start a worker"},
		"paused": {func(s *shard) Ref {
			s.set(func(q *Settings) { q.Paused = true })
			return s.add(1, DefaultOptions())[0]
		}, [][2]string{{ForResume, "is paused"}, {ForWorker, ""}}, "tutti queue resume work"},
		"limit": {func(s *shard) Ref {
			s.set(func(q *Settings) { q.Limit = 1 })
			s.add(1, DefaultOptions())
			s.claim(1, time.Minute)
			return s.add(1, DefaultOptions())[0]
		}, [][2]string{{ForLimit, "as its LIMIT allows, 1"}, {ForWorker, ""}}, "TASK.QUEUE work LIMIT 2"},
		"rate": {func(s *shard) Ref {
			s.set(func(q *Settings) { q.Rate = 1 })
			ref := s.add(3, DefaultOptions())[2]
			s.claim(1, time.Minute)
			s.later(time.Second)
			if len(s.claim(2, time.Minute)) != 1 {
				s.t.Error("the rate is not as it is said")
			}
			return ref
		}, [][2]string{{ForRate, "1 tasks a second (RATE), the next in 1s"}, {ForWorker, ""}}, "TASK.QUEUE work RATE 0"},
		"key": {func(s *shard) Ref {
			s.add(1, keyed("k"))
			s.claim(1, time.Minute)
			s.add(1, keyed("other"))
			return s.add(2, keyed("k"))[1]
		}, [][2]string{{ForTurn, "2 tasks wait for a turn of KEY \"k\", and 1 of 1 are taken: {ye}work:1 (running by \"w\" since"}}, "tutti why '{ye}work:1'"},
		"after": {func(s *shard) Ref {
			a, b := s.add(1, DefaultOptions())[0], s.add(1, DefaultOptions())[0]
			s.claim(1, time.Minute)
			var refs []Ref
			s.change(func(c *Change) {
				refs, _ = c.Add(&Addition{Queue: work, Payloads: [][]byte{nil}, After: []Parent{{Ref: a}, {Ref: b}}, Options: DefaultOptions()})
			})
			return refs[0]
		}, [][2]string{{ForTasks, "2 tasks that must be done first (AFTER): {ye}work:1 (running by \"w\" since 2023-11-14T22:13:20Z), {ye}work:2 (ready)"}}, "tutti why '{ye}work:1'"},
		"time": {func(s *shard) Ref {
			var refs []Ref
			s.change(func(c *Change) {
				refs, _ = c.Add(&Addition{Queue: work, Payloads: [][]byte{nil}, RunAt: s.now + 90_000, Options: DefaultOptions()})
			})
			return refs[0]
		}, [][2]string{{ForTime, "due at 2023-11-14T22:14:50Z, in 1m30s"}}, ""},
		"next attempt": {func(s *shard) Ref {
			ref := s.add(1, DefaultOptions())[0]
			c := s.claim(1, time.Minute)[0]
			s.change(func(x *Change) { x.Fail(work, ref, c.Token, Failure{Text: []byte("no such file"), Wait: 5000}) })
			s.set(func(q *Settings) { q.Paused = true })
			return ref
		}, [][2]string{{ForTime, "in 5s; attempt 1 failed: \"no such file\""}, {ForResume, ""}}, ""},
		"running": {func(s *shard) Ref {
			ref := s.add(1, DefaultOptions())[0]
			s.claim(1, time.Minute)
			s.later(20 * time.Second)
			s.change(func(c *Change) { c.Report(work, ref, someone, Progress{0.25, []byte("page 3")}) })
			return ref
		}, [][2]string{{ForResult, "worker \"w\" runs it since 2023-11-14T22:13:20Z, attempt 1; it was heard 20s ago, and if it stays silent the task is taken from it in 40s; it said 25 % \"page 3\""}}, "tutti task cancel"},
		"done": {func(s *shard) Ref {
			ref := s.add(1, DefaultOptions())[0]
			c := s.claim(1, time.Minute)[0]
			s.change(func(x *Change) { x.Done(work, ref, c.Token, nil) })
			return ref
		}, [][2]string{{ForNobody, "it ended done at 2023-11-14T22:13:20Z after 1 attempt; its record is kept until 2023-11-14T23:13:20Z"}}, "tutti task show"},
		"dead": {func(s *shard) Ref {
			ref := s.add(1, DefaultOptions())[0]
			c := s.claim(1, time.Minute)[0]
			s.change(func(x *Change) { x.Fail(work, ref, c.Token, Failure{Text: []byte("broken"), Wait: -1, Final: true}) })
			return ref
		}, [][2]string{{ForNobody, "it ended dead at 2023-11-14T22:13:20Z after 1 attempt: \"broken\""}}, "tutti task retry"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShard(t)
			a := s.why(c.bring(s), 0)
			if len(a.Reasons) != len(c.says) {
				t.Fatalf("reasons %+v", a.Reasons)
			}
			do := ""
			for i, r := range a.Reasons {
				r.Name(func(string) bool { return true })
				if text := strings.ReplaceAll(r.Text, string(AppendID(nil, nil, Ref{homeSlot(work), 1})[:headLen]), "{ye}"); r.For != c.says[i][0] || !strings.Contains(text, c.says[i][1]) {
					t.Errorf("%s: %s", r.For, text)
				}
				if i == 0 {
					do = strings.ReplaceAll(r.Do, string(AppendID(nil, nil, Ref{homeSlot(work), 1})[:headLen]), "{ye}")
				}
			}
			if !strings.Contains(do, c.do) || (c.do == "") != (do == "") {
				t.Errorf("to do: %q, want %q", do, c.do)
			}
		})
	}
}

// What is not known where one asks is not said; and there is no answer about nothing.
func TestWhyWithoutLeader(t *testing.T) {
	s := newShard(t)
	ref := s.add(1, DefaultOptions())[0]
	if a := Why(s.begin(), nil, nil, nil, ref); a.Workers != -1 || strings.Contains(a.Reasons[0].Text, "waits for tasks") {
		t.Errorf("%+v", a.Reasons)
	}
	s.claim(1, time.Minute)
	if a := Why(s.begin(), nil, nil, nil, ref); strings.Contains(a.Reasons[0].Text, "heard") {
		t.Errorf("%+v", a.Reasons)
	}
	if a := Why(s.begin(), s.lead, nil, nil, Ref{7, 7}); a != nil {
		t.Errorf("%+v", a)
	}
	if a := Why(s.begin(), s.lead, nil, []byte("other"), ref); a != nil {
		t.Errorf("the task of another queue: %+v", a)
	}
}

// A task that the one who asks may not look at is counted, and not named.
func TestReasonNamesOnlyWhatMayBeSeen(t *testing.T) {
	r := Reason{Text: "it waits", Do: "this", Tasks: []Other{{ID: "a", State: "ready"}, {ID: "b", State: "running", Worker: "secret"}}, More: 1}
	r.Name(func(id string) bool { return id == "a" })
	if r.Text != "it waits: a (ready), 2 more" || r.Do != "tutti why a" || len(r.Tasks) != 1 || r.More != 2 {
		t.Errorf("%+v", r)
	}
	r = Reason{Text: "it waits", Do: "this", Tasks: []Other{{ID: "b"}}}
	r.Name(func(string) bool { return false })
	if r.Text != "it waits" || r.Do != "this" || len(r.Tasks) != 0 || r.More != 1 {
		t.Errorf("%+v", r)
	}
}

// However much there is, an answer looks at no more than it may.
func TestWhyIsBounded(t *testing.T) {
	s := newShard(t)
	for range 3 {
		s.add(PayloadsMax, DefaultOptions())
	}
	s.add(1, keyed("k"))
	late := s.add(1, keyed("k"))[0]
	last := s.add(1, DefaultOptions())[0]
	for _, ref := range []Ref{late, last} {
		tx := s.begin()
		a := Why(tx, s.lead, nil, nil, ref)
		if tx.Steps() > 2*(AheadMax+whyRows) {
			t.Errorf("%d steps", tx.Steps())
		}
		if ref == last && (a.Ahead != AheadMax || !strings.Contains(a.Reasons[0].Text, "1000 or more of the 3002 ready tasks")) {
			t.Errorf("%d ahead: %s", a.Ahead, a.Reasons[0].Text)
		}
	}
}
