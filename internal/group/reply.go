package group

import (
	"fmt"
	"slices"

	"tutti/internal/cluster"
)

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
	// Moved: the shard does not own all slots of the group, or not any more; nothing
	// was evaluated, and no attempt of this sequence ever will be. See Refusal.
	Moved
	// UsersChanged: the commands were let in by the rights of users as they are not
	// any more; nothing was evaluated, and no attempt of this sequence ever will be.
	// See Refusal.
	UsersChanged
	// Parked: the command found nothing and waits. Its answer comes late.
	Parked
	// Undone: the group is a transaction with a command that could not be applied and
	// without which nothing is to be; the only reply says why.
	Undone
)

// Refusal is why a shard took nothing of what it was sent: it knows something
// that the sender went without. Nothing of it was or will be evaluated there, so
// the sender learns, looks anew where its commands belong, and sends them under
// new sequences. What else a sender may not know gets a status of its own here.
type Refusal struct {
	Status Status
	// Owned is, with Moved, what the shard owns.
	Owned *cluster.Descriptor
	// Users is, with UsersChanged, the epoch of the users that the sender must know.
	Users uint64
}

// Error says what the sender did not know.
func (r *Refusal) Error() string {
	if r.Status == UsersChanged {
		return fmt.Sprintf("rights go by the users of epoch %d", r.Users)
	}
	return fmt.Sprintf("shard %d owns the slots from %d to before %d, by generation %d", r.Owned.ID, r.Owned.Slots.First, r.Owned.Slots.End, r.Owned.Generation)
}

// Refusal returns why the shard evaluated nothing, so that the commands are to be
// sent anew; nil: it did, or it is no use.
func (r *Reply) Refusal() *Refusal {
	switch {
	case r.Status == Moved && r.Owned != nil:
		return &Refusal{Status: r.Status, Owned: r.Owned}
	case r.Status == UsersChanged:
		return &Refusal{Status: r.Status, Users: r.Users}
	}
	return nil
}

// Reply answers one attempt of a group.
type Reply struct {
	Shard   cluster.ShardID
	Session uint64
	Seq     uint64
	Attempt uint32
	Status  Status
	// Late says that this answers a waiter, whose sequence Seq is, and nobody's attempt.
	Late   bool
	Leader cluster.NodeID // node, with NotLeader; 0: unknown
	Term   uint64
	Index  uint64 // applied index from which the effects are visible
	Time   int64  // shard time of the evaluation
	// Owned is what the shard owns, with Moved; else nil.
	Owned *cluster.Descriptor
	// Users is the epoch of the users that the sender must know, with UsersChanged.
	Users uint64
	// Order is the waiter's place in the lines, with Parked.
	Order uint64
	// Unfit says what was not evaluated for want of memory for the replies.
	Unfit Unfit
	// Own is what the group alone has changed, if it asked for that. Nil: that is not known,
	// or nothing.
	Own *Own
	// Replies is one RESP reply per command. One of no bytes is dropped: the
	// command was applied, but its reply was too large to keep for this retry.
	Replies [][]byte
}

// Own is keys that the entry of a reply's Index has changed, all of them by the group that
// is answered: nobody else has changed a key of that name there, in any database. Not all
// there are where they have more than OwnMax bytes.
type Own struct{ Keys [][]byte }

// OwnMax bounds the bytes of the keys in an Own.
const OwnMax = 1 << 20

// Alone returns the keys of Own.
func (r *Reply) Alone() [][]byte {
	if r.Own == nil {
		return nil
	}
	return r.Own.Keys
}

// Unfit says that the replies of a group did not fit its Room: the commands from number
// From on were not evaluated, or, of a transaction, none were. They may be sent again, in a
// group that has room for the reply of the first, which would have had Need bytes, those
// before it in a transaction included. Where it comes with a record of the group only it is
// left out: then the replies, which are errors, stand.
type Unfit struct{ From, Need int }

// Has reports whether command i was not evaluated for want of memory.
func (u Unfit) Has(i int) bool { return u.Need > 0 && i >= u.From }

// Shrink leaves out the largest replies, so that the encoding has at most max
// bytes.
func (r *Reply) Shrink(max int) {
	if r.Size() <= max {
		return
	}
	r.Own = nil // it is told of what it has changed, too
	sizes := make([]int, len(r.Replies))
	for i, p := range r.Replies {
		sizes[i] = len(p)
	}
	keep := Fitting(sizes, max-replyFixed-5*len(sizes))
	r.Replies = slices.Clone(r.Replies)
	for i, p := range r.Replies {
		if len(p) > keep {
			r.Replies[i] = nil
		}
	}
}

// Fitting returns the size above which things must be left out so that the rest is
// at most max together: the largest go first, so that as many as possible stay.
func Fitting(sizes []int, max int) int {
	slices.Sort(sizes)
	sum := 0
	for i, size := range sizes {
		if sum += size; sum > max {
			for i > 0 && sizes[i-1] == size { // of one size all go
				i--
			}
			if i == 0 {
				return 0
			}
			return sizes[i-1]
		}
	}
	return max
}
