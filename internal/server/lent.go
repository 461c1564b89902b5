package server

import (
	"sync"

	"tutti/internal/eval"
)

// What reads are evaluated in, and their replies made, is lent to clients that a goroutine
// serves, and used again: replies of many KiB in memory of their own cost more, to clear
// and to collect, than to copy.

// memories are those that nobody has.
type memories struct{ free sync.Pool }

func (m *memories) take() *eval.Memory {
	if is, ok := m.free.Get().(*eval.Memory); ok {
		return is
	}
	return &eval.Memory{}
}

// put takes one back, but for what large replies have made of it.
func (m *memories) put(is *eval.Memory) {
	if cap(is.Replies()) <= eval.RepliesKept {
		m.free.Put(is)
	}
}

// lent is the memory that a lane has of them.
type lent struct {
	memory *eval.Memory // nil: none
	whole  bool         // the replies in it are those to all commands that were run last
}

// borrow has the reads that follow evaluated in memory that is lent. Their replies are
// there until it is given back.
func (x *lanes) borrow() {
	if x.whole = false; x.memory == nil {
		x.memory = x.s.config.held.memories.take()
	}
}

// giveBack gives it back: the replies in it have been copied.
func (x *lanes) giveBack() {
	if x.memory != nil {
		x.s.config.held.memories.put(x.memory)
		x.memory = nil
	}
}

// wholeFrom is how large replies are that are sent from where they were made. What is
// smaller is copied sooner than memory is lent again.
const wholeFrom = 16 << 10

// takeWhole makes the replies to commands those that are to be written, where they lie. It
// reports false if they are none that it can do that with.
func takeWhole(c *conn, list []pending) bool {
	x := &c.lanes
	if !x.whole || len(c.out.replies) > 0 || c.out.memory != nil || c.session.quiet != replyOn {
		return false
	}
	all := x.memory.Replies()
	if len(all) < wholeFrom || !c.unsent.grow(int64(len(all))) {
		return false
	}
	for i := range list {
		list[i].reply = nil
	}
	c.out.replies, c.out.memory, x.memory = all, x.memory, nil
	return true
}
