package shard

import (
	"slices"

	"tutti/internal/command"
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
	// alone is how many batches in turn have had nothing else.
	alone int
}

const (
	// largeMin is the size of a group that others had better not wait for: several times
	// what a pipeline of small commands has.
	largeMin = 256 << 10
	// largeBatch is how much of them goes into the queue at once, unless one has more: about
	// what a batch takes of it.
	largeBatch = 1 << 20
	// partsBatch is the same for parts of values: there are many, so each entry may be short.
	// With six values of 16 MiB at a time small SETs of others took 17 ms (p99) so, and 62 to
	// 127 with 1 MiB, of parts of 256 KiB.
	partsBatch = 128 << 10
	// piecesBatch is the same for pieces of effects. Beside those of 16 MiB small SETs took 16 ms
	// (p99), and 19 with 128 KiB; beside values, 64 KiB gained nothing.
	piecesBatch = 64 << 10
	// aloneFor is for how many batches in turn nobody else has had anything, so that parts
	// may come in as large entries as others: with short ones a value costs twice the work.
	aloneFor = 4
)

// takesTurns reports whether a group waits among the large ones.
func takesTurns(g *group.Group) bool { return g.Size() > largeMin || isPart(g) }

// add takes a group in.
func (w *largeGroups) add(g *group.Group) {
	w.groups = append(w.groups, eval.Waiting{Group: g})
	w.bytes += g.Size()
}

// isPart reports whether a group brings a part of a value, see keyspace.Upload.
func isPart(g *group.Group) bool { return len(g.Cmds) == 1 && command.IsPart(g.Cmds[0].Args) }

// took notes how many of the groups of a batch were large, how many others, and whether it
// had a piece of effects.
func (w *largeGroups) took(large, others int, piece bool) {
	w.next = large == 0
	if others > 0 {
		w.alone = 0
	} else if large > 0 || piece {
		w.alone++
	}
}

// most is how much of what comes bit by bit goes into the next batch: beside others so many
// bytes.
func (w *largeGroups) most(beside int) int {
	if w.alone < aloneFor {
		return beside
	}
	return largeBatch
}

// Large says what is large, in bytes. The zero value is what nodes do.
type Large struct {
	CarryFrom  int // groups and replies that are larger go over connections of their own. 0: 2 MiB
	PiecesFrom int // effects that are larger go into the log in pieces. 0: 2 MiB
	PieceBytes int // how large a piece is. 0: 64 KiB; 1 MiB while nobody else has anything
}

// letLarge puts large groups at the head of the queue if it is their turn: nobody else
// waits, or the last batch was without any. It is called before a batch is evaluated.
func (q *queue) letLarge() {
	w := &q.large
	if len(w.groups) == 0 || len(q.groups) > 0 && (!w.next || q.groups[0].Prepared != nil || takesTurns(q.groups[0].Group)) {
		return // none waits, it is the turn of others, or one that was put there before has the head
	}
	n, bytes, most := 0, 0, largeBatch
	if isPart(w.groups[0].Group) {
		most = w.most(partsBatch)
	}
	for ; n < len(w.groups) && (n == 0 || bytes+w.groups[n].Group.Size() <= most); n++ {
		bytes += w.groups[n].Group.Size()
	}
	q.groups = slices.Insert(q.groups, 0, w.groups[:n]...)
	q.bytes += bytes
	w.groups, w.bytes = slices.Delete(w.groups, 0, n), w.bytes-bytes
}
