package node

import (
	"encoding/binary"
	"fmt"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/store"
)

// A node that is started from an old copy of its folder is refused by all who
// know of a newer start. It can't see why its connections end, and it would be
// started again, counting its starts, until it has caught up with the start
// that they know: then they would take it for the newest, with all that it has
// forgotten. So whoever refuses it tells it, on the connection that it has opened:
// the copy need not be where the node was. It gives its data up, durably, before it
// ends: the next start makes it anew from the others, as after damage (see
// rebuild). Its numbers are as good as lost too: the copy tells how far they had
// come then, not how far since.

// kindOldCopy tells a node that its start is refused.
const kindOldCopy peer.Kind = 82 // version:1 refused known, each count:8 nonce:8

const (
	oldCopyVersion = 1
	oldCopyBytes   = 33
)

// oldCopy is a start that was refused, and the one that is known.
type oldCopy struct{ refused, known store.Start }

func (o oldCopy) encode(dst []byte) []byte {
	dst = append(dst, oldCopyVersion)
	for _, n := range [...]uint64{o.refused.Count, o.refused.Nonce, o.known.Count, o.known.Nonce} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}

func decodeOldCopy(b []byte) (o oldCopy, ok bool) {
	if len(b) != oldCopyBytes || b[0] != oldCopyVersion {
		return o, false
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	return oldCopy{store.Start{Count: at(0), Nonce: at(1)}, store.Start{Count: at(2), Nonce: at(3)}}, true
}

// OldCopyError says that a node runs on an old copy of its folder.
type OldCopyError struct {
	By           cluster.NodeID // who knows
	Count, Known uint64         // of starts: this one, and the newest that is known
}

// Error implements error.
func (e *OldCopyError) Error() string {
	this := fmt.Sprintf("and this is start %d", e.Count)
	if e.Count == e.Known {
		this = "and this is another one"
	}
	return fmt.Sprintf("the data of this node is an old copy: node %d knows start %d of it, %s. What it promised since is not in it", e.By, e.Known, this)
}

// Unwrap makes it what is mended as damage is.
func (e *OldCopyError) Unwrap() error { return store.ErrDamaged }

// heardOldCopy takes the word of a peer that this node's start is not its
// newest, and returns what that means; nil: it is not about this start. It may be
// about another process that goes by this node's name.
func heardOldCopy(start store.Start, from cluster.NodeID, b []byte) *OldCopyError {
	o, ok := decodeOldCopy(b)
	if !ok || o.refused != start || o.known.Count < start.Count || o.known == start {
		return nil
	}
	return &OldCopyError{By: from, Count: start.Count, Known: o.known.Count}
}

// giveUp makes durable that the data of a node is an old copy, and counts on from
// numbers that nobody can have met.
func giveUp(n *Node, old *OldCopyError) error {
	if n.voters() < rebuildMin {
		// Others can't decide without this node, so it is for people to find its
		// newest data. Until then the mark keeps it from starting.
		return n.count.Mark(old)
	}
	known := store.Known{Incarnation: old.Known, Generation: n.count.Generation}
	return n.count.GiveUp(known, n.cfg.Rand, old)
}
