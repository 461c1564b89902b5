package router

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/shard"
)

// Config gives a Router what it needs.
type Config struct {
	Node        cluster.NodeID
	Incarnation uint64
	// Map says which shard owns a slot, and on which nodes its replicas are.
	Map    *cluster.Holder
	Logger *slog.Logger
	// Timeout is how long a group is tried. Zero: TimeoutDefault.
	Timeout time.Duration
	// AskMap asks others for a newer map, without waiting. Nil: there is nobody.
	AskMap func()
}

// TimeoutDefault leaves room for several elections and ends before the usual
// timeout of clients has made them give up on an answer.
const TimeoutDefault = 5 * time.Second

// Router routes for one node. Its methods are safe for concurrent use.
type Router struct {
	cfg  Config
	host *shard.Host

	mu      sync.Mutex // guards changes of streams, and closed
	closed  bool
	streams atomic.Pointer[map[cluster.ShardID]*stream] // copied when it changes
}

// New returns a router. Start gives it the host: the two know each other.
func New(cfg Config) *Router {
	if cfg.Timeout == 0 {
		cfg.Timeout = TimeoutDefault
	}
	r := &Router{cfg: cfg}
	r.streams.Store(new(map[cluster.ShardID]*stream))
	return r
}

// stream returns this node's session with a shard.
func (r *Router) stream(id cluster.ShardID) *stream {
	if s := (*r.streams.Load())[id]; s != nil {
		return s
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := (*r.streams.Load())[id]; s != nil {
		return s
	}
	next := maps.Clone(*r.streams.Load())
	if next == nil {
		next = make(map[cluster.ShardID]*stream)
	}
	s := newStream(r, id)
	s.closed = r.closed
	next[id] = s
	r.streams.Store(&next)
	return s
}

// Start lets the router use the replicas of this node.
func (r *Router) Start(h *shard.Host) { r.host = h }

// Close fails all groups that wait and stops the timers.
func (r *Router) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	for _, s := range *r.streams.Load() {
		s.close()
	}
}

// Shards lists the shards that own slots, in the order of these. Not to be
// changed.
func (r *Router) Shards() []cluster.Shard { return r.cfg.Map.Map().Data() }

// Map returns the map by which commands find their shards.
func (r *Router) Map() *cluster.Map { return r.cfg.Map.Routes() }

// Timeout is how long a group is tried.
func (r *Router) Timeout() time.Duration { return r.cfg.Timeout }

// Learn takes over what a shard, that refused commands of this node, knew of where
// they belong.
func (r *Router) Learn(ref *group.Refusal) {
	if ref.Owned != nil {
		r.cfg.Map.Learn(*ref.Owned)
	}
}

// Newer returns what is closed once there is another map than old. It asks for
// one: the change may have been told while this node was not to be reached.
func (r *Router) Newer(old *cluster.Map) <-chan struct{} {
	next := r.cfg.Map.Next()
	if r.Map() != old {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	if r.cfg.AskMap != nil {
		r.cfg.AskMap()
	}
	return next
}

// Lead returns who leads a shard as far as this node knows.
func (r *Router) Lead(id cluster.ShardID) shard.Lead { return r.stream(id).leader() }

// LeadChanged is to be called when a replica here learns of a new leader.
func (r *Router) LeadChanged(id cluster.ShardID, l shard.Lead) {
	if s := (*r.streams.Load())[id]; s != nil && l.Node != 0 && r.host != nil {
		s.resend(l)
	}
}

// Reply is to be called with replies from other nodes.
func (r *Router) Reply(from cluster.NodeID, reply group.Reply) {
	if s := (*r.streams.Load())[reply.Shard]; s != nil && s.session == reply.Session {
		s.reply(reply)
	}
}

// Result is the outcome of a group: a reply, or the text of an error that
// answers each of its commands.
type Result struct {
	Reply group.Reply
	Err   string
	// Cancelled says that a command has waited and got nothing, see Router.Wait.
	Cancelled bool
}

// Write sends a group of commands to a shard; g needs Proto, Cmds, and for a
// transaction Atomic and Watches, and the claim that its keys are the shard's: with
// a Refusal in the reply they are not. done is called once, on any goroutine, and
// must not block. Write itself blocks while too many groups are unanswered.
func (r *Router) Write(id cluster.ShardID, g *group.Group, done func(Result)) {
	r.stream(id).write(g, done)
}

// Away reports whether there is no replica of a shard here that follows its
// leader, so that only there reads are answered.
func (r *Router) Away(id cluster.ShardID) bool { return r.host.Away(id) }

// Read asks the replica here for a view, see shard.Read.
func (r *Router) Read(q *shard.Read) { r.host.Read(q) }

// SetSlots changes what a shard owns that is led here, see shard.Host.
func (r *Router) SetSlots(ctx context.Context, id cluster.ShardID, slots cluster.SlotRange) error {
	return r.host.SetSlots(ctx, id, slots)
}

// MetUnreadable is to be called when a read met a row that can't be read.
func (r *Router) MetUnreadable(err *keyspace.RowError) { r.host.MetUnreadable(err) }

// MetKeys is to be called with what reads have found.
func (r *Router) MetKeys(n keyspace.Finds) { r.host.MetKeys(n) }

// Finds returns what commands have found that this node has evaluated: as the leader of
// a shard, or for its own clients.
func (r *Router) Finds() keyspace.Finds { return r.host.Finds() }

// Unreadable returns how often this node has met rows that can't be read.
func (r *Router) Unreadable() uint64 { return r.host.Unreadable() }

// The errors of the form "-CODE what happened. Was it applied? What to do."
func errBusy(id cluster.ShardID) string {
	return fmt.Sprintf("BUSY shard %d has too much waiting. Not applied, safe to retry.", id)
}

func errDropped(id cluster.ShardID) string {
	return fmt.Sprintf("UNCERTAIN shard %d applied the command, but its reply was too large to keep through a leader change. It was applied; read its result.", id)
}

const errStopping = "UNCERTAIN this node is stopping. The write may or may not have been applied. Ask another node."

// ErrRead is the error of a read that nobody confirmed in time.
func ErrRead(id cluster.ShardID) string {
	return fmt.Sprintf("CLUSTERDOWN shard %d has no majority that answers. Nothing was read, safe to retry.", id)
}
