package server

import (
	"runtime"
	"time"

	"tutti/internal/command"
	"tutti/internal/eval"
	"tutti/internal/group"
)

// The memory that reads take while they are evaluated. Large replies count against what
// all clients may make the node hold before they are there: otherwise each of many
// clients could have one made before the first one is refused.

const (
	// readFree is what a reply, or a value that is looked up, may take without being
	// counted before it is there: making it takes a moment, so there are never many.
	readFree = 256 << 10
	// readStep is how much is taken at a time.
	readStep = 256 << 10
	// readPatience is how long a large read waits for others to give memory back.
	readPatience = 250 * time.Millisecond
	// turnPatience is how long it waits for its turn. It goes on without one then: what
	// it takes is counted all the same, and one that has a turn may be a long script.
	turnPatience = time.Second
	// readTurnBytes is for how much of the bound there is a turn: about what one large value
	// takes, and the reply made of it.
	readTurnBytes = 32 << 20
)

// newTurns returns the turns of large reads. If all could begin at once each would have a
// part of the memory that it needs, and none could go on.
func newTurns(bound int64) chan struct{} {
	n := runtime.GOMAXPROCS(0)
	if bound > 0 {
		n = min(n, int(max(1, bound/readTurnBytes)))
	}
	return make(chan struct{}, n)
}

// room is the memory that the reads of one lane take. It belongs to the goroutine that
// evaluates them.
type room struct {
	held    held
	gone    <-chan struct{} // closed when there is nobody to answer
	asked   bool            // for its turn, in this evaluation, as what follows
	turn    bool            // it has one
	value   int64           // bytes of the largest value that was looked up
	replies int64
	refused bool // it waits no more
	eval.Room
}

func newRoom(of *budget, gone <-chan struct{}) *room {
	r := &room{held: held{of: of}, gone: gone}
	r.Room = eval.Room{Free: readFree, Value: r.hasValue, Replies: r.hasReplies}
	return r
}

// roomForReads is the room of an evaluation that begins.
func (l *lane) roomForReads() *eval.Room {
	return l.ownRoom().begin()
}

// begin begins an evaluation, which may take the place of the last one.
func (r *room) begin() *eval.Room {
	r.value, r.replies, r.refused, r.asked = 0, 0, false, false
	return &r.Room
}

// end ends it. What was taken stays until the replies are sent.
func (r *room) end() {
	if r.turn {
		r.turn = false
		<-r.held.of.turns
	}
}

func (r *room) hasValue(n int) bool {
	size := max(r.value, int64(n)) // they are not kept, so one counts
	if !r.grow(size + r.replies) {
		return false
	}
	r.value = size
	return true
}

func (r *room) hasReplies(n int) (until int) {
	if size := (int64(n) + readStep - 1) / readStep * readStep; r.grow(r.value + size) {
		r.replies = size
	}
	return int(r.replies)
}

// grow waits for others, but once in an evaluation at most: its view must not be kept
// for long.
func (r *room) grow(size int64) bool {
	if !r.asked {
		r.asked = true
		r.takeTurn()
	}
	more := size - r.held.n
	switch {
	case more <= 0:
		return true
	case r.refused:
		return false
	}
	if r.refused = !r.held.of.await(more, readPatience, r.gone); r.refused {
		return false
	}
	r.held.n += more
	return true
}

func (r *room) takeTurn() {
	turns := r.held.of.turns
	select {
	case turns <- struct{}{}:
		r.turn = true
		return
	default:
	}
	late := time.NewTimer(turnPatience)
	defer late.Stop()
	select {
	case turns <- struct{}{}:
		r.turn = true
	case <-late.C:
	case <-r.gone:
	}
}

// keepsMax is how often a command is sent again for which memory was kept, and whose reply
// had grown meanwhile.
const keepsMax = 8

// keepRoom keeps memory for the reply to the first of the commands, which was not applied
// for want of it, and, where there is enough, for as much of each behind it. Where there is
// none the command is answered so.
func (l *lane) keepRoom(list []pending, away bool) bool {
	p := &list[0]
	if !p.cmd.Changes() && !away && p.block == nil {
		return true // it is read here, and memory kept as it goes
	}
	if p.needed++; p.need > group.RepliesEnd {
		p.answer(errorReply(group.TextReplyLarge))
		return false
	}
	all := min(p.need*len(list), group.RepliesMax)
	switch {
	case all > p.need && l.ownRoom().take(int64(all)):
		p.need = all
	case p.needed > keepsMax || !l.ownRoom().keep(int64(p.need)):
		p.answer(errorReply(command.TextNoReply))
		return false
	}
	return true
}

// ownRoom is the lane's.
func (l *lane) ownRoom() *room {
	if l.room == nil {
		l.room = newRoom(&l.server.config.held, l.wait.gone)
	}
	return l.room
}

// unkeep gives back what was kept for replies that did not come.
func (l *lane) unkeep() {
	if l.room != nil {
		l.room.held.release()
	}
}

// take takes memory if there is enough.
func (r *room) take(n int64) bool {
	ok := r.held.of.try(n)
	if ok {
		r.held.n += n
	}
	return ok
}

// keep takes memory. It waits for others to give some back.
func (r *room) keep(n int64) bool {
	if !r.held.of.await(n, readPatience, r.gone) {
		return false
	}
	r.held.n += n
	return true
}

// holdReplies has the replies that were made count as those of the client.
func (x *lanes) holdReplies() {
	if x.room != nil {
		x.c.unsent.take(&x.room.held)
	}
	for _, l := range x.more {
		if l.room != nil {
			x.c.unsent.take(&l.room.held)
		}
	}
}

// lookRoom is that of reads that a loop evaluates, which makes no large replies and
// waits for nobody: what is large is for a goroutine.
type lookRoom struct {
	large bool // a read was refused as such
	eval.Room
	memory eval.Memory // where it is: replies are written before more reads are evaluated
}

func newLookRoom() *lookRoom {
	r := &lookRoom{}
	refuse := func() int { r.large = true; return lookFree }
	r.Room = eval.Room{Free: lookFree, Value: func(int) bool { refuse(); return false }, Replies: func(int) int { return refuse() }}
	return r
}

// takeLarge reports whether a read was refused since it was asked last.
func (r *lookRoom) takeLarge() bool {
	large := r != nil && r.large
	if large {
		r.large = false
	}
	return large
}
