package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/peer"
	"tutti/internal/store"
)

// Kinds of frames between nodes; see package peer.
const (
	kindRaft      peer.Kind = 16 + iota // shard:8 raftpb.Message
	kindGroup                           // see group.go
	kindReply                           // see group.go
	kindReadAsk                         // shard:8 id:8
	kindReadTell                        // shard:8 id:8 index:8 now:8
	kindTick                            // shard:8 time:8
	kindHashAsk                         // shard:8 index:8 hash:8
	kindHashTell                        // shard:8 index:8 hash:8
	kindDiverged                        // shard:8 index:8 hash:8
	kindScrubTell                       // shard:8 index:8 hash:8
	kindScrubOdd                        // shard:8 index:8 hash:8
	kindRejoin                          // shard:8 replica:8
	kindStepDown                        // shard:8 term:8
)

// Config gives a Host what it needs.
type Config struct {
	Node        cluster.NodeID
	Incarnation uint64
	// Generation counts how often the node's data was made anew. Replicas of
	// another generation than 0 that no configuration knows ask to join.
	Generation uint64
	Nodes      []cluster.NodeID // of the cluster
	Shards     []Shard
	Log        *store.Log
	State      *store.State
	Links      *peer.Links
	Table      *command.Table
	Clock      Clock
	Logger     *slog.Logger
	NewID      func() uint64         // object ids; called by loops, so safe for concurrent use
	Rand       func(n uint64) uint64 // the same
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
	// Space watches the disk. Nil: it is never full.
	Space *store.Space
	// LeadChanged is told of every change of leader that a replica here learns
	// of, on the replica's loop; it must not block.
	LeadChanged func(shard cluster.ShardID, l Lead)
	// Reply takes replies to groups that were forwarded with Forward, on the
	// goroutine that reads the connection.
	Reply func(from cluster.NodeID, r Reply)
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

// Shard says which slots a shard owns.
type Shard struct {
	ID    cluster.ShardID
	Slots store.SlotRange
}

// Host is the shards of one node.
type Host struct {
	cfg      Config
	loops    []*loop
	replicas map[cluster.ShardID]*Replica // immutable after Open
	wg       sync.WaitGroup
	stopping atomic.Bool
	settled  sync.Once
	// scrubPiece is how many bytes of rows are hashed after one entry.
	scrubPiece int
}

// Open opens the replicas. The frames of peers go to Frame and Stream.
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
	h := &Host{cfg: cfg, replicas: make(map[cluster.ShardID]*Replica), scrubPiece: scrubPieceDefault}
	for range max(cfg.Loops, 1) {
		h.loops = append(h.loops, newLoop(h))
	}
	for i, s := range cfg.Shards {
		l := h.loops[i%len(h.loops)]
		r, err := h.openReplica(l, s.ID, s.Slots)
		if err != nil {
			h.release()
			return nil, err
		}
		l.replicas = append(l.replicas, r)
		h.replicas[s.ID] = r
	}
	return h, nil
}

// Start starts the loops.
func (h *Host) Start() {
	h.checkSettled()
	for _, l := range h.loops {
		h.wg.Go(l.run)
	}
	h.wg.Go(func() { h.verifyTables(h.loops[0].quit) })
}

// checkSettled reports once that all replicas here are voters.
func (h *Host) checkSettled() {
	for _, r := range h.replicas {
		if !r.settled.Load() {
			return
		}
	}
	if f := h.cfg.Settled; f != nil {
		h.settled.Do(f)
	}
}

// Close stops the loops. Groups and reads that wait are answered as if the
// leader had been lost.
func (h *Host) Close() {
	h.stopping.Store(true)
	for _, l := range h.loops {
		close(l.quit)
	}
	h.wg.Wait()
	for _, l := range h.loops {
		for _, r := range l.replicas {
			r.dropGroups()
			r.dropReads()
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
	case *Group:
		x.refuse(NotLeader, &Lead{})
	case *Read:
		x.Done(nil, 0, ErrUnavailable)
	case snapshotReceived:
		if err := x.in.Discard(); err != nil {
			l.host.cfg.Logger.Warn("discard snapshot", slog.Any("error", err))
		}
	}
}

func (h *Host) release() {
	for _, r := range h.replicas {
		r.view.Release()
	}
}

func (h *Host) closing() bool { return h.stopping.Load() }

// fatal stops the node: its disk or its invariants can't be trusted any more.
func (h *Host) fatal(err error) {
	if h.stopping.Load() {
		return
	}
	h.cfg.Fatal(err)
}

// Lead returns who leads a shard, as far as this node knows.
func (h *Host) Lead(shard cluster.ShardID) Lead { return *h.replicas[shard].lead.Load() }

// Submit hands a group to the replica here; its Done is called exactly once
// unless the host closes.
func (h *Host) Submit(g *Group) {
	if g.size == 0 {
		g.size = groupSize(g)
	}
	h.replicas[g.Shard].loop.post(g)
}

func groupSize(g *Group) int {
	n := groupFixed
	for _, c := range g.Cmds {
		for _, a := range c.Args {
			n += len(a) + 4
		}
	}
	return n
}

// Forward sends a group to another node's replica. Its reply comes to
// Config.Reply; it reports whether the group was sent.
func (h *Host) Forward(node cluster.NodeID, g *Group) bool {
	return h.cfg.Links.Send(node, peer.Bulk, kindGroup, g.encode)
}

// Read asks the replica here for a view.
func (h *Host) Read(q *Read) { h.replicas[q.Shard].loop.post(q) }

// Frame takes a frame from a peer.
func (h *Host) Frame(from cluster.NodeID, kind peer.Kind, b []byte) {
	switch kind {
	case kindGroup:
		h.groupFrame(from, b)
		return
	case kindReply:
		if reply, err := decodeReply(b); err == nil {
			h.cfg.Reply(from, reply)
			return
		}
	case kindRaft, kindReadAsk, kindReadTell, kindTick, kindHashAsk, kindHashTell, kindDiverged, kindScrubTell, kindScrubOdd, kindRejoin, kindStepDown:
		if len(b) < 8 {
			break
		}
		if r := h.replicas[cluster.ShardID(be.Uint64(b))]; r != nil && r.frame(from, kind, b[8:]) {
			return
		}
	}
	h.cfg.Logger.Warn("frame dropped", slog.Uint64("from", uint64(from)), slog.Int("kind", int(kind)), slog.Int("bytes", len(b)))
}

func (h *Host) groupFrame(from cluster.NodeID, b []byte) {
	g, err := decodeGroup(b)
	if err != nil || h.replicas[g.Shard] == nil || sessionNode(g.Session) != from {
		h.cfg.Logger.Warn("group dropped", slog.Uint64("from", uint64(from)), slog.Any("error", err))
		return
	}
	g.Done = func(r Reply) {
		if r.bytes() > peer.FrameMax/2 {
			r.Replies = dropLarge(r.Replies, peer.FrameMax/2-replyFixed)
		}
		h.cfg.Links.Queue(from, peer.Bulk, kindReply, r.encode)
	}
	h.Submit(g)
}

// frame takes what a peer's replica sent to this one.
func (r *Replica) frame(from cluster.NodeID, kind peer.Kind, b []byte) bool {
	switch {
	case kind == kindRaft:
		m := &pb.Message{}
		if err := proto.Unmarshal(b, m); err != nil || replicaNode(cluster.ReplicaID(m.GetFrom())) != from || replicaNode(cluster.ReplicaID(m.GetTo())) != r.host.cfg.Node || m.GetType() == pb.MsgSnap {
			return false
		}
		if cluster.ReplicaID(m.GetTo()) == r.self { // else it is for a replica that this node has lost
			r.loop.post(received{r, m})
		}
	case kind == kindRejoin && len(b) == 8:
		if id := be.Uint64(b); replicaNode(cluster.ReplicaID(id)) != from || replicaGeneration(cluster.ReplicaID(id)) == 0 {
			return false
		}
		r.loop.post(rejoinMsg{r, from, be.Uint64(b)})
	case kind == kindReadAsk && len(b) == 8:
		r.loop.post(readAsk{r, from, be.Uint64(b)})
	case kind == kindReadTell && len(b) == 24:
		r.loop.post(readTell{r, be.Uint64(b), be.Uint64(b[8:]), int64(be.Uint64(b[16:]))})
	case kind == kindTick && len(b) == 8:
		r.loop.post(tickAsk{r, int64(be.Uint64(b))})
	case kind == kindStepDown && len(b) == 8:
		r.loop.post(steppedDown{r, from, be.Uint64(b)})
	case kind >= kindHashAsk && kind <= kindScrubOdd && len(b) == 16:
		r.loop.post(hashMsg{r, from, kind, be.Uint64(b), be.Uint64(b[8:])})
	default:
		return false
	}
	return true
}

// LinkChanged tells the replicas that the link to a node went up or down.
func (h *Host) LinkChanged(node cluster.NodeID, up bool) {
	if up {
		return
	}
	for _, l := range h.loops {
		l.post(linkDown{node})
	}
}

// stepDown tells the others that this node has given up leading: it hears no
// majority. One that is only deaf would else have been obeyed until now and be
// missed for another election time-out from now on.
func (r *Replica) stepDown() {
	for _, node := range r.voters {
		if node != r.host.cfg.Node {
			r.host.cfg.Links.Queue(node, peer.Control, kindStepDown, func(dst []byte) []byte {
				return be.AppendUint64(be.AppendUint64(dst, uint64(r.id)), r.term)
			})
		}
	}
}

// leaderGone starts an election at once when the connection to the leader
// broke: a killed process is noticed long before it is missed. Pre-vote keeps
// this harmless if the leader is alive: the others still hear it.
func (r *Replica) leaderGone(node cluster.NodeID) {
	if r.lead.Load().Node != node || node == r.host.cfg.Node {
		return
	}
	r.loop.touch(r)
	if err := r.raft.ForgetLeader(); err != nil {
		return
	}
	r.campaignSoon(campaigns)
}

// campaigns is how often a replica tries after it lost its leader: the first
// attempt may reach the others before they have noticed, and they then refuse.
const campaigns = 5

// campaignSoon campaigns unless another has been quicker: whoever runs against
// an election that is under way makes both fail, as its vote is given and its
// log may be behind.
func (r *Replica) campaignSoon(left int) {
	tick, term := r.host.cfg.Tick, r.term
	pause := time.Duration(r.host.cfg.Rand(uint64(tick)))
	if left < campaigns {
		pause += tick
	}
	r.loop.after(pause, func() {
		if r.lead.Load().Node != 0 || left == 0 || r.state == raft.StateCandidate {
			return
		}
		if r.term != term {
			r.campaignSoon(left - 1)
			return
		}
		r.loop.touch(r)
		if err := r.raft.Campaign(); err == nil {
			r.campaignSoon(left - 1)
		}
	})
}

// campaignAgain ends a split vote: two replicas asked for votes in the same tick,
// each has its own and refuses the other, and raft would let both wait for
// another election time-out. Two to five ticks decide it. (Time-outs are drawn
// from ten ticks, so of two followers that miss a leader at once one pair in ten
// collides.) It takes a refusal: answers that are late come from slow disks, and
// a new term would only have them begin again.
func (r *Replica) campaignAgain(refusal *pb.Message) {
	tick, term := r.host.cfg.Tick, r.term
	if r.state != raft.StateCandidate || refusal.GetTerm() != term || r.splitTerm == term {
		return
	}
	r.splitTerm = term
	r.loop.after(2*tick+time.Duration(r.host.cfg.Rand(uint64(3*tick))), func() {
		if r.state != raft.StateCandidate || r.term != term {
			return
		}
		r.loop.touch(r)
		if err := r.raft.Campaign(); err != nil {
			r.host.cfg.Logger.Debug("campaign", slog.Uint64("shard", uint64(r.id)), slog.Any("error", err))
		}
	})
}

// after runs f on the loop's goroutine once d has passed, unless it stops.
func (l *loop) after(d time.Duration, f func()) {
	l.wg.Go(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			l.post(call{f})
		case <-l.quit:
		}
	})
}

// Call runs f on the goroutine of the shard's loop and waits for it.
func (h *Host) call(ctx context.Context, shard cluster.ShardID, f func(r *Replica)) error {
	r := h.replicas[shard]
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
	case <-r.loop.quit:
		return errors.New("the node is stopping")
	}
}

// Info is what a replica knows of itself.
type Info struct {
	Shard      cluster.ShardID           `json:"id"`
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
}

// Replica describes the replica of a shard here.
func (h *Host) Replica(ctx context.Context, shard cluster.ShardID) (Info, error) {
	var s Info
	err := h.call(ctx, shard, func(r *Replica) { s = r.info() })
	return s, err
}

func (r *Replica) info() Info {
	l := r.lead.Load()
	first, _ := r.log.FirstIndex()
	s := Info{Shard: r.id, First: r.slots.First, End: r.slots.End, Leader: l.Node, Term: l.Term,
		Applied: r.applied.Index, LastIndex: r.lastIndex, FirstIndex: first, ShardTime: r.applied.Time,
		Hash: fmt.Sprintf("%016x", r.applied.Hash), Voters: r.voters,
		Learners: replicaNodes(r.conf.GetLearners()), Asking: r.asking(), Rebuilding: !r.settled.Load()}
	if l.Self {
		s.Match = make(map[cluster.NodeID]uint64)
		newest := make(map[cluster.NodeID]cluster.ReplicaID)
		for raftID, p := range r.raft.Status().Progress {
			id := cluster.ReplicaID(raftID)
			if node := replicaNode(id); id >= newest[node] { // a node may have an older replica, lost
				newest[node], s.Match[node] = id, p.Match
			}
		}
	}
	return s
}

func (r *Replica) dropReads() {
	for _, list := range [][]asker{r.reads.round, r.reads.next} {
		for _, a := range list {
			if a.read != nil {
				a.read.Done(nil, 0, ErrUnavailable)
			}
		}
	}
	for _, w := range r.reads.waiting {
		w.read.Done(nil, 0, ErrUnavailable)
	}
	r.reads = reads{}
}
