package shard

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/audit"
	"tutti/internal/cluster"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// leadership is everything that a replica knows and does only while it leads. It
// is made when raft makes this replica the leader of a term, and dropped whole
// when that ends: nothing of one term is found in another.
type leadership struct {
	r        *Replica
	core     *eval.Core // nil until an entry of the term is applied, see start
	clock    pacer
	queue    queue
	inflight inflight
	gather   gather
	heavy    heavy
	sweep    *sweeper
	tickTo   int64              // somebody waits for shard time to reach this
	give     *cluster.SlotRange // the shard is to own these; nil: what it has
	room     room
	health   audit.Health
	reach    audit.Reach
	audits   audits
	changes  changes
	copying  copying
	answers  answers
	waiters  waiters
}

// inflight is the batch that is proposed and not applied yet; nil: there is none.
type inflight struct {
	batch  *eval.Batch
	logged bool // seen in the raft log
	progress
}

func newLeadership(r *Replica) *leadership {
	l := &leadership{r: r}
	l.clock = pacer{mono: r.host.cfg.Clock.Mono, median: l.medianWall}
	l.queue = queue{l: l, pending: make(map[groupID]*group.Group)}
	l.heavy.l, l.room.l, l.audits.l, l.waiters.l = l, l, l, l
	l.copying.l = l
	l.changes = changes{l: l, look: true}
	l.answers = newAnswers(r.host.cfg.Clock.Mono(), r.appends.commit)
	return l
}

// drop answers everything that waits: this node does not lead any more, or leads
// in another term. What has been proposed may be applied by whoever leads next.
func (l *leadership) drop() {
	if l.inflight.batch != nil {
		l.r.host.meter.lost.Add(1)
	}
	l.heavy.drop()
	l.queue.drop()
	l.waiters.drop()
	l.r.snapshots.sending.end()
}

// tick runs every tick once the leader may evaluate.
func (l *leadership) tick() {
	l.changes.tick()
	l.waiters.tick()
	l.answers.tick(l.r.ticks, l.r.appends.commit)
	l.audits.compare()
	l.audits.tick()
	l.watchDisk()
	l.watchLinks()
	l.room.count()
}

// start runs when the first entry of this node's term is applied: only
// then does the applied state hold everything that earlier leaders committed.
func (l *leadership) start() error {
	cfg, known := &l.r.host.cfg, keyspace.NewKnown(max(1, len(*l.r.host.replicas.Load())))
	var err error
	if l.core, err = eval.New(eval.Config{Shard: l.r.id, Table: cfg.Table, Known: known, NewID: cfg.NewID, Rand: cfg.Rand, Unreadable: l.r.host.MetUnreadable, Found: l.r.host.MetKeys,
		TaskTimes: &l.r.host.meter.tasks, PiecesFrom: cfg.Large.PiecesFrom, Began: l.clock.mono(), Events: cfg.Wanted,
		Format: func() byte { return byte(cfg.Map.Map().Version) }}, l.r.machine.view); err != nil {
		return err
	}
	l.clock.start(l.r.machine.applied.Time)
	l.health.Begin(l.r.ticks)
	l.reach.Begin(l.r.ticks)
	l.sweep = newSweeper(l)
	l.audits.begin()
	l.r.setLead(Lead{Node: l.r.host.cfg.Node, Term: l.r.term, Self: true})
	early := l.queue.early
	l.queue.early = nil
	for _, g := range early {
		l.queue.admit(g)
	}
	l.room.count()
	l.waiters.begin()
	l.r.reads.startRound()
	return nil
}

// propose evaluates the next batch and hands it to raft.
func (l *leadership) propose() error {
	if l.inflight.batch == nil {
		l.queue.letLarge()
		l.heavy.resume()
		l.heavy.start()
		l.heavy.hold()
	}
	due := l.sweep.due() || l.audits.mark || l.gives() || l.core.Due() || l.heavy.staged != nil
	if l.inflight.batch != nil || (len(l.queue.groups) == 0 && l.tickTo <= l.r.machine.applied.Time && !due) {
		return nil
	}
	if !due && l.tickTo <= l.r.machine.applied.Time && l.queue.groups[0].Prepared == nil && l.gathers() {
		return nil // a timer goes on
	}
	short, moving := l.room.forBatch()
	if moving {
		return nil // what waits is the next leader's
	}
	now, ok := l.clock.now()
	if !ok {
		return nil // too few clocks are known to give a time; the next tick asks again
	}
	now = max(now, l.r.machine.applied.Time)
	if len(l.queue.groups) == 0 && now < l.tickTo && !due {
		return nil // to record an earlier time would help nobody
	}
	piece := l.heavy.piece(short)
	in := l.input(now, short)
	in.Piece = piece
	b, n, err := l.core.Evaluate(in, l.queue.groups)
	switch {
	case errors.Is(err, keyspace.ErrHeavy):
		l.sweep.dropped()
		l.heavy.setAside(n)
		return nil
	case errors.Is(err, eval.ErrPieces):
		l.sweep.dropped()
		l.heavy.stage()
		return nil
	}
	if err != nil {
		return fmt.Errorf("evaluate batch of shard %d: %w", l.r.id, err)
	}
	if b.Data == nil {
		l.core.Kept()
		l.queue.took(n, false)
		l.sweep.swept()
		if n > 0 || len(b.Late) > 0 {
			for i := range b.Replies {
				// There is no entry at the index they were evaluated for: a read
				// that follows such a group would wait for whoever writes next.
				b.Replies[i].Index = l.r.machine.applied.Index
			}
			for i := range b.Late {
				b.Late[i].Index = l.r.machine.applied.Index
			}
			l.core.Remember(b)
			l.r.reads.confirm(b)
		}
		return nil
	}
	if err := l.r.raft.Propose(b.Data); err != nil {
		// Dropped before raft took it, during a transfer of leadership for
		// instance: the queue stays, and the next cycle evaluates it again.
		l.r.host.cfg.Logger.Debug("proposal dropped", slog.Uint64("shard", uint64(l.r.id)), slog.Any("error", err))
		l.r.host.meter.refused.Add(1)
		l.core.Dropped()
		l.sweep.dropped()
		return nil
	}
	l.core.Kept()
	l.health.Propose(b.Index, l.r.ticks)
	l.queue.took(n, piece > 0)
	l.inflight = inflight{batch: b, progress: progress{since: l.r.host.cfg.Clock.Mono()}}
	if in.Scrub {
		l.audits.marked(b.Index)
	}
	l.r.loop.touch(l.r)
	return nil
}

// input is what the next batch depends on.
func (l *leadership) input(now int64, short eval.Shortage) eval.Input {
	r := l.r
	newest := r.host.cfg.State.Newest(r.id, r.machine.applied.Index)
	return eval.Input{State: newest, Owned: r.members.desc, Databases: r.machine.dbs, Users: r.machine.users, Applied: r.machine.applied.Time, Now: now, Mono: l.clock.mono(),
		Index: r.appends.lastIndex + 1, Term: r.term,
		Keys:  newest.Keys,
		Tick:  l.tickTo > r.machine.applied.Time && l.tickTo <= now,
		Sweep: l.sweep.step(now, len(l.queue.groups) == 0), Scrub: l.audits.mark, From: l.audits.from, Give: l.give, Shortage: short}
}

// checkProposed makes sure that the batch in flight became the entry it was
// evaluated for: its rows carry that index.
func (l *leadership) checkProposed(entries []*pb.Entry) {
	b := l.inflight.batch
	if b == nil || l.inflight.logged {
		return
	}
	for _, e := range entries {
		if e.GetIndex() == b.Index && e.GetTerm() == b.Term && bytes.Equal(e.GetData(), b.Data) {
			l.inflight.logged = true
			return
		}
	}
	panic(fmt.Sprintf("shard %d: the batch for entry %d of term %d is not among the %d entries up to %d that raft has ready",
		l.r.id, b.Index, b.Term, len(entries), l.r.appends.lastIndex))
}

// applied takes the batch in flight out if these entries, which end at index, are
// applied and have it; nil: they do not.
func (l *leadership) applied(index uint64, entries []*pb.Entry) *eval.Batch {
	b := l.inflight.batch
	if b == nil || index < b.Index {
		return nil
	}
	way := l.inflight.progress
	l.inflight = inflight{}
	if !hasEntry(entries, b.Index, b.Term) {
		l.r.host.meter.lost.Add(1)
		return nil // another leader's entry stands there
	}
	way.ended(l.r.host)
	l.core.Applied(b)
	l.rejoined(b)
	return b
}

// medianWall is the wall time that shard time is drawn to.
func (l *leadership) medianWall() (wall int64, ok bool) {
	return l.r.host.cfg.Links.MedianWall(l.r.members.voters)
}

// askClocks makes what is known of the clocks of the others fresh: a majority's
// are needed before the first batch, and the first entry takes as long to be
// committed as they take to answer.
func (l *leadership) askClocks() {
	for _, node := range l.r.members.voters {
		l.r.host.cfg.Links.AskClock(node)
	}
}
