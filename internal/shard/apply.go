package shard

import (
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/store"
)

// apply adds committed entries to the loop's batch, or to those that wait until
// the batch before is committed.
func (r *Replica) apply(b *store.Batch, m *pb.Message) error {
	if r.loop.beside != nil || r.cut {
		r.loop.waiting = append(r.loop.waiting, applying{r: r, m: m})
		return nil
	}
	at := r.next
	for i, e := range m.GetEntries() {
		var err error
		data := e.GetData()
		if e.GetType() != pb.EntryNormal {
			data = nil
		}
		if at, err = b.Apply(r.id, at, e.GetIndex(), e.GetTerm(), data); err != nil {
			return err
		}
		r.hashes.note(at.Index, at.Hash)
		if e.GetType() != pb.EntryNormal {
			if err := r.applyConf(b, e); err != nil {
				return err
			}
		}
		if data != nil && b.Scrub {
			m = r.cutAfter(m, i)
			break
		}
	}
	r.next = at
	r.loop.applying = append(r.loop.applying, applying{r, at, m})
	return nil
}

// cutAfter ends what this batch applies of m with its entry i, so that a view of
// exactly that state can be taken; the rest waits.
func (r *Replica) cutAfter(m *pb.Message, i int) *pb.Message {
	r.cut = true
	list := m.GetEntries()
	if i+1 == len(list) {
		return m
	}
	rest := &pb.Message{Entries: list[i+1:], Responses: m.GetResponses()}
	r.loop.waiting = slices.Insert(r.loop.waiting, 0, applying{r: r, m: rest})
	return &pb.Message{Entries: list[:i+1]}
}

// applyDone runs after the loop's batch is visible.
func (r *Replica) applyDone(at store.Applied, m *pb.Message, databases, meta bool) error {
	r.applied = at
	done := r.inflight
	switch {
	case done == nil || at.Index < done.index:
		done = nil
	case !hasEntry(m.GetEntries(), done.index, done.term):
		// Another leader's entry stands there. The role change that went with it
		// has answered the groups.
		r.inflight, done = nil, nil
	default:
		r.inflight = nil
	}
	if databases { // of this shard or another one of the batch: it is rare
		if err := r.loadDatabases(); err != nil {
			return err
		}
	}
	if done != nil && r.core.sessions != nil {
		r.core.applied(done)
	}
	r.publish()
	if meta {
		r.metaChanged()
	}
	if r.cut {
		r.cut = false
		r.scrubView()
		r.loop.touch(r)
	}
	if done != nil {
		r.sweep.wrote(done)
		r.answerBatch(done)
	}
	r.respond(m)
	if r.state == raft.StateLeader && r.core.sessions == nil && at.Term == r.term {
		return r.startLeading()
	}
	r.loop.touch(r)
	return nil
}

func hasEntry(entries []*pb.Entry, index, term uint64) bool {
	for _, e := range entries {
		if e.GetIndex() == index {
			return e.GetTerm() == term
		}
	}
	return false
}

// truncateLog drops what the state store holds durably, and makes it flush when
// the log has grown.
func (r *Replica) truncateLog() {
	first, _ := r.log.FirstIndex()
	keep, bytes := uint64(keepEntries), r.host.cfg.LogBytesMax
	if r.host.cfg.Space.Full() {
		keep, bytes = keepEntriesFull, bytes/fullFlushDiv
	}
	if r.ticks%truncateTicks != 0 || r.applied.Index < first+keep {
		return
	}
	r.host.cfg.State.FlushIfLarge(bytes)
	durable, err := r.host.cfg.State.DurablyApplied(r.id)
	if err != nil {
		r.host.fatal(err)
		return
	}
	if durable.Index > first+keep {
		if err := r.log.Truncate(durable.Index - keep); err != nil {
			r.host.fatal(err)
		}
	}
}

const (
	truncateTicks = 20
	// keepEntries stay in the log for followers that are a little behind.
	keepEntries = 256
	// On a full disk the log is cut sooner and shorter: such followers get a
	// snapshot instead.
	keepEntriesFull = 8
	fullFlushDiv    = 8
)
