package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Recorder takes down what clients do. Its methods may be called by many
// goroutines.
type Recorder struct {
	start  time.Time
	opsMax int

	mu    sync.Mutex // guards what follows
	place int64
	h     History
	texts map[string]int // errors, by their first word
	full  bool           // an operation found no room
	open  map[int64]Op   // called and not ended, by their calls
}

// OpsMaxDefault bounds a history unless its recorder is told otherwise: about
// 1 GB.
const OpsMaxDefault = 2_000_000

// NewRecorder returns a recorder of at most opsMax operations (0: the default)
// that suite is to judge. The history begins now.
func NewRecorder(suite Suite, opsMax int) *Recorder {
	if opsMax == 0 {
		opsMax = OpsMaxDefault
	}
	return &Recorder{start: time.Now(), opsMax: opsMax, h: History{Suite: suite}, texts: make(map[string]int), open: make(map[int64]Op)}
}

// Now returns the time since the history began.
func (r *Recorder) Now() time.Duration { return time.Since(r.start) }

// Call takes down that a client is about to send cmds: one command, or those of
// a transaction after the reads made under WATCH for it.
func (r *Recorder) Call(client, node int, cmds ...Cmd) Op {
	op := Op{Client: client, Node: node, Cmds: cmds, At: r.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.place++
	op.Call = r.place
	r.open[op.Call] = op
	return op
}

// Answered takes down the reply to a single command and reports whether that
// was a result.
func (r *Recorder) Answered(op Op, reply Reply) (ok bool) {
	if Classify(reply) == Answered {
		op.Cmds[0].Reply = reply
	}
	return r.end(op, reply)
}

// Executed takes down the reply to EXEC and reports whether the transaction was
// executed.
func (r *Recorder) Executed(op Op, exec Reply) (ok bool) {
	first := 0 // that EXEC answers
	for first < len(op.Cmds) && op.Cmds[first].Watched {
		first++
	}
	switch {
	case exec.Kind == KindNil:
		return r.done(op, Failed, aborted)
	case exec.Kind == KindError:
		return r.end(op, exec)
	case exec.Kind != KindArray || len(exec.Elems) != len(op.Cmds)-first:
		r.Problem("%v: EXEC answered %v", &op, exec)
		return r.done(op, Unknown, "EXEC answered something else")
	}
	for i, e := range exec.Elems {
		if Classify(e) != Answered {
			r.Problem("%v: EXEC answered %v", &op, exec)
			return r.done(op, Unknown, "EXEC answered an error inside")
		}
		op.Cmds[first+i].Reply = e
	}
	return r.done(op, OK, "")
}

// Lost takes down that no reply came: sent says whether the command may have
// left.
func (r *Recorder) Lost(op Op, sent bool, why string) {
	outcome := Failed
	if sent {
		outcome = Unknown
	}
	r.done(op, outcome, why)
}

func (r *Recorder) end(op Op, reply Reply) (ok bool) {
	switch Classify(reply) {
	case Answered:
		return r.done(op, OK, "")
	case NotApplied:
		return r.done(op, Failed, reply.Str)
	case Unexplained:
		r.Problem("%v: %v", &op, reply)
	}
	return r.done(op, Unknown, reply.Str)
}

func (r *Recorder) done(op Op, outcome Outcome, why string) (ok bool) {
	if outcome == Unknown && op.reads() {
		outcome = Failed // nothing can have been applied
	}
	op.Outcome, op.Why, op.Until = outcome, why, r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, op.Call)
	r.place++
	op.Return = r.place
	if outcome == Unknown {
		op.Return = Never
	}
	if outcome != OK && why != aborted {
		code, _, _ := strings.Cut(why, " ")
		r.texts[code]++
	}
	switch {
	case len(r.h.Ops) < r.opsMax:
		r.h.Ops = append(r.h.Ops, op)
	case !r.full:
		r.full = true
		r.h.Problems = append(r.h.Problems, fmt.Sprintf("the history is full: %d operations", r.opsMax))
	}
	return outcome == OK
}

// What is kept beside the operations: the first ones tell.
const (
	problemsMax = 1000
	spansMax    = 100_000
)

// Problem takes down what no fault explains.
func (r *Recorder) Problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.h.Problems) < problemsMax {
		r.h.Problems = append(r.h.Problems, fmt.Sprintf(format, args...))
	}
}

// Fault takes down a fault that lasted from a moment of this recorder until
// now.
func (r *Recorder) Fault(name string, from time.Duration) {
	to := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.h.Faults) < spansMax {
		r.h.Faults = append(r.h.Faults, Span{Name: name, From: from, To: to})
	}
}

// Leader takes down that a shard has another leader.
func (r *Recorder) Leader(shard, node int, term uint64) {
	at := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.h.Leaders) < spansMax {
		r.h.Leaders = append(r.h.Leaders, Leader{At: at, Shard: shard, Node: node, Term: term})
	}
}

// FinalNodes takes down that every key was read through these nodes at the end,
// when all other clients had stopped.
func (r *Recorder) FinalNodes(nodes ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Suite.FinalNodes = nodes
}

// Texts counts the errors by their first word.
func (r *Recorder) Texts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := make(map[string]int, len(r.texts))
	for k, n := range r.texts {
		m[k] = n
	}
	return m
}

// History returns what was taken down. The recorder must not be used after:
// operations that have not ended count as lost.
func (r *Recorder) History() *History {
	r.mu.Lock()
	open := slices.SortedFunc(maps.Values(r.open), func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
	r.mu.Unlock()
	for _, op := range open {
		r.Lost(op, true, "the client has not waited")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return &r.h
}
