package router

import (
	"fmt"
	"log/slog"
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
	Shards      []shard.Shard
	Logger      *slog.Logger
	// Timeout is how long a group is tried. Zero: TimeoutDefault.
	Timeout time.Duration
}

// TimeoutDefault leaves room for several elections and ends before the usual
// timeout of clients has made them give up on an answer.
const TimeoutDefault = 5 * time.Second

// Router routes for one node. Its methods are safe for concurrent use.
type Router struct {
	cfg     Config
	host    *shard.Host
	owner   [keyspace.Slots]cluster.ShardID // slot -> shard
	streams map[cluster.ShardID]*stream     // immutable
	only    cluster.ShardID                 // the shard, if there is a single one
}

// New returns a router. Start gives it the host: the two know each other.
func New(cfg Config) *Router {
	if cfg.Timeout == 0 {
		cfg.Timeout = TimeoutDefault
	}
	r := &Router{cfg: cfg, streams: make(map[cluster.ShardID]*stream)}
	for _, s := range cfg.Shards {
		for slot := s.Slots.First; slot < s.Slots.End; slot++ {
			r.owner[slot] = s.ID
		}
		r.streams[s.ID] = newStream(r, s.ID)
	}
	if len(cfg.Shards) == 1 {
		r.only = cfg.Shards[0].ID
	}
	return r
}

// Start lets the router use the replicas of this node.
func (r *Router) Start(h *shard.Host) { r.host = h }

// Close fails all groups that wait and stops the timers.
func (r *Router) Close() {
	for _, s := range r.streams {
		s.close()
	}
}

// Shards lists the shards and their slots.
func (r *Router) Shards() []shard.Shard { return r.cfg.Shards }

// Single returns the only shard, or ok false if there are several.
func (r *Router) Single() (shard cluster.ShardID, ok bool) { return r.only, r.only != 0 }

// Shard returns the shard that owns a slot.
func (r *Router) Shard(slot uint16) cluster.ShardID { return r.owner[slot] }

// Lead returns who leads a shard as far as this node knows.
func (r *Router) Lead(id cluster.ShardID) shard.Lead { return r.host.Lead(id) }

// LeadChanged is to be called when a replica here learns of a new leader.
func (r *Router) LeadChanged(id cluster.ShardID, l shard.Lead) {
	if l.Node != 0 && r.host != nil {
		r.streams[id].resend(l)
	}
}

// Reply is to be called with replies from other nodes.
func (r *Router) Reply(from cluster.NodeID, reply group.Reply) {
	for _, s := range r.streams {
		if s.session == reply.Session && s.id == reply.Shard {
			s.reply(reply)
		}
	}
}

// Result is the outcome of a group: a reply, or the text of an error that
// answers each of its commands.
type Result struct {
	Reply group.Reply
	Err   string
}

// Write sends a group of commands to a shard; g needs Proto, Cmds, and for a
// transaction Atomic and Watches. done is called once, on any goroutine, and
// must not block. Write itself blocks while too many groups are unanswered.
func (r *Router) Write(id cluster.ShardID, g *group.Group, done func(Result)) {
	r.streams[id].write(g, done)
}

// Away reports whether the replica of a shard here has no room to follow its
// leader, so that only there reads are answered.
func (r *Router) Away(id cluster.ShardID) bool { return r.host.Away(id) }

// Read asks the replica here for a view, see shard.Read.
func (r *Router) Read(q *shard.Read) { r.host.Read(q) }

// The errors of the form "-CODE what happened. Was it applied? What to do."
func (r *Router) errDown(id cluster.ShardID) string {
	return fmt.Sprintf("CLUSTERDOWN shard %d has had no leader for %v. Not applied, safe to retry.", id, r.cfg.Timeout)
}

func (r *Router) errUncertain(id cluster.ShardID) string {
	return fmt.Sprintf("UNCERTAIN the leader of shard %d left before answering. The write may or may not have been applied. Read before you retry.", id)
}

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
