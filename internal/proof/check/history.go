package check

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Outcome is what a client knows about an operation.
type Outcome uint8

// The outcomes.
const (
	OK      Outcome = iota // answered
	Failed                 // certainly not applied
	Unknown                // may have been applied, or may be later
)

// String returns the name that stands in files and reports.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Failed:
		return "failed"
	case Unknown:
		return "unknown"
	}
	panic(fmt.Sprintf("outcome %d", uint8(o)))
}

// Never is the return of an operation that has no known end.
const Never = math.MaxInt64

// aborted is why a transaction under WATCH had no effect: not an error.
const aborted = "a watched key changed"

// FinalReader is the client that reads every key through every node when all
// others have stopped.
const FinalReader = 1000

// Cmd is one command and what came back.
type Cmd struct {
	Args  []string
	Reply Reply
	// Watched marks a read made under WATCH before the transaction that it
	// stands in. If the transaction was executed, the key still had that value.
	Watched bool
}

// Op is what takes effect at once: a command, or all of a transaction.
type Op struct {
	Client int
	Node   int // that the client talked to, from 1
	Cmds   []Cmd
	// Call and Return are places in one order of all calls and returns of a
	// history. Clocks alone would not do: virtual time stands still too often to
	// tell what came first.
	Call, Return int64
	// At and Until are the same moments on the clock, from the history's start.
	At, Until time.Duration
	Outcome   Outcome
	Why       string // it failed or is unknown
}

// Command is a command without its reply.
func Command(args ...string) Cmd { return Cmd{Args: args} }

// Watched is a read under WATCH and what it said.
func Watched(reply Reply, args ...string) Cmd {
	return Cmd{Args: args, Reply: reply, Watched: true}
}

// keys returns the keys of a command.
func (c Cmd) keys() []string {
	if len(c.Args) < 2 {
		return nil
	}
	if key, ok := streamKey(c.Args); ok {
		return []string{key}
	}
	switch {
	case several[c.Args[0]]:
		return c.Args[1:]
	case c.Args[0] == "MSET":
		var keys []string
		for pair := range slices.Chunk(c.Args[1:], 2) {
			keys = append(keys, pair[0])
		}
		return keys
	}
	return c.Args[1:2]
}

// several are the commands here whose arguments are all keys, reads those that
// change nothing.
var (
	several = set("MGET", "DEL", "EXISTS")
	reads   = set("GET", "MGET", "EXISTS", "PTTL", "STRLEN",
		"LRANGE", "LLEN", "LINDEX", "HGET", "HGETALL", "HLEN", "HEXISTS",
		"SMEMBERS", "SISMEMBER", "SCARD", "ZSCORE", "ZCARD", "ZRANGE", "ZRANK", "XLEN", "XRANGE", "XPENDING")
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// reads reports whether nothing in the operation can change anything.
func (o *Op) reads() bool {
	for _, c := range o.Cmds {
		if !c.Watched && !reads[c.Args[0]] {
			return false
		}
	}
	return true
}

// String is for reports: one line.
func (o *Op) String() string {
	end := "        ?"
	if o.Outcome != Unknown {
		end = fmt.Sprintf("%9.4f", o.Until.Seconds())
	}
	who := fmt.Sprintf("client %d", o.Client)
	if o.Client == FinalReader {
		who = "final read"
	}
	return fmt.Sprintf("%9.4f-%s %s node %d: %s", o.At.Seconds(), end, who, o.Node, o.Describe())
}

// Describe is what was asked and what came back.
func (o *Op) Describe() string {
	var b strings.Builder
	for i, c := range o.Cmds {
		if i > 0 {
			b.WriteString("; ")
		}
		if c.Watched {
			b.WriteString("WATCH+")
		}
		for j, a := range c.Args {
			if j > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(quote(a))
		}
		if c.Reply.Kind != KindNone {
			b.WriteString(" -> " + c.Reply.String())
		}
	}
	if o.Outcome != OK {
		fmt.Fprintf(&b, " (%v: %s)", o.Outcome, o.Why)
	}
	return b.String()
}

// Span is a fault, or another thing that lasted for a while.
type Span struct {
	Name     string
	From, To time.Duration // since the history's start
}

// Leader is a change of a shard's leader, as somebody noticed it.
type Leader struct {
	At    time.Duration
	Shard int
	Node  int // 0: none
	Term  uint64
}

// History is what happened.
type History struct {
	Suite    Suite // what is to judge it
	Ops      []Op  // in the order of their returns
	Faults   []Span
	Leaders  []Leader
	Problems []string // what no fault explains; each is a failure
}

// Count counts the operations with an outcome.
func (h *History) Count(o Outcome) int {
	n := 0
	for i := range h.Ops {
		if h.Ops[i].Outcome == o {
			n++
		}
	}
	return n
}

// Refused counts the operations that failed by an error; a transaction that
// found a watched key changed has not.
func (h *History) Refused() int {
	n := 0
	for i := range h.Ops {
		if h.Ops[i].Outcome == Failed && h.Ops[i].Why != aborted {
			n++
		}
	}
	return n
}
