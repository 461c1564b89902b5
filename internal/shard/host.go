package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/peer"
	"tutti/internal/spike"
	"tutti/internal/store"
)

// Config gives a Host what it needs.
type Config struct {
	Node        cluster.NodeID
	Incarnation uint64
	// Generation counts how often the node's data was made anew: replicas that
	// were handed out for earlier data are not here any more.
	Generation uint64
	// Map says who belongs to the cluster and what its shards should become.
	Map    *cluster.Holder
	Log    *store.Log
	State  *store.State
	Links  *peer.Links
	Table  *command.Table
	Clock  Clock
	Logger *slog.Logger
	NewID  func() uint64         // object ids; called by loops, so safe for concurrent use
	Rand   func(n uint64) uint64 // the same
	// Tick is the length of a raft tick. Zero: TickDefault.
	Tick time.Duration
	// Loops is the number of event loops. Zero: one.
	Loops int
	// LogBytesMax is how much may be applied before the state is flushed so
	// that the log can be truncated. Zero: 64 MiB.
	LogBytesMax int64
	// ScrubEvery is how often a comparison of all rows of a shard begins, and one
	// of all files with their checksums. Zero: ScrubEveryDefault.
	ScrubEvery time.Duration
	// Large says what is large.
	Large Large
	// Spikes is told of what takes long. Nil: nobody wants to know.
	Spikes *spike.Log
	// Space watches the disk. Nil: it is never full.
	Space *store.Space
	Events
}

// Events are whom a Host tells what happens. None of them may block.
type Events struct {
	// LeadChanged is told of every change of leader that a replica here learns
	// of, on the replica's loop; it must not block.
	LeadChanged func(shard cluster.ShardID, l Lead)
	// Reply takes replies to groups that were forwarded with Forward, on the
	// goroutine that reads the connection.
	Reply func(from cluster.NodeID, r group.Reply)
	// Report is told of a descriptor that is newer than that of the map, on the
	// loop of the leader that has it, until the map has it too. It must not
	// block. Nil: nobody keeps the map.
	Report func(d cluster.Descriptor)
	// MetaChanged is told, by the replica of the meta shard, of a state with
	// another map, and of the state when it opens. It must not block, and
	// releases the view. Nil: nobody asks.
	MetaChanged func(v *store.View)
	// Wanted says which events of keys somebody wants to be told of, and Noted is told of
	// those of a batch once it is applied, on the leader's loop. Nil: nobody wants any.
	Wanted func() keyspace.Classes
	Noted  func(events []keyspace.Event)
	// Followed says that somebody wants to know what entries change, and Applied is told
	// of each, on the replica's loop, before views show it and its groups are answered.
	// Replaced is told of other changes of the state: a snapshot, other slots, the end of
	// the replica. Nil: nobody wants to.
	Followed func() bool
	Applied  func(shard cluster.ShardID, index uint64, w eval.Written)
	Replaced func(shard cluster.ShardID)
	// Settled is called once, when all replicas here are voters; it must not
	// block. Nil: nobody asks.
	Settled func()
	// Fatal is called when the node can't go on; the error is ErrDamaged of
	// package store if its data must be rebuilt.
	Fatal func(err error)
}

// TickDefault makes an election start 0.3 to 0.6 s after a leader fell silent.
// A leader whose process dies is replaced sooner: its connections break.
const TickDefault = 30 * time.Millisecond

const logBytesDefault = 64 << 20

// Host is the shards of one node.
type Host struct {
	hosting
	meter
	cfg      Config
	loops    []*loop
	wg       sync.WaitGroup
	stopping atomic.Bool
	copies   *rate.Limiter // of the bytes of snapshots that are sent
	carriers *carriers
	// scrubPiece is how many bytes of rows are hashed after one entry.
	scrubPiece int
}

// Open opens the replicas and registers with the links, which have not started
// yet, what takes the frames of peers.
func Open(cfg Config) (*Host, error) {
	if cfg.Tick == 0 {
		cfg.Tick = TickDefault
	}
	if cfg.LogBytesMax == 0 {
		cfg.LogBytesMax = logBytesDefault
	}
	if cfg.ScrubEvery == 0 {
		cfg.ScrubEvery = ScrubEveryDefault
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Host{cfg: cfg, hosting: hosting{busy: make(map[cluster.ShardID]bool)}, scrubPiece: scrubPieceDefault,
		copies: rate.NewLimiter(copyRate, copyBurst)}
	h.carriers = newCarriers(&h.cfg)
	h.hosting.h = h
	h.unreadable.cfg = &h.cfg
	h.replicas.Store(new(map[cluster.ShardID]*Replica))
	for range max(cfg.Loops, 1) {
		h.loops = append(h.loops, newLoop(h))
	}
	if err := h.openAll(); err != nil {
		h.release()
		return nil, err
	}
	h.takeFrames(cfg.Links)
	return h, nil
}

// Start starts the loops.
func (h *Host) Start() {
	h.checkSettled()
	for _, l := range h.loops {
		for _, r := range l.replicas {
			l.post(call{r.elections.begin})
		}
		h.wg.Go(l.run)
	}
	h.wg.Go(func() { h.verifyTables(h.loops[0].ctx) })
}

// Close stops the loops. Groups and reads that wait are answered as if the
// leader had been lost.
func (h *Host) Close() {
	h.mu.Lock() // none is made or removed from here on
	h.stopping.Store(true)
	h.mu.Unlock()
	for _, l := range h.loops {
		l.cancel()
	}
	h.carriers.close()
	h.wg.Wait()
	for _, l := range h.loops {
		for _, r := range l.replicas {
			if r.leader != nil {
				r.leader.drop()
			}
			r.reads.drop()
		}
		l.wg.Wait()
		l.dropInbox()
	}
	h.release()
}

// dropInbox answers what the loop has not taken any more.
func (l *loop) dropInbox() {
	l.mu.Lock()
	work := l.inbox
	l.inbox, l.closed = nil, true
	l.mu.Unlock()
	for _, x := range work {
		l.drop(x)
	}
}

func (l *loop) drop(x any) {
	switch x := x.(type) {
	case *group.Group:
		x.Refuse(group.NotLeader, 0, 0)
	case *Read:
		x.Done(nil, 0, ErrUnavailable)
	case snapshotReceived:
		if err := x.in.Discard(); err != nil {
			l.host.cfg.Logger.Warn("discard snapshot", slog.Any("error", err))
		}
	}
}

func (h *Host) release() {
	for _, r := range *h.replicas.Load() {
		r.machine.release()
		r.snapshots.drop()
	}
}

// fatal stops the node: its disk or its invariants can't be trusted any more.
func (h *Host) fatal(err error) {
	if h.stopping.Load() {
		return
	}
	h.cfg.Fatal(err)
}

// Lead returns who leads a shard, as far as this node knows.
func (h *Host) Lead(shard cluster.ShardID) Lead {
	if r := h.replica(shard); r != nil {
		return *r.lead.Load()
	}
	return Lead{}
}

// Submit hands a group to the replica here; its Done is called exactly once
// unless the host closes. It reports false, and does not call Done, if there is
// no replica: the sender may hold a lock that Done takes.
func (h *Host) Submit(g *group.Group) bool {
	g.Size() // counted here, not in the loop
	r := h.replica(g.Shard)
	if r != nil {
		r.loop.post(g)
	}
	return r != nil
}

// Forward sends a group to another node's replica, and reports whether it does. Its reply
// comes to Events.Reply; of a large one that did not come after all, to its Done.
func (h *Host) Forward(node cluster.NodeID, g *group.Group) bool {
	if h.carriers.wants(g.Size()) {
		return h.carriers.forward(node, g)
	}
	return h.cfg.Links.Send(node, peer.Bulk, kindGroup, g.Append)
}

// Read asks the replica here for a view. Without one there is none to be had.
func (h *Host) Read(q *Read) {
	if r := h.replica(q.Shard); r != nil {
		r.loop.post(q)
		return
	}
	q.Done(nil, 0, ErrUnavailable)
}

// LinkChanged tells the replicas that the link to a node went up or down.
func (h *Host) LinkChanged(node cluster.NodeID, up bool) {
	for _, l := range h.loops {
		l.post(linkChange{node, up})
	}
}

// after runs f on the loop's goroutine once d has passed, unless it stops.
func (l *loop) after(d time.Duration, f func()) {
	l.wg.Go(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			l.post(call{f})
		case <-l.ctx.Done():
		}
	})
}

// Call runs f on the goroutine of the shard's loop and waits for it.
func (h *Host) call(ctx context.Context, shard cluster.ShardID, f func(r *Replica)) error {
	r := h.replica(shard)
	if r == nil {
		return fmt.Errorf("no replica of shard %d here", shard)
	}
	done := make(chan struct{})
	r.loop.post(call{func() { f(r); close(done) }})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.loop.ctx.Done():
		return errors.New("the node is stopping")
	}
}

// Info is what a replica knows of itself.
type Info struct {
	Shard      cluster.ShardID           `json:"id"`
	Replica    cluster.ReplicaID         `json:"replica"`
	First      int                       `json:"first_slot"`
	End        int                       `json:"end_slot"`
	Leader     cluster.NodeID            `json:"leader"`
	Term       uint64                    `json:"term"`
	Applied    uint64                    `json:"applied"`
	LastIndex  uint64                    `json:"last_index"`
	FirstIndex uint64                    `json:"first_index"`
	ShardTime  int64                     `json:"shard_time_ms"`
	Hash       string                    `json:"hash"`
	Voters     []cluster.NodeID          `json:"voters"`               // nodes
	Learners   []cluster.NodeID          `json:"learners,omitempty"`   // nodes whose replica is being made anew
	Asking     []cluster.NodeID          `json:"asking,omitempty"`     // nodes that have lost their replica and ask to come back
	Rebuilding bool                      `json:"rebuilding,omitempty"` // this replica is no voter yet
	Match      map[cluster.NodeID]uint64 `json:"match,omitempty"`      // at the leader: node -> index it holds
	// Lag is how many entries are committed, as far as is known here, and not applied.
	Lag uint64 `json:"-"`
}

// Replica describes the replica of a shard here.
func (h *Host) Replica(ctx context.Context, shard cluster.ShardID) (Info, error) {
	var s Info
	err := h.call(ctx, shard, func(r *Replica) { s = r.info() })
	return s, err
}

func (r *Replica) info() Info {
	l := r.lead.Load()
	first, _ := r.appends.log.FirstIndex()
	s := Info{Shard: r.id, Replica: r.self, First: r.members.desc.Slots.First, End: r.members.desc.Slots.End, Leader: l.Node, Term: l.Term,
		Applied: r.machine.applied.Index, LastIndex: r.appends.lastIndex, FirstIndex: first, ShardTime: r.machine.applied.Time,
		Hash: fmt.Sprintf("%016x", r.machine.applied.Hash), Voters: r.members.voters,
		Learners: r.members.desc.Learners(), Asking: r.members.asking(), Rebuilding: !r.members.settled.Load(),
		Lag: r.appends.commit - min(r.appends.commit, r.machine.applied.Index)}
	if l.Self {
		s.Match = make(map[cluster.NodeID]uint64)
		for id, p := range r.raft.Status().Progress {
			// A node may have an older replica too, lost.
			if x, ok := r.members.desc.Replica(cluster.ReplicaID(id)); ok {
				if newest, _ := r.members.desc.On(x.Node); newest.ID == x.ID {
					s.Match[x.Node] = p.Match
				}
			}
		}
	}
	return s
}

func (rd *reads) drop() {
	lists := [][]asker{rd.next}
	for _, x := range rd.rounds {
		lists = append(lists, x.askers)
	}
	for _, list := range lists {
		for _, a := range list {
			if a.read != nil {
				a.read.Done(nil, 0, ErrUnavailable)
			}
		}
	}
	for _, w := range rd.waiting {
		w.read.Done(nil, 0, ErrUnavailable)
	}
	rd.next, rd.rounds, rd.waiting = nil, nil, nil
}
