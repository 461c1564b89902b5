package task

import (
	"cmp"
	"slices"
	"time"
)

// How far a task is its worker may say as often as it likes, but each record of that is
// an entry's worth of work for all replicas. So it is written only if it has changed,
// and at most so often: what was said meanwhile the leader keeps, and writes later.
// A later leader writes what it is told next.

// reportEvery is how often the progress of a task is written at most.
const reportEvery = time.Second

// reports is what workers have said of running tasks.
type reports struct {
	written map[Ref]time.Duration // when, by the monotonic clock
	late    map[Ref]Progress      // what was said since
	due     time.Duration         // when the first of late is to be written, or earlier; 0: there is none

	batch []Ref // whose progress is written in this batch
}

func newReports() reports {
	return reports{written: make(map[Ref]time.Duration), late: make(map[Ref]Progress)}
}

// hold keeps what was said of a task whose progress was written a moment ago. It
// reports false if that is longer ago.
func (r *reports) hold(ref Ref, p Progress, mono time.Duration) bool {
	at, ok := r.written[ref]
	if !ok || mono >= at+reportEvery {
		return false
	}
	r.late[ref] = Progress{p.Fraction, slices.Clone(p.Message)}
	if due := at + reportEvery; r.due == 0 || due < r.due {
		r.due = due
	}
	return true
}

// applied notes that what the batch has written is.
func (r *reports) applied(mono time.Duration) {
	for _, ref := range r.batch {
		r.written[ref] = mono
		delete(r.late, ref)
	}
	r.batch = r.batch[:0]
	if r.due == 0 || r.due > mono {
		return
	}
	r.due = 0
	for ref := range r.late {
		if due := r.written[ref] + reportEvery; r.due == 0 || due < r.due {
			r.due = due
		}
	}
}

// forget forgets a claim that has ended, or begins.
func (r *reports) forget(ref Ref) {
	delete(r.written, ref)
	delete(r.late, ref)
}

// next lists tasks whose progress is to be written now, up to n.
func (r *reports) next(mono time.Duration, n int) (refs []Ref) {
	if r.due == 0 || r.due > mono {
		return nil
	}
	for ref := range r.late {
		if r.written[ref]+reportEvery <= mono {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, func(a, b Ref) int { return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Number, b.Number)) })
	return refs[:min(n, len(refs))]
}

// Report notes how far a worker has come with a task. It is false if the worker
// does not have the task any more.
func (c *Change) Report(queue []byte, ref Ref, worker []byte, p Progress) bool {
	t := loadTask(c.tx, ref, queue)
	if t == nil || t.State != Running || string(t.Worker) != string(worker) {
		return false
	}
	r := &c.lead.reports
	if same := t.Fraction == p.Fraction && string(t.Message) == string(p.Message); same {
		delete(r.late, ref)
	} else if !r.hold(ref, p, c.lead.mono) {
		writeReport(c, t, p)
	}
	return true
}

func writeReport(c *Change, t *Task, p Progress) {
	t.Progress = p
	c.save(t)
	c.lead.reports.batch = append(c.lead.reports.batch, t.Ref)
}

// lateReports writes what workers said a moment after they had said something else.
func (c step) lateReports() {
	r := &c.lead.reports
	for _, ref := range r.next(c.lead.mono, stepMax) {
		p := r.late[ref]
		c.guarded(func() {
			if t := loadTask(c.tx, ref, nil); t != nil && t.State == Running {
				writeReport(c.Change, t, p)
			} else {
				delete(r.late, ref)
			}
		}, func() { delete(r.late, ref) })
	}
}
