package shard

import (
	"errors"
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/eval"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// machine is the state machine: what the entries of the log, applied in order,
// have made.
type machine struct {
	r        *Replica
	applied  store.Applied
	next     store.Applied // applied once the loop's batch is
	dbs      *keyspace.Databases
	users    uint64        // epoch of the users, see store.UsersRow
	view     *store.View   // newest; nil while a snapshot takes its place
	viewConf *pb.ConfState // that of view
	moved    bool          // what was applied last changes what the shard owns
	census   census        // which keys there are
	cut      bool          // the scrub takes a view after the entry applied last; those that follow wait
}

// apply adds committed entries to the loop's batch, or to those that wait until
// the batch before is committed.
func (mc *machine) apply(b *store.Batch, m *pb.Message) error {
	if mc.r.loop.beside != nil || mc.cut {
		mc.r.loop.waiting = append(mc.r.loop.waiting, applying{r: mc.r, m: m})
		return nil
	}
	at := mc.next
	b.Leads = mc.r.leader != nil
	for i, e := range m.GetEntries() {
		var err error
		data := e.GetData()
		if e.GetType() != pb.EntryNormal {
			data = nil
		}
		if at, err = b.Apply(mc.r.id, at, e.GetIndex(), e.GetTerm(), data); err != nil {
			return err
		}
		mc.r.audit.hashes.Note(at.Index, at.Hash)
		if e.GetType() != pb.EntryNormal {
			if err := mc.r.members.apply(b, e); err != nil {
				return err
			}
		}
		if b.Slots != nil {
			if err := mc.r.members.own(b, *b.Slots); err != nil {
				return err
			}
			mc.moved = true
			mc.replaced()
		}
		if len(data) > 0 {
			if err := mc.tell(at.Index, &b.Effects); err != nil {
				return err
			}
		}
		if data != nil && b.Scrub {
			m = mc.cutAfter(m, i)
			break
		}
	}
	mc.next = at
	mc.r.loop.applying = append(mc.r.loop.applying, applying{mc.r, at, m})
	return nil
}

// cutAfter ends what this batch applies of m with its entry i, so that a view of
// exactly that state can be taken; the rest waits.
func (mc *machine) cutAfter(m *pb.Message, i int) *pb.Message {
	mc.cut = true
	list := m.GetEntries()
	if i+1 == len(list) {
		return m
	}
	rest := &pb.Message{Entries: list[i+1:], Responses: m.GetResponses()}
	mc.r.loop.waiting = slices.Insert(mc.r.loop.waiting, 0, applying{r: mc.r, m: rest})
	return &pb.Message{Entries: list[:i+1]}
}

// done runs after the loop's batch is visible.
func (mc *machine) done(at store.Applied, m *pb.Message, local, meta bool) error {
	mc.applied = at
	leader := mc.r.leader
	var mine *eval.Batch // what this leader evaluated
	if leader != nil {
		mine = leader.applied(at.Index, m.GetEntries())
	}
	if local { // rows of this shard or another one of the batch: it is rare
		if err := mc.loadLocal(); err != nil {
			return err
		}
	}
	mc.publish()
	if meta {
		mc.metaChanged()
	}
	if mc.cut {
		mc.cut = false
		mc.r.audit.hash()
		mc.r.loop.touch(mc.r)
	}
	if mc.moved {
		mc.moved = false
		if leader != nil {
			leader.slotsChanged()
		}
	}
	if mine != nil {
		leader.sweep.wrote(mine)
		leader.queue.answerBatch(mine)
		if len(mine.Events) > 0 {
			mc.r.host.cfg.Noted(mine.Events)
		}
	}
	mc.r.respond(m)
	if l := mc.r.leader; l != nil && l.core == nil && at.Term == mc.r.term {
		return l.start()
	}
	mc.r.loop.touch(mc.r)
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

// publish makes the newest state the one that readers get.
func (mc *machine) publish() {
	old := mc.view
	mc.r.snapshots.views.add()
	mc.view = mc.r.host.cfg.State.View(mc.r.id, mc.applied, mc.dbs, mc.r.snapshots.views.done)
	mc.view.Users = mc.users
	mc.view.Owned = mc.r.members.desc
	mc.viewConf = mc.r.members.conf
	if old != nil {
		old.Release()
	}
	mc.r.reads.serveAll()
}

// release gives up the replica's own view: it ends.
func (mc *machine) release() {
	if mc.view != nil {
		mc.view.Release()
	}
}

// metaChanged hands the newest state of the map on. A replica that has not been
// told anything yet has none: it knows neither members nor users.
func (mc *machine) metaChanged() {
	if f := mc.r.host.cfg.MetaChanged; mc.r.id == cluster.Meta && f != nil && mc.r.members.member.Load() {
		f(mc.view.Acquire())
	}
}

// loadLocal reads the rows of the shard that are kept in memory.
func (mc *machine) loadLocal() error {
	val, ok, err := mc.r.host.cfg.State.Get(store.DatabasesRow(mc.r.id), nil)
	if err == nil && !ok {
		err = fmt.Errorf("shard %d: no databases row", mc.r.id)
	}
	if err == nil {
		mc.dbs, err = keyspace.DecodeDatabases(val)
	}
	if err == nil {
		mc.users, err = store.UsersEpoch(mc.r.host.cfg.State, mc.r.id)
	}
	return err
}

// installed takes over the state of a snapshot.
func (mc *machine) installed(at store.Applied) error {
	conf, err := mc.r.host.cfg.State.Conf(mc.r.id)
	if err != nil {
		return err
	}
	desc, err := mc.r.host.cfg.State.Descriptor(mc.r.id)
	if err != nil {
		return err
	}
	mc.applied, mc.next = at, at
	mc.replaced()
	mc.r.members.set(conf, desc)
	mc.r.host.checkSettled()
	if err := errors.Join(mc.loadLocal(), mc.r.host.cfg.State.LookThrough(mc.r.id)); err != nil {
		return err
	}
	mc.publish()
	mc.metaChanged()
	return nil
}
