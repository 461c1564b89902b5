package shard

import (
	"slices"

	"tutti/internal/eval"
	"tutti/internal/group"
)

// largeGroups are the groups at a leader whose entries take long to be written and sent.
// They wait beside the others and take turns with them: else a SET that comes behind six of
// 16 MiB, or into one entry with one, waits until all of those are on disk everywhere, and
// is refused because they fill the queue.
type largeGroups struct {
	groups []eval.Waiting // oldest first
	bytes  int            // of groups
	// next says that the last batch was without any: it is their turn.
	next bool
}

const (
	// largeMin is the size of a group that others had better not wait for: several times
	// what a pipeline of small commands has.
	largeMin = 256 << 10
	// largeBatch is how much of them goes into the queue at once, unless one has more: about
	// what a batch takes of it.
	largeBatch = 1 << 20
)

// add takes a group in, unless too much waits.
func (w *largeGroups) add(g *group.Group) bool {
	if w.bytes > queueBytesMax {
		return false
	}
	w.groups = append(w.groups, eval.Waiting{Group: g})
	w.bytes += g.Size()
	return true
}

// letLarge puts large groups at the head of the queue if it is their turn: nobody else
// waits, or the last batch was without any. It is called before a batch is evaluated.
func (q *queue) letLarge() {
	w := &q.large
	if len(w.groups) == 0 || len(q.groups) > 0 && (!w.next || q.groups[0].Prepared != nil || q.groups[0].Group.Size() > largeMin) {
		return // none waits, it is the turn of others, or one that was put there before has the head
	}
	n, bytes := 0, 0
	for ; n < len(w.groups) && (n == 0 || bytes+w.groups[n].Group.Size() <= largeBatch); n++ {
		bytes += w.groups[n].Group.Size()
	}
	q.groups = slices.Insert(q.groups, 0, w.groups[:n]...)
	q.bytes += bytes
	w.groups, w.bytes = slices.Delete(w.groups, 0, n), w.bytes-bytes
}
