package shard

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// Limits of one group.
const (
	GroupCommandsMax = 1024
	GroupBytesMax    = 1 << 20 // soft: a group of one command may be larger
	argsMax          = 1 << 20
	// RepliesMax is how large the replies of a group may become, so that they fit
	// a frame. The command that goes beyond is the last one; those behind it are
	// answered with TextReplies, of a transaction only those that read.
	RepliesMax = 16 << 20
)

// TextReplies answers commands that nobody executes because the replies of those
// before them, in a transaction or a pipeline, fill the memory that they may take.
const TextReplies = "ERR the replies of the commands before this one exceed 16 MiB. Not applied. Send fewer commands at once."

// Command is one command of a group.
type Command struct {
	DB   uint8
	Args [][]byte
}

// Watch is a key that must not have changed since WATCH.
type Watch struct {
	DB      uint8
	Key     []byte
	Version uint64
	Exists  bool
}

// Group is commands of one connection for one shard, evaluated together. Its
// sequence number within the session identifies it through all retries.
type Group struct {
	Shard   cluster.ShardID
	Session uint64
	Seq     uint64
	Attempt uint32
	Term    uint64 // the leader's term this attempt is meant for
	Floor   uint64 // all sequences up to it are answered
	Proto   uint8
	Open    bool // opens the session; carries no commands
	Atomic  bool // MULTI/EXEC: evaluated only if no watched key changed
	Watches []Watch
	Cmds    []Command

	// Done takes the reply, on the goroutine of the shard's loop. It must not
	// block.
	Done func(Reply)
	size int

	prepared *prepared // its evaluation beside the loop, see heavy.go
	tries    int       // how often that came too late
}

// Status is the outcome of one attempt.
type Status uint8

// The statuses.
const (
	// OK: evaluated, and its effects are applied.
	OK Status = iota
	// NotLeader: refused before evaluation; Leader and Term say whom to try.
	NotLeader
	// Lost: leadership was lost while the attempt was in flight. The same
	// sequence may be tried again.
	Lost
	// Busy: refused before evaluation, for now.
	Busy
	// NoSession: the shard does not know the session. An attempt before this
	// one may have been applied; this one was not.
	NoSession
	// Pruned: the sequence has been acknowledged or given up.
	Pruned
	// WatchFailed: a watched key changed, nothing was evaluated.
	WatchFailed
	// NoSpace: the group is a transaction that needs room on a full disk, nothing
	// was evaluated.
	NoSpace
)

// Reply answers one attempt of a group.
type Reply struct {
	Shard   cluster.ShardID
	Session uint64
	Seq     uint64
	Attempt uint32
	Status  Status
	Leader  cluster.NodeID // node, with NotLeader; 0: unknown
	Term    uint64
	Index   uint64 // applied index from which the effects are visible
	Time    int64  // shard time of the evaluation
	// Replies is one RESP reply per command. One of no bytes is dropped: the
	// command was applied, but its reply was too large to keep for this retry.
	Replies [][]byte
}

var errGroup = errors.New("malformed group")

func (g *Group) encode(b []byte) []byte {
	b = be.AppendUint64(b, uint64(g.Shard))
	b = be.AppendUint64(b, g.Session)
	b = be.AppendUint64(b, g.Seq)
	b = be.AppendUint32(b, g.Attempt)
	b = be.AppendUint64(b, g.Term)
	b = be.AppendUint64(b, g.Floor)
	flags := byte(0)
	if g.Open {
		flags |= 1
	}
	if g.Atomic {
		flags |= 2
	}
	b = append(b, flags, g.Proto)
	b = binary.AppendUvarint(b, uint64(len(g.Watches)))
	for _, w := range g.Watches {
		b = append(b, w.DB, boolByte(w.Exists))
		b = be.AppendUint64(b, w.Version)
		b = appendString(b, w.Key)
	}
	b = binary.AppendUvarint(b, uint64(len(g.Cmds)))
	for _, c := range g.Cmds {
		b = append(b, c.DB)
		b = binary.AppendUvarint(b, uint64(len(c.Args)))
		for _, a := range c.Args {
			b = appendString(b, a)
		}
	}
	return b
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

const groupFixed = 46

// decodeGroup decodes what encode wrote; the group keeps slices of b.
func decodeGroup(b []byte) (*Group, error) {
	if len(b) < groupFixed {
		return nil, errGroup
	}
	g := &Group{Shard: cluster.ShardID(be.Uint64(b)), Session: be.Uint64(b[8:]), Seq: be.Uint64(b[16:]), Attempt: be.Uint32(b[24:]),
		Term: be.Uint64(b[28:]), Floor: be.Uint64(b[36:]), Open: b[44]&1 != 0, Atomic: b[44]&2 != 0, Proto: b[45], size: len(b)}
	d := decoder{b: b[groupFixed:]}
	for range d.count(argsMax) {
		w := Watch{DB: d.byte(), Exists: d.byte() == 1, Version: d.uint64()}
		w.Key = d.string()
		if d.bad || w.DB >= keyspace.LogicalDatabases {
			return nil, errGroup
		}
		g.Watches = append(g.Watches, w)
	}
	n := d.count(argsMax)
	if n > 0 {
		g.Cmds = make([]Command, 0, min(n, len(d.b)))
	}
	for range n {
		c := Command{DB: d.byte()}
		argc := d.count(argsMax)
		c.Args = make([][]byte, 0, min(argc, len(d.b)))
		for range argc {
			c.Args = append(c.Args, d.string())
		}
		if argc == 0 || d.bad || c.DB >= keyspace.LogicalDatabases {
			return nil, errGroup
		}
		g.Cmds = append(g.Cmds, c)
	}
	if d.bad || len(d.b) > 0 {
		return nil, errGroup
	}
	return g, nil
}

func (r *Reply) encode(b []byte) []byte {
	b = be.AppendUint64(b, uint64(r.Shard))
	b = be.AppendUint64(b, r.Session)
	b = be.AppendUint64(b, r.Seq)
	b = be.AppendUint32(b, r.Attempt)
	b = append(b, byte(r.Status))
	b = be.AppendUint64(b, uint64(r.Leader))
	b = be.AppendUint64(b, r.Term)
	b = be.AppendUint64(b, r.Index)
	b = be.AppendUint64(b, uint64(r.Time))
	return appendReplies(b, r.Replies)
}

func (r *Reply) bytes() int {
	n := replyFixed
	for _, p := range r.Replies {
		n += len(p) + 5
	}
	return n
}

const replyFixed = 61

func decodeReply(b []byte) (Reply, error) {
	if len(b) < replyFixed {
		return Reply{}, errGroup
	}
	r := Reply{Shard: cluster.ShardID(be.Uint64(b)), Session: be.Uint64(b[8:]), Seq: be.Uint64(b[16:]), Attempt: be.Uint32(b[24:]), Status: Status(b[28]),
		Leader: cluster.NodeID(be.Uint64(b[29:])), Term: be.Uint64(b[37:]), Index: be.Uint64(b[45:]), Time: int64(be.Uint64(b[53:]))}
	var err error
	r.Replies, err = decodeReplies(b[replyFixed:])
	return r, err
}

func appendReplies(b []byte, replies [][]byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(replies)))
	for _, p := range replies {
		b = appendString(b, p)
	}
	return b
}

func decodeReplies(b []byte) ([][]byte, error) {
	d := decoder{b: b}
	n := d.count(argsMax)
	out := make([][]byte, 0, min(n, len(d.b)))
	for range n {
		out = append(out, d.string())
	}
	if d.bad || len(d.b) > 0 {
		return nil, errGroup
	}
	return out, nil
}

func appendString(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder cuts fields from a frame; after a malformed one all are zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.b) < 1 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.bad = true
		return 0
	}
	n := be.Uint64(d.b)
	d.b = d.b[8:]
	return n
}

// count reads a number of things that follow, each at least a byte long.
func (d *decoder) count(limit uint64) int {
	n, w := binary.Uvarint(d.b)
	if w <= 0 || n > limit || n > uint64(len(d.b)-w) {
		d.bad = true
		d.b = nil
		return 0
	}
	d.b = d.b[w:]
	return int(n)
}

func (d *decoder) string() []byte {
	n, w := binary.Uvarint(d.b)
	if w <= 0 || n > uint64(len(d.b)-w) {
		d.bad = true
		d.b = nil
		return nil
	}
	s := d.b[w : w+int(n) : w+int(n)]
	d.b = d.b[w+int(n):]
	return s
}

// refuse answers the attempt without evaluating it.
func (g *Group) refuse(status Status, lead *Lead) {
	g.Done(Reply{Shard: g.Shard, Session: g.Session, Seq: g.Seq, Attempt: g.Attempt, Status: status, Leader: lead.Node, Term: lead.Term})
}

// String is for logs: it names the group without its values.
func (g *Group) String() string {
	return fmt.Sprintf("session %x seq %d attempt %d term %d", g.Session, g.Seq, g.Attempt, g.Term)
}
