package task

import (
	"slices"

	"tutti/internal/keyspace"
)

// tallies is the rows of the queues of a shard as they were applied last, so that
// those who watch need not look for them.
type tallies struct {
	rows map[string][]byte // by name; rows are not changed, but replaced
	gone map[string]bool   // since the leader began to look for them; nil: it has found them
}

// talliesMax bounds the queues of which a leader tells, of more it tells of those it
// learned of first.
const talliesMax = 10_000

func newTallies() tallies {
	return tallies{rows: make(map[string][]byte), gone: make(map[string]bool)}
}

func (t *tallies) put(name, val []byte) {
	if t.gone != nil {
		delete(t.gone, string(name))
	}
	if _, known := t.rows[string(name)]; known || len(t.rows) < talliesMax {
		t.rows[string(name)] = slices.Clone(val)
	}
}

func (t *tallies) delete(name []byte) {
	delete(t.rows, string(name))
	if t.gone != nil && len(t.gone) < talliesMax {
		t.gone[string(name)] = true
	}
}

// restore takes over rows that were found. What was learned since is newer. After so
// many deletions that not all are known it would bring back queues that are gone.
func (t *tallies) restore(found []foundQueue) {
	for _, q := range found {
		if _, known := t.rows[q.name]; !known && !t.gone[q.name] && len(t.gone) < talliesMax && len(t.rows) < talliesMax {
			t.rows[q.name] = q.val
		}
	}
	t.gone = nil
}

type foundQueue struct {
	name string
	val  []byte
}

// Tally is what a leader tells of a queue to those who watch.
type Tally struct {
	Name    string
	Workers int // claims that wait for its tasks

	row   []byte
	ready func(order uint64) (at int64, ok bool)
}

// Tallies lists the queues, in no order. They may be kept, and used beside the loop.
func (l *Lead) Tallies() []Tally {
	list := make([]Tally, 0, len(l.tallies.rows))
	known := moments{list: slices.Clone(l.moments.list)}
	for name, row := range l.tallies.rows {
		list = append(list, Tally{Name: name, row: row, ready: known.of})
	}
	return list
}

// Queue reads the settings and counts of the queue; nil: they can't be read.
func (t *Tally) Queue() *Queue {
	q, err := DecodeQueue([]byte(t.Name), t.row)
	if err != nil {
		return nil
	}
	return q
}

// Oldest returns since when the task waits that has been ready for longest, by a state
// of the shard that is as new as the tally: at the earliest since its leader began to
// lead. ok is false if there is none.
func (t *Tally) Oldest(q *Queue, state keyspace.Reader) (since int64, ok bool, err error) {
	for prio := range q.first {
		if q.Now[Ready] == 0 || q.first[prio] == 0 {
			continue
		}
		lower := readyPrefix(nil, q.Name, uint8(prio))
		it, err := state.Iter(be.AppendUint64(slices.Clone(lower), q.first[prio]), keyspace.PrefixEnd(nil, lower))
		if err != nil {
			return 0, false, err
		}
		if it.First() && len(it.Key()) == len(lower)+8 {
			if at, known := t.ready(be.Uint64(it.Key()[len(lower):])); known && (!ok || at < since) {
				since, ok = at, true
			}
		}
		if err := it.Close(); err != nil {
			return 0, false, err
		}
	}
	return since, ok, nil
}
