package shard

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// Replica is this node's copy of one shard: its life around etcd raft. All its
// fields but lead, and those that say so, belong to the goroutine of its loop;
// each of its parts owns what it is named after.
type Replica struct {
	host *Host
	loop *loop
	id   cluster.ShardID
	self cluster.ReplicaID // this replica in raft
	raft *raft.RawNode

	state raft.StateType
	term  uint64
	ticks uint64
	dirty bool // in the loop's list of replicas with work
	gone  bool // it has left the loop

	// lead is the leader's node and term as far as this replica knows, for
	// everybody.
	lead atomic.Pointer[Lead]
	// leader is what this replica knows and does as the leader of a term; nil
	// while it does not lead. It is dropped whole.
	leader *leadership

	appends   appends   // what goes into the raft log
	machine   machine   // what comes out of it: the applied state
	outbox    outbox    // messages to other replicas
	reads     reads     // who waits for a view
	snapshots snapshots // in the place of a part of the log
	members   members   // who belongs to the group
	elections elections // who leads next
	audit     auditor   // whether this replica holds what the others hold
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
)

func (h *Host) openReplica(l *loop, id cluster.ShardID, self cluster.ReplicaID) (*Replica, error) {
	r := &Replica{host: h, loop: l, id: id, self: self}
	r.appends.r, r.machine.r, r.outbox.r, r.snapshots.r = r, r, r, r
	r.members.r, r.elections.r, r.audit.r, r.machine.census.r = r, r, r, r
	// An answer to a round of an earlier start must not pass for one of this.
	r.reads = reads{r: r, count: h.cfg.Incarnation << 32}
	applied, err := h.cfg.State.Applied(id)
	if err != nil {
		return nil, err
	}
	if err := h.cfg.Log.FinishInstall(id, applied.Index, applied.Term); err != nil {
		return nil, err
	}
	conf, err := h.cfg.State.Conf(id)
	var desc cluster.Descriptor
	if err == nil {
		desc, err = h.cfg.State.Descriptor(id)
	}
	if errors.Is(err, store.ErrNoShard) { // its rows came before its log
		err = fmt.Errorf("%w: there is a log of shard %d, and its state is gone", store.ErrDamaged, id)
	}
	if err != nil {
		return nil, err
	}
	r.members.set(conf, desc)
	if r.appends.log, err = h.cfg.Log.Shard(id, applied.Index, applied.Term, r.members.conf); err != nil {
		return nil, err
	}
	r.machine.applied, r.machine.next = applied, applied
	if err := errors.Join(r.machine.loadLocal(), h.cfg.State.LookThrough(id)); err != nil {
		return nil, err
	}
	r.appends.log.Snapshots = r.snapshots.describe
	r.appends.lastIndex, _ = r.appends.log.LastIndex()
	hs, _, _ := r.appends.log.InitialState()
	r.term, r.appends.vote, r.appends.commit = hs.GetTerm(), hs.GetVote(), hs.GetCommit()
	r.appends.saved = ballot{r.term, r.appends.vote}
	cfg := &raft.Config{
		ID:                        uint64(r.self),
		ElectionTick:              electionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   r.appends.log,
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
	r.machine.publish()
	r.machine.metaChanged()
	return r, nil
}

// leading reports whether this replica leads and has applied an entry of its
// term: only then may it evaluate.
func (r *Replica) leading() bool {
	return r.leader != nil && r.machine.applied.Term == r.term && r.leader.core != nil
}

// step hands a message to raft.
func (r *Replica) step(m *pb.Message) {
	if r.noRoomFor(m) {
		return
	}
	r.loop.touch(r)
	if m.GetType() == pb.MsgHeartbeat && m.GetTerm() >= r.term && m.GetCommit() > r.appends.lastIndex {
		// A leader tells no more than this replica has told it to hold durably,
		// so the disk is an old copy, or has lied. raft would panic.
		r.host.fatal(fmt.Errorf("%w: shard %d: entry %d was durable here, and the log ends at %d: the disk is an old copy or lost writes",
			store.ErrDamaged, r.id, m.GetCommit(), r.appends.lastIndex))
		return
	}
	if err := r.overruled(m); err != nil {
		r.host.fatal(err)
		return
	}
	if r.leader != nil {
		r.leader.heardAck(m)
	}
	if err := r.raft.Step(m); err != nil {
		r.host.cfg.Logger.Debug("raft refused a message", slog.Uint64("shard", uint64(r.id)), slog.Any("type", m.GetType()), slog.Any("error", err))
	}
}

func (r *Replica) tick() {
	r.loop.touch(r)
	r.ticks++
	r.raft.Tick()
	r.reads.tick()
	r.machine.census.tick()
	if r.leading() {
		r.leader.tick()
	} else {
		r.members.tick()
	}
	r.appends.truncate()
	r.elections.handOver()
}

// handle takes what raft has ready: messages leave, appends go to the log's
// writer, committed entries into the loop's apply batch.
func (r *Replica) handle(b *store.Batch) error {
	rd := r.raft.Ready()
	if n := len(rd.Entries); n > 0 {
		r.appends.lastIndex = rd.Entries[n-1].GetIndex()
	}
	if r.leader != nil {
		r.leader.checkProposed(rd.Entries)
	}
	if rd.HardState != nil {
		r.term, r.appends.vote, r.appends.commit = rd.HardState.GetTerm(), rd.HardState.GetVote(), rd.HardState.GetCommit()
		if r.leader != nil {
			r.leader.committedTo(r.appends.commit)
		}
	}
	if rd.SoftState != nil {
		r.roleChanged(rd.SoftState)
	} else if l := r.lead.Load(); l.Term != r.term {
		now := r.raft.BasicStatus().SoftState
		r.roleChanged(&now)
	}
	for _, rs := range rd.ReadStates {
		r.reads.confirmed(rs)
	}
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			if err := r.appends.append(m); err != nil {
				return err
			}
		case raft.LocalApplyThread:
			if err := r.machine.apply(b, m); err != nil {
				return err
			}
		default:
			r.outbox.send(m)
		}
	}
	return nil
}

func (r *Replica) respond(m *pb.Message) {
	for _, resp := range m.GetResponses() {
		if cluster.ReplicaID(resp.GetTo()) == r.self {
			r.step(resp)
		} else {
			r.outbox.send(resp)
		}
	}
}

// roleChanged takes over a new role or term.
func (r *Replica) roleChanged(s *raft.SoftState) {
	r.host.cfg.Logger.Info("raft role", slog.Uint64("shard", uint64(r.id)), slog.String("role", s.RaftState.String()),
		slog.Uint64("leader", uint64(r.members.nodeOf(s.Lead))), slog.Uint64("term", r.term))
	if r.state == raft.StateLeader && s.RaftState == raft.StateFollower && s.Lead == raft.None && r.lead.Load().Term == r.term {
		r.elections.stepDown() // in the same term: no majority answers
	}
	r.state = s.RaftState
	before := r.leader
	if r.leader = nil; r.state == raft.StateLeader {
		r.leader = newLeadership(r)
		r.host.meter.leads(r.elections.handed+1 == r.term)
		r.leader.askClocks()
	}
	r.setLead(Lead{Node: r.members.nodeOf(s.Lead), Term: r.term})
	if before != nil {
		before.drop()
	}
	r.reads.termChanged()
}

func (r *Replica) setLead(l Lead) {
	if old := r.lead.Load(); *old == l {
		return
	}
	r.lead.Store(&l)
	r.elections.knows(l.Node != 0)
	if l.Node != 0 && l.Node != r.host.cfg.Node {
		r.elections.succeeded()
	}
	if f := r.host.cfg.LeadChanged; f != nil {
		f(r.id, l)
	}
}
