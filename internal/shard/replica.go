package shard

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/peer"
	"tutti/internal/store"
)

// Replica is this node's copy of one shard. All its fields but lead belong to
// the goroutine of its loop.
type Replica struct {
	host  *Host
	loop  *loop
	id    cluster.ShardID
	self  cluster.ReplicaID // this replica in raft
	raft  *raft.RawNode
	log   *store.ShardLog
	core  core
	clock pacer
	sweep *sweeper // nil unless leading

	saved     ballot
	appending int        // appends under way in the log
	deferred  []deferred // oldest first
	held      []*pb.Message

	// lead is the leader's node and term as far as this replica knows, for
	// everybody.
	lead atomic.Pointer[Lead]

	applied   store.Applied
	next      store.Applied // applied once the loop's batch is
	lastIndex uint64        // of the raft log, unstable entries included
	dbs       *keyspace.Databases
	view      *store.View // newest; the replica holds one reference

	state  raft.StateType
	term   uint64
	vote   uint64
	commit uint64

	conf     *pb.ConfState    // applied; see setConf
	voters   []cluster.NodeID // the nodes of its voters
	viewConf *pb.ConfState    // that of view
	// settled says, for everybody, that this replica is a voter.
	settled atomic.Bool
	// member says, for everybody, that it knows of a configuration: it has been
	// told the state of the shard.
	member     atomic.Bool
	desc       cluster.Descriptor
	strangers  map[cluster.ReplicaID]cluster.NodeID // see meet
	splitTerm  uint64                               // whose vote was split
	confIndex  uint64                               // of the newest change proposed here in this term
	asks       map[cluster.NodeID]asked             // by nodes that have lost their data
	changeLook bool                                 // there may be a next change
	gone       bool                                 // it has left the loop

	early    []*Group           // for this term, but the replica can't evaluate yet
	queue    []*Group           // admitted, to be evaluated
	bytes    int                // of queue
	pending  map[groupID]*Group // queued, in flight or waiting for confirmation
	inflight *batch             // proposed, not applied; nil: none
	heavy    heavy              // groups that are evaluated beside the loop
	tickTo   int64              // somebody waits for shard time to reach this
	reads    reads
	dirty    bool            // in the loop's list of replicas with work
	incoming *store.Incoming // a received snapshot that raft has been told of
	epoch    uint64          // counts installed snapshots
	ticks    uint64
	shortage shortage // as of the last tick
	yielding yielding // in this term, see yield
	// successor is closed when another node leads; nil: nobody waits for that.
	successor chan struct{}
	views     sync.WaitGroup // open views; a snapshot is installed when there is none
	hashes    hashes
	scrub     scrub
	cut       bool // the scrub takes a view after the entry applied last; those that follow wait
	health    health
	away      atomic.Bool // the last entries that came were dropped, see noRoomFor
	// receiving is set while a snapshot comes in, by the goroutine that receives.
	receiving atomic.Bool
}

// Lead says who leads a shard.
type Lead struct {
	Node cluster.NodeID // 0: nobody known
	Term uint64
	Self bool // this node leads and has applied an entry of its term
}

// Timing of raft in ticks; see Config.Tick for a tick's length.
const (
	electionTicks  = 10
	heartbeatTicks = 2
	// maxEntryBytes is what one append message carries at most beside its
	// first entry.
	appendBytesMax   = 4 << 20
	inflightMsgsMax  = 64
	inflightBytesMax = 64 << 20
	queueBytesMax    = 64 << 20
	queueGroupsMax   = 1 << 16
)

func (h *Host) openReplica(l *loop, id cluster.ShardID, self cluster.ReplicaID) (*Replica, error) {
	r := &Replica{host: h, loop: l, id: id, self: self, pending: make(map[groupID]*Group)}
	// An answer to a round of an earlier start must not pass for one of this.
	r.reads.count = h.cfg.Incarnation << 32
	r.core = core{shard: id, table: h.cfg.Table, newID: h.cfg.NewID, rand: h.cfg.Rand, unreadable: h.MetUnreadable}
	r.clock = pacer{mono: h.cfg.Clock.Mono, median: r.medianWall}
	applied, err := h.cfg.State.Applied(id)
	if err != nil {
		return nil, err
	}
	if err := h.cfg.Log.FinishInstall(id, applied.Index, applied.Term); err != nil {
		return nil, err
	}
	conf, err := h.cfg.State.Conf(id)
	if err != nil {
		return nil, err
	}
	desc, err := h.cfg.State.Descriptor(id)
	if errors.Is(err, store.ErrNoShard) { // its rows came before its log
		err = fmt.Errorf("%w: there is a log of shard %d, and its state is gone", store.ErrDamaged, id)
	}
	if err != nil {
		return nil, err
	}
	r.setConf(conf, desc)
	if r.log, err = h.cfg.Log.Shard(id, applied.Index, applied.Term, r.conf); err != nil {
		return nil, err
	}
	r.applied, r.next = applied, applied
	if err := r.loadDatabases(); err != nil {
		return nil, err
	}
	r.log.Snapshots = r.makeSnapshot
	r.lastIndex, _ = r.log.LastIndex()
	hs, _, _ := r.log.InitialState()
	r.term, r.vote, r.commit = hs.GetTerm(), hs.GetVote(), hs.GetCommit()
	r.saved = ballot{r.term, r.vote}
	cfg := &raft.Config{
		ID:                        uint64(r.self),
		ElectionTick:              electionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   r.log,
		Applied:                   applied.Index,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             appendBytesMax,
		MaxCommittedSizePerReady:  appendBytesMax,
		MaxInflightMsgs:           inflightMsgsMax,
		MaxInflightBytes:          inflightBytesMax,
		CheckQuorum:               true,
		PreVote:                   true,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    raftLogger{h.cfg.Logger.With(slog.Uint64("shard", uint64(id)))},
	}
	if r.raft, err = raft.NewRawNode(cfg); err != nil {
		return nil, fmt.Errorf("start raft of shard %d: %w", id, err)
	}
	r.lead.Store(&Lead{Term: r.term})
	r.publish()
	r.metaChanged()
	return r, nil
}

func (r *Replica) loadDatabases() error {
	val, ok, err := r.host.cfg.State.Get(store.DatabasesRow(r.id), nil)
	if err == nil && !ok {
		err = fmt.Errorf("shard %d: no databases row", r.id)
	}
	if err == nil {
		r.dbs, err = keyspace.DecodeDatabases(val)
	}
	return err
}

// medianWall is the wall time that shard time is drawn to. What is known of the
// other clocks is late by the time a frame takes, so within that error this
// node's own clock is the better median.
func (r *Replica) medianWall() (wall int64, ok bool) {
	wall, ok = r.host.cfg.Links.MedianWall(r.voters)
	if own := r.host.cfg.Clock.Wall(); ok && max(own-wall, wall-own) < clockNear {
		wall = own
	}
	return wall, ok
}

// clockNear is the difference in milliseconds up to which clocks count as
// agreeing.
const clockNear = 100

// publish makes the newest state the one that readers get.
func (r *Replica) publish() {
	old := r.view
	r.views.Add(1)
	r.view = r.host.cfg.State.View(r.id, r.applied, r.dbs, r.views.Done)
	r.view.Slots = r.desc.Slots
	r.viewConf = r.conf
	if old != nil {
		old.Release()
	}
	r.serveReads()
}

// metaChanged hands the newest state of the map on.
func (r *Replica) metaChanged() {
	if f := r.host.cfg.MetaChanged; r.id == cluster.Meta && f != nil {
		f(r.view.Acquire())
	}
}

func (r *Replica) leading() bool {
	return r.state == raft.StateLeader && r.applied.Term == r.term && r.core.sessions != nil
}

// step hands a message to raft.
func (r *Replica) step(m *pb.Message) {
	if r.noRoomFor(m) {
		return
	}
	r.loop.touch(r)
	if m.GetType() == pb.MsgHeartbeat && m.GetTerm() >= r.term && m.GetCommit() > r.lastIndex {
		// A leader tells no more than this replica has told it to hold durably,
		// so the disk is an old copy, or has lied. raft would panic.
		r.host.fatal(fmt.Errorf("%w: shard %d: entry %d was durable here, and the log ends at %d: the disk is an old copy or lost writes",
			store.ErrDamaged, r.id, m.GetCommit(), r.lastIndex))
		return
	}
	r.noteAck(m)
	if err := r.raft.Step(m); err != nil {
		r.host.cfg.Logger.Debug("raft refused a message", slog.Uint64("shard", uint64(r.id)), slog.Any("type", m.GetType()), slog.Any("error", err))
	}
}

func (r *Replica) tick() {
	r.loop.touch(r)
	r.ticks++
	r.raft.Tick()
	r.tickReads()
	r.tickChange()
	r.compareHashes()
	r.scrubTick()
	r.truncateLog()
	r.watchHealth()
	r.countRoom()
	r.handOver()
}

// handle takes what raft has ready: messages leave, appends go to the log's
// writer, committed entries into the loop's apply batch.
func (r *Replica) handle(b *store.Batch) error {
	rd := r.raft.Ready()
	if n := len(rd.Entries); n > 0 {
		r.lastIndex = rd.Entries[n-1].GetIndex()
	}
	r.checkProposed(rd.Entries)
	if rd.HardState != nil {
		r.term, r.vote, r.commit = rd.HardState.GetTerm(), rd.HardState.GetVote(), rd.HardState.GetCommit()
	}
	if rd.SoftState != nil {
		r.roleChanged(rd.SoftState)
	} else if l := r.lead.Load(); l.Term != r.term {
		now := r.raft.BasicStatus().SoftState
		r.roleChanged(&now)
	}
	for _, rs := range rd.ReadStates {
		r.readConfirmed(rs)
	}
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			if err := r.append(m); err != nil {
				return err
			}
		case raft.LocalApplyThread:
			if err := r.apply(b, m); err != nil {
				return err
			}
		default:
			r.send(m)
		}
	}
	return nil
}

// append passes a write of the raft log to its writer. The responses that raft
// attached leave once it is durable.
func (r *Replica) append(m *pb.Message) error {
	if !raft.IsEmptySnap(m.GetSnapshot()) {
		return r.install(m)
	}
	a := &store.Append{Shard: r.id, Entries: m.GetEntries()}
	urgent := len(a.Entries) > 0
	if m.Term != nil {
		a.Hard = &pb.HardState{Term: new(m.GetTerm()), Vote: new(m.GetVote()), Commit: new(m.GetCommit())}
		urgent = urgent || m.GetTerm() != r.saved.term || m.GetVote() != r.saved.vote
		r.saved = ballot{m.GetTerm(), m.GetVote()}
	}
	if urgent {
		epoch := r.epoch
		a.Done = func() { r.loop.post(appended{r, m, epoch}) }
		r.appending++
	}
	if urgent || a.Hard != nil {
		r.host.cfg.Log.Append(a)
	}
	if urgent {
		return nil
	}
	// Nothing that must be durable, so the responses only wait for what is
	// under way before them; a commit index costs no fsync.
	if r.appending > 0 {
		r.deferred = append(r.deferred, deferred{m, r.appending})
	} else {
		r.respond(m)
	}
	return nil
}

// ballot is the term and vote that were last given to the log.
type ballot struct{ term, vote uint64 }

// deferred is an append without anything to write, whose responses wait for
// the appends before it.
type deferred struct {
	m     *pb.Message
	after int // how many
}

// appendDone runs once an append is durable. What was under way when a
// snapshot replaced the log is not in the log any more.
func (r *Replica) appendDone(m *pb.Message, epoch uint64) {
	if epoch == r.epoch {
		r.log.Appended(m.GetEntries())
	}
	if n := len(m.GetEntries()); n > 0 {
		r.health.appended(m.GetEntries()[n-1].GetIndex(), r.ticks)
	}
	r.appending--
	r.respond(m)
	ready := 0
	for i := range r.deferred {
		if r.deferred[i].after--; r.deferred[i].after <= 0 {
			ready++
		}
	}
	for _, d := range r.deferred[:ready] {
		r.respond(d.m)
	}
	r.deferred = slices.Delete(r.deferred, 0, ready)
}

func (r *Replica) respond(m *pb.Message) {
	for _, resp := range m.GetResponses() {
		if cluster.ReplicaID(resp.GetTo()) == r.self {
			r.step(resp)
		} else {
			r.send(resp)
		}
	}
}

func (r *Replica) send(m *pb.Message) {
	class := peer.Bulk
	switch m.GetType() {
	case pb.MsgHeartbeat, pb.MsgHeartbeatResp, pb.MsgVote, pb.MsgVoteResp, pb.MsgPreVote, pb.MsgPreVoteResp,
		pb.MsgTimeoutNow, pb.MsgReadIndex, pb.MsgReadIndexResp:
		class = peer.Control
	case pb.MsgSnap:
		r.sendSnapshot(m)
		return
	case pb.MsgApp:
		// A message that only tells a new commit index waits for the end of the
		// cycle: the next entry, proposed in the same cycle, tells it too.
		r.held = slices.DeleteFunc(r.held, func(h *pb.Message) bool { return h.GetTo() == m.GetTo() })
		if len(m.GetEntries()) == 0 {
			r.held = append(r.held, m)
			return
		}
	}
	r.transmit(m, class)
}

func (r *Replica) sendHeld() {
	for _, m := range r.held {
		r.transmit(m, peer.Bulk)
	}
	clear(r.held)
	r.held = r.held[:0]
}

func (r *Replica) transmit(m *pb.Message, class peer.Class) {
	sent := r.host.cfg.Links.Queue(r.nodeOf(m.GetTo()), class, kindRaft, func(dst []byte) []byte {
		out, err := proto.MarshalOptions{}.MarshalAppend(be.AppendUint64(dst, uint64(r.id)), m)
		if err != nil {
			panic(fmt.Sprintf("shard: marshal %v: %v", m.GetType(), err))
		}
		return out
	})
	if !sent && m.GetType() == pb.MsgApp {
		r.raft.ReportUnreachable(m.GetTo())
	}
}

// roleChanged takes over a new role or term.
func (r *Replica) roleChanged(s *raft.SoftState) {
	r.host.cfg.Logger.Info("raft role", slog.Uint64("shard", uint64(r.id)), slog.String("role", s.RaftState.String()),
		slog.Uint64("leader", uint64(r.nodeOf(s.Lead))), slog.Uint64("term", r.term))
	if r.state == raft.StateLeader && s.RaftState == raft.StateFollower && s.Lead == raft.None && r.lead.Load().Term == r.term {
		r.stepDown() // in the same term: no majority answers
	}
	r.state = s.RaftState
	r.core.sessions = nil // anew at the first applied entry of the term, see startLeading
	r.sweep = nil
	r.confIndex = 0
	r.setLead(Lead{Node: r.nodeOf(s.Lead), Term: r.term})
	r.dropGroups()
	r.readsTermChanged()
}

func (r *Replica) setLead(l Lead) {
	if old := r.lead.Load(); *old == l {
		return
	}
	r.lead.Store(&l)
	if l.Node != 0 && l.Node != r.host.cfg.Node {
		r.succeeded()
	}
	if f := r.host.cfg.LeadChanged; f != nil {
		f(r.id, l)
	}
}

// startLeading runs when the first entry of this node's term is applied: only
// then does the applied state hold everything that earlier leaders committed.
func (r *Replica) startLeading() error {
	sessions, err := loadSessions(r.id, r.view)
	if err != nil {
		return err
	}
	r.core.sessions, r.core.known = sessions, keyspace.NewKnown(max(1, len(*r.host.replicas.Load())))
	r.clock.start(r.applied.Time)
	r.health.begin(r.ticks)
	r.yielding = yielding{}
	r.sweep = newSweeper(r)
	r.scrubLead()
	r.setLead(Lead{Node: r.host.cfg.Node, Term: r.term, Self: true})
	early := r.early
	r.early = nil
	for _, g := range early {
		r.admit(g)
	}
	r.startRound()
	return nil
}

// propose evaluates the next batch and hands it to raft.
func (r *Replica) propose() error {
	if !r.leading() || r.inflight != nil || (len(r.queue) == 0 && r.tickTo <= r.applied.Time && !r.sweep.due() && !r.scrub.mark) {
		return nil
	}
	short, moving := r.room()
	if moving {
		return nil // what waits is the next leader's
	}
	now, ok := r.clock.now()
	if !ok {
		return nil // too few clocks known to begin the shard's time; the next tick asks again
	}
	now = max(now, r.applied.Time)
	if len(r.queue) == 0 && now < r.tickTo && !r.sweep.due() && !r.scrub.mark {
		return nil // to record an earlier time would help nobody
	}
	in := input{state: r.host.cfg.State, databases: r.dbs, applied: r.applied.Time, now: now, index: r.lastIndex + 1, term: r.term,
		keys:  func(pdb uint32) (int64, error) { return r.host.cfg.State.Keys(r.id, pdb) },
		tick:  r.tickTo > r.applied.Time && r.tickTo <= now,
		sweep: r.sweep.step(now), scrub: r.scrub.mark, from: r.scrub.from, shortage: short}
	b, n, err := r.core.evaluate(in, r.queue)
	if errors.Is(err, keyspace.ErrHeavy) {
		r.sweep.dropped()
		r.setAside(n)
		return nil
	}
	if err != nil {
		return fmt.Errorf("evaluate batch of shard %d: %w", r.id, err)
	}
	if b.data == nil {
		r.took(n)
		r.sweep.swept()
		if n > 0 {
			for i := range b.replies {
				// There is no entry at the index they were evaluated for: a read
				// that follows such a group would wait for whoever writes next.
				b.replies[i].Index = r.applied.Index
			}
			r.core.remember(b)
			r.confirm(b)
		}
		return nil
	}
	if err := r.raft.Propose(b.data); err != nil {
		// Dropped before raft took it, during a transfer of leadership for
		// instance: the queue stays, and the next cycle evaluates it again.
		r.host.cfg.Logger.Debug("proposal dropped", slog.Uint64("shard", uint64(r.id)), slog.Any("error", err))
		r.sweep.dropped()
		return nil
	}
	r.health.propose(b.index, r.ticks)
	r.took(n)
	r.inflight = b
	if in.scrub {
		r.scrubMarked(b.index)
	}
	r.loop.touch(r)
	return nil
}

// checkProposed makes sure that the batch in flight became the entry it was
// evaluated for: its rows carry that index.
func (r *Replica) checkProposed(entries []*pb.Entry) {
	b := r.inflight
	if b == nil || b.logged {
		return
	}
	for _, e := range entries {
		if e.GetIndex() == b.index && e.GetTerm() == b.term && bytes.Equal(e.GetData(), b.data) {
			b.logged = true
			return
		}
	}
	panic(fmt.Sprintf("shard %d: the batch for entry %d of term %d is not among the %d entries up to %d that raft has ready",
		r.id, b.index, b.term, len(entries), r.lastIndex))
}
