package task

import (
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"tutti/internal/histogram"
)

// QueuesMetered is how many queues are told apart by those who watch. All others
// are counted together.
const QueuesMetered = 200

// Meter counts, for each queue, how long its tasks waited and ran. The zero value is
// ready, and nil counts nothing. It is safe for concurrent use.
type Meter struct {
	mu     sync.Mutex // guards queues
	queues map[string]*Spans
	rest   Spans
}

// OtherQueues is what those are called together that are not told apart.
const OtherQueues = "other"

// Spans is how long tasks of a queue took.
type Spans struct{ wait, run histogram.Histogram }

// spanScale is how much longer tasks take than what histograms are made for: so they
// reach from 4 ms to 9 minutes.
const spanScale = 64

// Wait is how long tasks were ready until they were claimed.
func (s *Spans) Wait() histogram.Snapshot { return scaled(s.wait.Snapshot()) }

// Run is how long attempts took, from their claim to their end.
func (s *Spans) Run() histogram.Snapshot { return scaled(s.run.Snapshot()) }

func scaled(h histogram.Snapshot) histogram.Snapshot {
	h.Sum *= spanScale
	for i := range h.AtMost {
		h.AtMost[i].Bound *= spanScale
	}
	return h
}

// of returns what is counted of a queue, together with others if there are too many.
func (m *Meter) of(queue []byte) *Spans {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.queues[string(queue)]; s != nil {
		return s
	}
	return m.admit(string(queue))
}

// admit begins to tell a queue apart, if there is room and its name can be shown.
func (m *Meter) admit(queue string) *Spans {
	if len(m.queues) >= QueuesMetered || queue == OtherQueues || !utf8.ValidString(queue) {
		return &m.rest
	}
	if m.queues == nil {
		m.queues = make(map[string]*Spans)
	}
	s := &Spans{}
	m.queues[queue] = s
	return s
}

// Keep forgets the queues that are not among names, which are sorted, and tells the
// first of the others apart as far as there is room.
func (m *Meter) Keep(names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for q := range m.queues {
		if _, ok := slices.BinarySearch(names, q); !ok {
			delete(m.queues, q)
		}
	}
	for _, q := range names {
		if m.queues[q] == nil {
			m.admit(q)
		}
	}
}

// Metered returns what is counted of a queue that is told apart; nil: it is not.
func (m *Meter) Metered(queue string) *Spans {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queues[queue]
}

// Rest returns what is counted of all that are not told apart.
func (m *Meter) Rest() *Spans { return &m.rest }

// spans is what a batch says of the times of its tasks, by task: it counts once the
// batch is applied.
type spans map[Ref]span

type span struct {
	queue     []byte
	wait, run time.Duration // negative: not known, or there is none
}

func (s spans) waited(t *Task, d time.Duration) {
	x, ok := s[t.Ref]
	if !ok {
		x = span{t.Queue, -1, -1}
	}
	x.wait = d
	s[t.Ref] = x
}

func (s spans) ran(t *Task, d time.Duration) {
	x, ok := s[t.Ref]
	if !ok {
		x = span{t.Queue, -1, -1}
	}
	x.run = d
	s[t.Ref] = x
}

// applied counts what a batch said of a task whose claim it gave or ended.
func (m *Meter) applied(s spans, ref Ref) {
	x, ok := s[ref]
	if !ok || m == nil {
		return
	}
	of := m.of(x.queue)
	if x.wait >= 0 {
		of.wait.Add(x.wait/spanScale, 1)
	}
	if x.run >= 0 {
		of.run.Add(x.run/spanScale, 1)
	}
}
