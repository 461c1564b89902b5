package group

import (
	"fmt"
	"time"

	"tutti/internal/cluster"
)

// Limits of one group.
const (
	// CommandsMax is how many commands a group may have.
	CommandsMax = 1024
	// BytesMax is how large a group of more than one command may be.
	BytesMax = 1 << 20
	// RepliesMax is how large the replies of a group may become, so that they fit
	// a frame. The command that goes beyond is the last one; those behind it are
	// answered with TextReplies, of a transaction only those that read.
	RepliesMax = 16 << 20
	// RepliesEnd is what they may have with the command that goes beyond: a group whose
	// replies did not fit a frame would be applied, and its replies lost.
	RepliesEnd = RepliesMax + 2<<20
	// RepliesFree is how large they may become, beside repliesEach for each command,
	// where the sender has not kept memory for more.
	RepliesFree = 256 << 10
	repliesEach = 1 << 10
)

// Errors that a group's commands are answered with, whoever evaluates them.
const (
	// TextReplies answers commands that nobody executes because the replies of those
	// before them, in a transaction or a pipeline, fill the memory that they may take.
	TextReplies = "ERR the replies of the commands before this one exceed 16 MiB. Not applied. Send fewer commands at once."
	// TextReplyLarge answers a command whose reply no frame can bring.
	TextReplyLarge = "ERR the reply to this command would exceed 16 MiB, the most that a leader answers with. Not applied. Ask for less at once."
	// TextNoSpace answers commands that need room on a full disk.
	TextNoSpace = "NOSPACE the disk of the leader or of too many other nodes is full. Not applied. Deletes and reads still work; make room on the disks."
)

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

// Claim is what the sender of commands takes for granted: that their keys lie in
// these slots, and that the shard owns them, as its descriptor of that generation
// says. A shard that does not own them refuses the commands. No slots: the
// commands have no keys.
type Claim struct {
	Slots      cluster.SlotRange
	Generation uint64
	// Users is the epoch of the users by whose rights the commands were let in: a
	// shard that knows of a later one refuses them. Zero: the node sends them on
	// nobody's behalf.
	Users uint64
}

// Join returns the claim of commands that go together. It goes by the older of two
// descriptors. Both were let in by the same users.
func (c Claim) Join(o Claim) Claim {
	switch {
	case o.Slots.Empty():
		o.Slots = c.Slots
	case !c.Slots.Empty():
		o.Slots = cluster.SlotRange{First: min(c.Slots.First, o.Slots.First), End: max(c.Slots.End, o.Slots.End)}
	}
	o.Generation, o.Users = min(c.Generation, o.Generation), c.Users
	return o
}

// Wait says what a group has to do with a waiter.
type Wait struct {
	// Seq names the waiter: the sequence of the group that registered it first.
	// Zero: this one does.
	Seq uint64
	// Order is its place in the lines, as it was told. Zero: it has none yet.
	Order uint64
	// Round counts the times that the entry node began to register anew.
	Round uint64
	// Cancel ends the waiting; there is no command then. The answer is that of the
	// command if it has been served, or else none.
	Cancel bool
}

// Waiter returns the sequence that names the waiter of a group.
func (g *Group) Waiter() uint64 {
	if g.Wait.Seq != 0 {
		return g.Wait.Seq
	}
	return g.Seq
}

// Group is commands of one connection for one shard, evaluated together. Its
// sequence number within the session identifies it through all retries.
type Group struct {
	Shard   cluster.ShardID
	Session uint64 // see SessionID
	Seq     uint64
	Attempt uint32
	Term    uint64 // the leader's term this attempt is meant for
	Floor   uint64 // all sequences up to it are answered
	Proto   uint8
	Open    bool // opens the session; carries no commands
	Atomic  bool // MULTI/EXEC: evaluated only if no watched key changed
	Claim   Claim
	Watches []Watch
	Cmds    []Command
	// User is by whose rights its scripts call commands. Nil: they may call all.
	User *User
	// Wait is set if the one command waits when it finds nothing, see package waiter.
	Wait *Wait
	// Room is for how many bytes of replies the sender has kept memory. 0: for what is
	// free, see Free.
	Room int
	// Own asks for Reply.Own.
	Own bool
	// Got is the waiters of this session whose late answers have arrived: the shard
	// need not keep them any longer.
	Got []uint64

	// Until is when the sender gives up. Zero: it has a time-out of its own. It is
	// not sent.
	Until time.Time
	// Done takes the reply, on the goroutine of the shard's loop. It must not
	// block.
	Done func(Reply)
	size int
}

// Free returns how large the replies of n commands may become without the sender having
// kept memory for them.
func Free(n int) int { return RepliesFree + n*repliesEach }

// ReplyRoom returns how large the replies of the group may become.
func (g *Group) ReplyRoom() int {
	if g.Room > 0 {
		return g.Room
	}
	return Free(len(g.Cmds))
}

// User is a user and what it may do, as package acl spells it.
type User struct {
	Name  string
	Rules []string
}

// Size is about how many bytes of memory the group takes. The first call counts
// them; it belongs to the goroutine that sends the group.
func (g *Group) Size() int {
	if g.size == 0 {
		n := groupFixed
		for _, c := range g.Cmds {
			for _, a := range c.Args {
				n += len(a) + 4
			}
		}
		g.size = n
	}
	return g.size
}

// Refuse answers the attempt without evaluating it; leader and term say whom to
// try instead.
func (g *Group) Refuse(status Status, leader cluster.NodeID, term uint64) {
	g.Done(Reply{Shard: g.Shard, Session: g.Session, Seq: g.Seq, Attempt: g.Attempt, Status: status, Leader: leader, Term: term})
}

// String is for logs: it names the group without its values.
func (g *Group) String() string {
	return fmt.Sprintf("session %x seq %d attempt %d term %d", g.Session, g.Seq, g.Attempt, g.Term)
}

// SessionID names the session of an entry node's incarnation.
func SessionID(node cluster.NodeID, incarnation uint64) uint64 {
	return uint64(node)<<48 | incarnation&(1<<48-1)
}

// SessionNode is the entry node of a session.
func SessionNode(id uint64) cluster.NodeID { return cluster.NodeID(id >> 48) }

// SessionIncarnation is the incarnation of the entry node of a session.
func SessionIncarnation(id uint64) uint64 { return id & (1<<48 - 1) }
