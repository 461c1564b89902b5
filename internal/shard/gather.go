package shard

import (
	"time"

	"tutti/internal/eval"
)

// gather lets a batch wait for those who were answered with the one before. Clients that
// wait for their answers fall into two halves: while the entry of one is on its way the
// other one comes, and begins at once when the first is answered. Each entry costs three
// syncs and six messages, whatever it holds; if the second half waits for the first to come
// back, one entry takes both.
//
// That pays where they come back within gatherMax. Where they do not, because the way to
// them is long or they rest, it is tried ever less often. A batch of few commands is not
// waited for: who works alone would only wait longer.
//
// 50 clients on two cores, thousands a second by turns without and with it: SET 32.6 33.6,
// 38.7 35.3; INCR 34.0 34.9, 41.5 41.2; XADD and XREADGROUP, 16 at once, 53.9 47.7, 60.1 61.0.
// One client and 500 are as before.
type gather struct {
	want  int           // commands that are worth evaluating at once; 0: all are
	half  int           // with fewer in the end it was in vain
	until time.Duration // on the monotonic clock, when it waits no longer
	armed bool          // something comes to the loop then
	seen  int           // groups of the queue that are counted
	count int           // their commands
	skip  int           // batches that are not waited for
	vain  int           // how many that is after the next time in vain
}

const (
	// gatherMax is how long a batch waits: as 25 clients take to be answered and ask again
	// on a busy machine. With 150 µs less than half of the gain was left.
	gatherMax = 300 * time.Microsecond
	// gatherLeast is how many commands a batch must have had.
	gatherLeast = 8
	// gatherShare, in tenths, of those that were answered or waited is worth to begin with.
	gatherShare = 8
	// gatherVainMax is how many batches are not waited for after many times in vain.
	gatherVainMax = 1 << 10
)

// answered notes that a batch of so many commands was answered, while others wait.
func (g *gather) answered(commands, waiting int, now time.Duration) {
	g.want = 0
	switch {
	case commands < gatherLeast:
	case g.skip > 0:
		g.skip--
	default:
		g.want, g.half, g.until = (commands+waiting)*gatherShare/10, waiting+commands/2, now+gatherMax
	}
}

// waits reports whether these commands had better wait, and for how long at most.
func (g *gather) waits(commands int, now time.Duration) (time.Duration, bool) {
	switch {
	case g.want == 0:
		return 0, false
	case commands >= g.want:
		g.want, g.vain = 0, 0
		return 0, false
	case now < g.until:
		return g.until - now, true
	}
	if g.want = 0; commands >= g.half {
		g.vain = 0
		return 0, false
	}
	g.skip, g.vain = g.vain, min(2*g.vain+1, gatherVainMax)
	return 0, false
}

// counts returns how many commands wait. Groups come at the end while a batch waits for more.
func (g *gather) counts(queue []eval.Waiting) int {
	if len(queue) < g.seen {
		g.seen, g.count = 0, 0
	}
	for i := g.seen; i < len(queue); i++ {
		g.count += len(queue[i].Cmds)
	}
	g.seen = len(queue)
	return g.count
}

// rejoined notes that a batch was answered: those who come back are worth waiting for.
func (l *leadership) rejoined(b *eval.Batch) {
	n, g := 0, &l.gather
	for _, x := range b.Groups {
		n += len(x.Cmds)
	}
	g.seen, g.count = 0, 0
	g.answered(n, g.counts(l.queue.groups), l.r.host.cfg.Clock.Mono())
}

// gathers reports whether what waits in the queue had better wait for more.
func (l *leadership) gathers() bool {
	g := &l.gather
	if g.want == 0 {
		return false
	}
	left, waits := g.waits(g.counts(l.queue.groups), l.r.host.cfg.Clock.Mono())
	if waits && !g.armed {
		g.armed = true
		time.AfterFunc(left, func() {
			l.r.loop.post(inLoop{l.r, func() {
				g.armed = false
				l.r.loop.touch(l.r)
			}})
		})
	}
	return waits
}
