package shard

import (
	"log/slog"
	"sync/atomic"
	"time"

	"tutti/internal/keyspace"
)

// Rows that can't be read. Such a row concerns its key alone: the command that
// meets it fails, and the node goes on. It is reported here, for the operator,
// and whether this node's copy differs from the others' is for the scrub to find
// out. A node must not end itself for it: the row may be the same everywhere, and
// one command after another would end all nodes.

// unreadableEvery is how often at most one of them is logged: a client may ask for
// the same key all the time.
const unreadableEvery = 10 * time.Second

// unreadable counts them. It is used by loops, and by whoever reads beside them.
type unreadable struct {
	cfg  *Config
	n    atomic.Uint64
	next atomic.Int64 // monotonic time of the next line in the log
}

// MetUnreadable takes note of a row that a command met and that can't be read. It
// is safe for concurrent use.
func (u *unreadable) MetUnreadable(err *keyspace.RowError) {
	n := u.n.Add(1)
	now, next := int64(u.cfg.Clock.Mono()), u.next.Load()
	if n > 1 && now < next || !u.next.CompareAndSwap(next, now+int64(unreadableEvery)) {
		return
	}
	u.cfg.Logger.Error("a row can't be read, commands on its key fail", slog.Any("error", err), slog.Uint64("met", n))
}

// Unreadable returns how often rows were met that can't be read.
func (u *unreadable) Unreadable() uint64 { return u.n.Load() }
