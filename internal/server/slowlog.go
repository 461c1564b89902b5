package server

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/command"
	"tutti/internal/resp"
	"tutti/internal/spike"
)

// slowlog keeps the commands that took longest to be answered by this node,
// waiting for the cluster included.
type slowlog struct {
	threshold atomic.Int64 // microseconds; negative: nothing is logged
	met       atomic.Int64 // slow commands since the start, also those that were not logged
	spikes    *spike.Log   // of the node

	mu      sync.Mutex // guards all below
	entries []slowEntry
	lenMax  int
	lastID  int64
}

type slowEntry struct {
	id     int64
	at     int64 // unix seconds
	took   time.Duration
	args   []string
	client string
	name   string
}

// Limits of an entry, as in Redis, and how many of the commands that went to a
// shard together are logged: they share their time, and which of them was slow
// is not known.
const (
	slowArgsMax     = 32
	slowArgLenMax   = 128
	slowTogetherMax = 16
)

// slow reports whether n commands that took so long together are slow, and
// counts them.
func (l *slowlog) slow(took time.Duration, n int) bool {
	limit := l.threshold.Load()
	if limit < 0 || took < time.Duration(limit)*time.Microsecond {
		return false
	}
	l.met.Add(int64(n))
	return true
}

func (l *slowlog) add(c *conn, cmd *command.Command, args [][]byte, took time.Duration) {
	e := slowEntry{at: c.s.cfg.Wall() / 1000, took: took, args: shownArgs(cmd, args), client: c.nc.RemoteAddr().String(), name: *c.face.name.Load()}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.id = l.lastID
	l.lastID++
	l.entries = append(l.entries, e)
	l.trim()
}

// trim forgets the oldest entries, many at a time: they are moved only once as many
// have come as the log holds. l.mu is held.
func (l *slowlog) trim() {
	if extra := len(l.entries) - l.lenMax; extra > l.lenMax {
		n := copy(l.entries, l.entries[extra:])
		clear(l.entries[n:])
		l.entries = l.entries[:n]
	}
}

// kept is the entries that count, oldest first. l.mu is held.
func (l *slowlog) kept() []slowEntry { return l.entries[max(0, len(l.entries)-l.lenMax):] }

func (l *slowlog) setLenMax(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lenMax = n
	l.trim()
}

func (l *slowlog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
}

func (l *slowlog) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kept())
}

// newest returns up to n entries, the newest first.
func (l *slowlog) newest(n int) []slowEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.kept())
	slices.Reverse(list)
	return list[:min(n, len(list))]
}

// shownArgs cuts the arguments to what the log keeps, without secrets.
func shownArgs(cmd *command.Command, args [][]byte) []string {
	n := min(len(args), slowArgsMax)
	shown := make([]string, n)
	for i := range n {
		switch a := args[i]; {
		case i == slowArgsMax-1 && len(args) > slowArgsMax:
			shown[i] = fmt.Sprintf("... (%d more arguments)", len(args)-slowArgsMax+1)
		case secret(cmd, args, i):
			shown[i] = "(redacted)"
		case len(a) > slowArgLenMax:
			shown[i] = fmt.Sprintf("%s... (%d more bytes)", a[:slowArgLenMax], len(a)-slowArgLenMax)
		default:
			shown[i] = string(a)
		}
	}
	return shown
}

// secret reports whether argument i may be or hold a password.
func secret(cmd *command.Command, args [][]byte, i int) bool {
	switch cmd.Name {
	case "auth":
		return i > 0
	case "tutti.user|set":
		return i > 2
	case "hello":
		return i > 2
	case "acl|setuser":
		return i > 1
	case "config|set":
		return i > 2 && i%2 == 1 && secretSetting(args[i-1])
	}
	return false
}

func slowlogHandlers() map[string]handler {
	return map[string]handler{
		"slowlog|get":   slowlogGet,
		"slowlog|len":   func(r *request, _ [][]byte) { r.Int(int64(r.s.logs.slow.len())) },
		"slowlog|reset": func(r *request, _ [][]byte) { r.s.logs.slow.reset(); r.OK() },
		"slowlog|help":  help,
	}
}

func slowlogGet(r *request, args [][]byte) {
	n := int64(10)
	if len(args) > 3 {
		r.wrongArity("slowlog|get")
		return
	}
	if len(args) == 3 {
		var ok bool
		if n, ok = resp.ParseInt(args[2]); !ok || n < -1 {
			r.Error("ERR count should be greater than or equal to -1")
			return
		}
	}
	if n == -1 {
		n = int64(r.s.logs.slow.len())
	}
	list := r.s.logs.slow.newest(int(min(n, 1<<20)))
	r.Array(len(list))
	for _, e := range list {
		r.Array(6)
		r.Int(e.id)
		r.Int(e.at)
		r.Int(int64(e.took / time.Microsecond))
		r.BulkStrings(e.args)
		r.BulkString(e.client)
		r.BulkString(e.name)
	}
}
