package task

import (
	"slices"
	"time"

	"tutti/internal/keyspace"
)

// lanes is what a leader remembers of a queue: for each priority the tasks that are
// ready, and the allowance of its rate.
type lanes struct {
	name    string
	lane    [prioMax + 1]lane
	touched bool            // in this batch
	fetched map[Ref]fetched // for this batch

	bucket float64       // claims that are allowed now, as of filled
	filled time.Duration // at the start of a term it is empty
	taken  int           // in this batch
	wake   time.Duration // when those who wait may claim again; 0: they need not be told
}

type entry struct {
	order uint64
	ref   Ref
}

// pageMax bounds how many ready tasks of a priority are in memory: 96 KiB. The
// others are read from their rows when it is their turn.
const pageMax = 4096

// lane is the ready tasks of one priority of a queue, first the oldest ones that are
// applied, then those that this batch has added.
type lane struct {
	page   []entry // in order; some may have been taken by this batch
	last   uint64  // order up to which page has everything
	more   bool    // there may be more behind it
	loaded bool

	at      int // how many of page this batch has passed
	added   []entry
	addedAt int
}

// fill reads the next ones from their rows.
func (ln *lane) fill(state keyspace.Reader, queue []byte, prio uint8) error {
	lower := readyPrefix(nil, queue, prio)
	it, err := state.Iter(be.AppendUint64(lower, ln.last+1), keyspace.PrefixEnd(nil, lower))
	if err != nil {
		return err
	}
	n := 0
	ok := it.First()
	for ; ok && n < pageMax; ok = it.Next() {
		ln.last = be.Uint64(it.Key()[len(lower):])
		if ref, err := refIn(it.Value()); err == nil {
			ln.page = append(ln.page, entry{ln.last, ref})
		}
		n++
	}
	ln.more = ok
	return it.Close()
}

// append adds a task that is ready in the applied state; they come in order.
func (ln *lane) append(e entry) {
	switch {
	case !ln.loaded || ln.more || e.order <= ln.last:
	case len(ln.page) >= pageMax:
		ln.more = true
	default:
		ln.page = append(ln.page, e)
		ln.last = e.order
	}
}

// remove takes out a task that is not ready any more in the applied state.
func (ln *lane) remove(order uint64) {
	switch i, found := slices.BinarySearchFunc(ln.page, order, func(e entry, order uint64) int {
		return compare(e.order, order)
	}); {
	case !found:
	case i == 0:
		if ln.page = ln.page[1:]; len(ln.page) == 0 {
			ln.page = nil
		}
	default:
		ln.page = slices.Delete(ln.page, i, i+1)
	}
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// advance passes the task that peek gave.
func (q *lanes) advance(prio uint8) {
	ln := &q.lane[prio]
	if ln.at < len(ln.page) {
		ln.at++
	} else {
		ln.addedAt++
	}
}

// rewind makes all tasks candidates again.
func (q *lanes) rewind() {
	for i := range q.lane {
		q.lane[i].at, q.lane[i].addedAt = 0, 0
	}
}

// reset forgets what a batch has done.
func (q *lanes) reset() {
	q.rewind()
	for i := range q.lane {
		q.lane[i].added = q.lane[i].added[:0]
	}
	q.touched, q.taken = false, 0
	clear(q.fetched)
}

// refill lets the time that has passed allow more claims, at most those of a second
// at once.
func (q *lanes) refill(rate uint64, mono time.Duration) {
	q.bucket = min(q.bucket+(mono-q.filled).Seconds()*float64(rate), float64(rate))
	q.filled = mono
}
