package task

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// leases is since when workers are silent. A lease is one of a worker: each sign of
// life renews all of its claims. It is measured by the leader's monotonic clock, and
// a new leader begins each anew: so it is never too short.
type leases struct {
	workers map[string]*worker
	claims  map[Ref]*worker
	heap    workers // every worker, by a time that is not later than its end
}

type worker struct {
	name   string
	lease  time.Duration
	heard  time.Duration
	claims map[Ref]struct{}
	stops  []stopped
	due    time.Duration // in the heap
}

// stopped is a task that was taken from a worker; it is told so for as long as its
// lease.
type stopped struct {
	Stop
	until time.Duration
}

// stopsMax bounds what a worker is to be told.
const stopsMax = 1000

func newLeases() leases {
	return leases{workers: make(map[string]*worker), claims: make(map[Ref]*worker)}
}

func (w *worker) ends() time.Duration { return w.heard + w.lease }

// add notes a claim.
func (l *leases) add(ref Ref, name []byte, lease, mono time.Duration) {
	l.remove(ref)
	w := l.workers[string(name)]
	if w == nil {
		w = &worker{name: string(name), claims: make(map[Ref]struct{}), heard: mono, lease: lease, due: mono + lease}
		l.workers[w.name] = w
		heap.Push(&l.heap, w)
	}
	w.heard = max(w.heard, mono)
	if w.lease = lease; w.ends() < w.due { // it has chosen a shorter one
		w.due = w.ends()
		heap.Init(&l.heap)
	}
	w.claims[ref] = struct{}{}
	l.claims[ref] = w
	w.stops = slices.DeleteFunc(w.stops, func(s stopped) bool { return s.Ref == ref })
}

// restore notes a claim that an earlier leader gave, unless it is known better.
func (l *leases) restore(c foundClaim, mono time.Duration) {
	if l.claims[c.ref] == nil {
		l.add(c.ref, c.worker, c.lease, mono)
	}
}

func (l *leases) remove(ref Ref) {
	if w := l.claims[ref]; w != nil {
		delete(w.claims, ref)
		delete(l.claims, ref)
	}
}

// stop notes that a task was taken from its worker.
func (l *leases) stop(t *Task, mono time.Duration) {
	w := l.workers[string(t.Worker)]
	if w == nil || l.claims[t.Ref] != nil || len(w.stops) >= stopsMax {
		return
	}
	w.stops = append(w.stops, stopped{Stop{slices.Clone(t.Queue), t.Ref}, mono + w.lease})
}

// told returns what a worker is to be told to stop.
func (w *worker) told(mono time.Duration) (stops []Stop) {
	w.stops = slices.DeleteFunc(w.stops, func(s stopped) bool { return s.until <= mono })
	for _, s := range w.stops {
		stops = append(stops, s.Stop)
	}
	return stops
}

// next is when the first lease may end.
func (l *leases) next() (time.Duration, bool) {
	if len(l.heap) == 0 {
		return 0, false
	}
	return l.heap[0].due, true
}

// expired returns a worker whose lease has ended and who has claims; nil: there is
// none.
func (l *leases) expired(mono time.Duration) *worker {
	for len(l.heap) > 0 && l.heap[0].due <= mono {
		w := l.heap[0]
		switch {
		case w.ends() > mono:
			w.due = w.ends()
			heap.Fix(&l.heap, 0)
		case len(w.claims) == 0 && len(w.told(mono)) > 0:
			w.due = w.stops[len(w.stops)-1].until
			heap.Fix(&l.heap, 0)
		case len(w.claims) == 0:
			heap.Pop(&l.heap)
			delete(l.workers, w.name)
		default:
			return w
		}
	}
	return nil
}

// some returns up to n claims of a worker, always in the same order.
func (w *worker) some(n int) []Ref {
	refs := make([]Ref, 0, len(w.claims))
	for ref := range w.claims {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Number, b.Number))
	})
	return refs[:min(n, len(refs))]
}

// workers is a heap by due.
type workers []*worker

func (h workers) Len() int           { return len(h) }
func (h workers) Less(i, j int) bool { return h[i].due < h[j].due }
func (h workers) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *workers) Push(x any)        { *h = append(*h, x.(*worker)) }
func (h *workers) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return w
}
