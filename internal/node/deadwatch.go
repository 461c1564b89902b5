package node

import (
	"log/slog"
	"sync"
	"time"

	"tutti/internal/cluster"
)

// deadWatch gives up members that have been silent for as long as the map's
// policy says, and takes them back when they are heard: it tells meta, which
// plans their replicas elsewhere. Every node watches, and the one that leads
// meta tells, since a node that is cut off from the others would give up
// everybody else.
type deadWatch struct {
	self cluster.NodeID
	maps *cluster.Holder
	log  *slog.Logger
	mono func() time.Duration
	// up reports whether a member is heard.
	up func(cluster.NodeID) bool
	// leads reports whether this node leads meta.
	leads func() bool
	// tell runs a command on meta.
	tell func(args [][]byte) error

	since map[cluster.NodeID]time.Duration // when each silent member fell silent; of the goroutine

	wake chan struct{} // capacity 1: a signal
	quit chan struct{}
	wg   sync.WaitGroup
}

func newDeadWatch(self cluster.NodeID, maps *cluster.Holder, log *slog.Logger, mono func() time.Duration) *deadWatch {
	return &deadWatch{self: self, maps: maps, log: log, mono: mono,
		since: make(map[cluster.NodeID]time.Duration), wake: make(chan struct{}, 1), quit: make(chan struct{})}
}

// start begins to watch, once up, leads and tell are set.
func (w *deadWatch) start() { w.wg.Go(w.run) }

func (w *deadWatch) close() {
	close(w.quit)
	w.wg.Wait()
}

// signal has the watch look again: a link, the map or meta's leader has changed.
func (w *deadWatch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *deadWatch) run() {
	for {
		next := time.NewTimer(w.look())
		select {
		case <-w.quit:
			next.Stop()
			return
		case <-w.wake:
		case <-next.C:
		}
		next.Stop()
	}
}

// idle is how long nothing is due when nobody is silent.
const idle = time.Hour

// look tells meta what is due and returns when to look again, should nothing
// change until then.
func (w *deadWatch) look() time.Duration {
	m, now, wait := w.maps.Map(), w.mono(), idle
	silence := m.Policy.Silence()
	for _, x := range m.Members {
		if x.ID == w.self {
			continue
		}
		verb := ""
		if w.up(x.ID) {
			delete(w.since, x.ID)
			if x.State == cluster.Dead {
				verb = "ALIVE"
			}
		} else {
			if _, silent := w.since[x.ID]; !silent {
				w.since[x.ID] = now
			}
			if left := w.since[x.ID] + silence - now; left > 0 {
				wait = min(wait, left)
			} else if x.State == cluster.Active {
				verb = "DEAD"
			}
		}
		if verb != "" && w.leads() {
			w.log.Warn("a member's state changes", slog.Uint64("node", uint64(x.ID)), slog.String("to", verb), slog.Duration("silence", silence))
			if err := w.tell(words("TUTTI.MEMBER", verb, number(x.ID))); err != nil {
				w.log.Warn("meta was not told", slog.Any("error", err))
				wait = min(wait, retryEvery)
			}
		}
	}
	for node := range w.since {
		if _, ok := m.Member(node); !ok {
			delete(w.since, node)
		}
	}
	return wait
}
