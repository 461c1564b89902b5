package shard

import (
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/eval"
)

// staged is a leadership with a batch in flight, and a clock that goes on by a
// millisecond each time it is asked.
func staged(index uint64) *leadership {
	now := time.Duration(0)
	h := &Host{cfg: Config{Clock: Clock{Mono: func() time.Duration { now += time.Millisecond; return now }}}}
	l := &leadership{r: &Replica{host: h}}
	l.fly(index)
	return l
}

// fly puts a batch in flight.
func (l *leadership) fly(index uint64) {
	l.inflight = inflight{batch: &eval.Batch{Index: index}, progress: progress{since: l.r.host.cfg.Clock.Mono()}}
}

// Each stage of a batch is counted once, whichever ends first.
func TestStagesAreCountedOnce(t *testing.T) {
	for name, ends := range map[string]func(l *leadership){
		"its own log first":     func(l *leadership) { l.durableTo(7); l.committedTo(7) },
		"the others first":      func(l *leadership) { l.committedTo(7); l.durableTo(7) },
		"told again, and later": func(l *leadership) { l.durableTo(7); l.durableTo(8); l.committedTo(7); l.committedTo(9) },
		"earlier entries":       func(l *leadership) { l.durableTo(6); l.committedTo(6); l.durableTo(7); l.committedTo(7) },
	} {
		l := staged(7)
		m := &l.r.host.meter
		ends(l)
		l.inflight.ended(l.r.host)
		c := m.Counts()
		if c.Stages.Durable.Count != 1 || c.Stages.Replicate.Count != 1 || c.Stages.Apply.Count != 1 || c.Commit.Count != 1 || c.Applied != 1 {
			t.Errorf("%s: %+v", name, c)
		}
		if c.Stages.Replicate.Sum+c.Stages.Apply.Sum != c.Commit.Sum {
			t.Errorf("%s: %v to be replicated and %v to be applied, %v together", name, c.Stages.Replicate.Sum, c.Stages.Apply.Sum, c.Commit.Sum)
		}
	}
	l := staged(7)
	l.inflight = inflight{}
	l.durableTo(9) // of nobody
	l.committedTo(9)
	if c := l.r.host.meter.Counts(); c.Stages.Durable.Count+c.Stages.Replicate.Count != 0 {
		t.Errorf("%+v", c)
	}
}

func TestMovesAreCounted(t *testing.T) {
	replica := func(id cluster.ReplicaID, p cluster.Part) cluster.Replica {
		return cluster.Replica{ID: id, Node: cluster.NodeID(id), Part: p}
	}
	var m moves
	d := cluster.Descriptor{Replicas: []cluster.Replica{replica(1, cluster.Voter), replica(2, cluster.Voter)}}
	for _, next := range [][]cluster.Replica{
		{replica(1, cluster.Voter), replica(2, cluster.Voter), replica(3, cluster.Learner)},
		{replica(1, cluster.Voter), replica(2, cluster.Leaving), replica(3, cluster.Voter)},
		{replica(1, cluster.Voter), replica(3, cluster.Voter)},
		{replica(1, cluster.Voter), replica(3, cluster.Learner)},
	} {
		was := d
		d.Replicas = next
		m.changed(was, d)
	}
	if got := m.Moves(); got != (Moves{Added: 1, Promoted: 1, Demoted: 1, Removed: 1}) {
		t.Errorf("%+v", got)
	}
	end := begin(&m.sending)
	if m.Moves().Sending != 1 {
		t.Error("not on its way")
	}
	if end(); m.Moves().Sending != 0 {
		t.Error("on its way for ever")
	}
}

// BenchmarkStages is all that the stages of one batch cost beside the clock.
func BenchmarkStages(b *testing.B) {
	l := staged(7)
	clock := SystemClock()
	l.r.host.cfg.Clock = clock
	b.ReportAllocs()
	batch := &eval.Batch{Index: 7}
	for b.Loop() {
		l.inflight = inflight{batch: batch, progress: progress{since: clock.Mono()}}
		l.durableTo(7)
		l.committedTo(7)
		l.inflight.ended(l.r.host)
	}
}
