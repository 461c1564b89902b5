package shard

import (
	"sync/atomic"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/histogram"
	"tutti/internal/spike"
)

// stages is where the time of a batch goes at its leader. All is measured once for a
// batch, or a round, and never for a command.
type stages struct {
	// durable is from the proposal to the entry being durable in the leader's own log,
	// replicate to its being committed, and apply from there to its being visible.
	durable, replicate, apply histogram.Histogram
	// round is from the beginning of a ReadIndex round here to its end.
	round histogram.Histogram
}

// progress is how far the batch in flight has come, by the monotonic clock.
type progress struct {
	since     time.Duration // when it was proposed
	durable   bool          // in the own log
	committed time.Duration // 0: not yet
}

// durableTo notes that the own log is durable up to an index.
func (l *leadership) durableTo(index uint64) {
	if f := &l.inflight; f.batch != nil && !f.durable && index >= f.batch.Index {
		f.durable = true
		l.r.host.meter.durable.Add(l.r.host.cfg.Clock.Mono()-f.since, 1)
	}
}

// committedTo notes that a majority has the log up to an index.
func (l *leadership) committedTo(index uint64) {
	if f := &l.inflight; f.batch != nil && f.committed == 0 && index >= f.batch.Index {
		f.committed = l.r.host.cfg.Clock.Mono()
		l.r.host.meter.replicate.Add(f.committed-f.since, 1)
		l.r.host.cfg.Spikes.Note(spike.Commit, f.committed-f.since)
	}
}

// ended counts a batch that is applied.
func (p progress) ended(h *Host) {
	m, now := &h.meter, h.cfg.Clock.Mono()
	m.applied.Add(1)
	m.commit.Add(now-p.since, 1)
	if p.committed != 0 {
		m.apply.Add(now-p.committed, 1)
		h.cfg.Spikes.Note(spike.Apply, now-p.committed)
	}
}

// moves counts what has become of replicas.
type moves struct {
	sending, receiving                 atomic.Int64 // snapshots under way
	added, promoted, demoted, departed atomic.Uint64
}

// Moves is what has become of the replicas of the shards that this node leads or led:
// copies that were begun, that got their vote or gave it up, that were removed; and
// how many snapshots are on their way.
type Moves struct {
	Added, Promoted, Demoted, Removed uint64
	Sending, Receiving                int64
}

// Moves returns what has been counted.
func (m *moves) Moves() Moves {
	return Moves{Added: m.added.Load(), Promoted: m.promoted.Load(), Demoted: m.demoted.Load(), Removed: m.departed.Load(),
		Sending: m.sending.Load(), Receiving: m.receiving.Load()}
}

// begin counts a snapshot that is on its way until the function that it returns is
// called.
func begin(n *atomic.Int64) (end func()) {
	n.Add(1)
	return func() { n.Add(-1) }
}

// changed counts what differs between two descriptors of a shard.
func (m *moves) changed(was, is cluster.Descriptor) {
	for _, x := range is.Replicas {
		old, had := was.Replica(x.ID)
		switch {
		case !had:
			m.added.Add(1)
		case old.Part != cluster.Voter && x.Part == cluster.Voter:
			m.promoted.Add(1)
		case old.Part == cluster.Voter && x.Part == cluster.Learner:
			m.demoted.Add(1)
		}
	}
	for _, x := range was.Replicas {
		if _, has := is.Replica(x.ID); !has {
			m.departed.Add(1)
		}
	}
}
