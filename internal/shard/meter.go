package shard

import (
	"sync/atomic"

	"tutti/internal/histogram"
	"tutti/internal/task"
)

// meter counts what the shards of a node do. Loops and what works for them add;
// anybody may read.
type meter struct {
	unreadable
	finds
	stages
	moves
	tasks task.Meter
	// commit is the time from the proposal of a batch to its being applied here;
	// cycle that of one turn of an event loop.
	commit, cycle histogram.Histogram
	// Batches by what became of them: refused is by raft, lost is those in whose
	// place another leader's entry stands, or that a leadership ended before.
	applied, refused, lost atomic.Uint64
	// Leaderships that began here: after an election, or handed over by the
	// leader before.
	elected, handedOver           atomic.Uint64
	sent, sendFailed              atomic.Uint64 // snapshots
	received, receiveFailed       atomic.Uint64
	snapshotOut, snapshotReceived atomic.Uint64 // bytes of rows
}

// Counts is what the shards of a node have done since it started.
type Counts struct {
	Commit, Cycle            histogram.Snapshot
	Stages                   Stages
	Rounds                   histogram.Snapshot // of ReadIndex
	Applied, Refused, Lost   uint64             // batches that were proposed here
	Elected, HandedOver      uint64             // leaderships that began here
	SnapshotsSent            uint64
	SnapshotsNotSent         uint64
	SnapshotsReceived        uint64
	SnapshotsNotReceived     uint64
	BytesSent, BytesReceived uint64 // of snapshots
	Unreadable               uint64 // commands that met a row which can't be read
}

// Stages is where the time of batches went: to their being durable in the log of their
// leader, to their being committed, and from there to their being visible.
type Stages struct{ Durable, Replicate, Apply histogram.Snapshot }

// Counts returns what has been counted.
func (m *meter) Counts() Counts {
	return Counts{
		Commit: m.commit.Snapshot(), Cycle: m.cycle.Snapshot(), Rounds: m.round.Snapshot(),
		Stages:  Stages{Durable: m.durable.Snapshot(), Replicate: m.replicate.Snapshot(), Apply: m.apply.Snapshot()},
		Applied: m.applied.Load(), Refused: m.refused.Load(), Lost: m.lost.Load(),
		Elected: m.elected.Load(), HandedOver: m.handedOver.Load(),
		SnapshotsSent: m.sent.Load(), SnapshotsNotSent: m.sendFailed.Load(),
		SnapshotsReceived: m.received.Load(), SnapshotsNotReceived: m.receiveFailed.Load(),
		BytesSent: m.snapshotOut.Load(), BytesReceived: m.snapshotReceived.Load(), Unreadable: m.Unreadable(),
	}
}

// leads counts the beginning of a leadership.
func (m *meter) leads(handedOver bool) {
	if handedOver {
		m.handedOver.Add(1)
	} else {
		m.elected.Add(1)
	}
}
