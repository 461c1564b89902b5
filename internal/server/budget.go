package server

import (
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/command"
)

// What all clients together make the node hold in memory: commands that have not come
// whole, or wait in MULTI, and replies that wait to be taken. One client may have a lot
// of it; if all had, the node would end, and with it what the others want of it. So
// beyond a bound the newest is refused, with the reason.

const (
	// clientBytesDefault is the bound where nobody has said how much memory there is.
	clientBytesDefault = 256 << 20
	// heldFree is how much of a kind one client may make the node hold without being
	// counted: the usual client is not, and costs nothing for it.
	heldFree = 64 << 10

	errBudget        = "BUSY the clients of this node make it hold as much as it has memory for (CONFIG GET maxmemory-clients). "
	errBudgetCommand = errBudget + "Not applied, this command had not come whole. The connection is closed; retry later, or with less at once."
	errBudgetMulti   = errBudget + "Not applied, the transaction is discarded. Retry later, or with less at once."
)

// budget bounds the bytes that are held. It is safe for concurrent use.
type budget struct {
	max     atomic.Int64 // 0: any
	used    atomic.Int64
	refused atomic.Int64 // how often there was not enough
	waiting atomic.Int64 // how many wait for some to be given back

	turns    chan struct{} // has as many places as large reads are evaluated at once
	memories memories      // that reads are lent

	mu    sync.Mutex    // guards freed
	freed chan struct{} // closed when some are given back; nil: nobody has waited since
}

// Acquire takes n bytes, or reports that there are not so many left.
func (b *budget) Acquire(n int64) bool {
	ok := b.try(n)
	if !ok {
		b.refused.Add(1)
	}
	return ok
}

func (b *budget) try(n int64) bool {
	if limit := b.max.Load(); b.used.Add(n) > limit && limit > 0 {
		b.used.Add(-n)
		return false
	}
	return true
}

// await is Acquire that waits for others to give back what they have, for a while, and
// no longer than until gone is closed.
func (b *budget) await(n int64, patience time.Duration, gone <-chan struct{}) bool {
	if b.try(n) {
		return true
	}
	if n > b.max.Load() { // it will never fit
		b.refused.Add(1)
		return false
	}
	// Who gives back looks for those who wait afterwards: so they tell before they look.
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		freed := b.next()
		if b.try(n) {
			return true
		}
		select {
		case <-freed:
			continue
		case <-late.C:
		case <-gone:
		}
		b.refused.Add(1)
		return false
	}
}

// next is closed when bytes are given back from here on.
func (b *budget) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

// Force takes n bytes of what has been made already, however many are left.
func (b *budget) Force(n int64) { b.used.Add(n) }

// Release gives n bytes back.
func (b *budget) Release(n int64) {
	if b.used.Add(-n) < 0 {
		panic("server: more bytes given back than were taken")
	}
	if b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// held is what one client has of a budget for one purpose. It belongs to the goroutine
// that serves the client.
type held struct {
	of *budget
	n  int64 // that were taken
}

// grow makes it that of size bytes, or reports that there is no room. What is smaller
// than before stays: release gives it back.
func (h *held) grow(size int64) bool {
	more := size - heldFree - h.n
	if more <= 0 {
		return true
	}
	if !h.of.Acquire(more) {
		return false
	}
	h.n += more
	return true
}

// release gives all back.
func (h *held) release() {
	if h.n > 0 {
		h.of.Release(h.n)
		h.n = 0
	}
}

// be makes it that of size bytes, which are there already.
func (h *held) be(size int64) {
	switch more := max(size-heldFree, 0) - h.n; {
	case more > 0:
		h.of.Force(more)
		h.n += more
	case more < 0:
		h.of.Release(-more)
		h.n += more
	}
}

// take makes what another one has its own.
func (h *held) take(from *held) {
	h.n += from.n
	from.n = 0
}

// affordable returns the reply to a command, behind others of so many bytes that are
// not sent either. Where there is no room for it and nothing was changed, it is an error
// in its place.
func (h *held) affordable(p *pending, before int) []byte {
	if !h.grow(int64(before+len(p.reply))) && len(p.reply) > heldFree && !p.cmd.Changes() {
		return errorReply(command.TextNoRoom)
	}
	return p.reply
}
