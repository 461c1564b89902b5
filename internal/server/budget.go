package server

import (
	"sync/atomic"
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
	errBudgetReply   = errBudget + "The reply was too large to be kept. Nothing was changed; read again later, or less at once."
)

// budget bounds the bytes that are held. It is safe for concurrent use.
type budget struct {
	max     atomic.Int64 // 0: any
	used    atomic.Int64
	refused atomic.Int64 // how often there was not enough
}

// Acquire takes n bytes, or reports that there are not so many left.
func (b *budget) Acquire(n int64) bool {
	if limit := b.max.Load(); b.used.Add(n) > limit && limit > 0 {
		b.used.Add(-n)
		b.refused.Add(1)
		return false
	}
	return true
}

// Release gives n bytes back.
func (b *budget) Release(n int64) {
	if b.used.Add(-n) < 0 {
		panic("server: more bytes given back than were taken")
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

// affordable returns the reply to a command, behind others of so many bytes that are
// not sent either. Where there is no room for it and nothing was changed, it is an error
// in its place.
func (h *held) affordable(p *pending, before int) []byte {
	if !h.grow(int64(before+len(p.reply))) && len(p.reply) > heldFree && !p.cmd.Changes() {
		return errorReply(errBudgetReply)
	}
	return p.reply
}
