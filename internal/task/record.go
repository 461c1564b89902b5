package task

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"tutti/internal/keyspace"
)

// State is where a task stands.
type State uint8

// The states, see the package comment.
const (
	Waiting State = iota + 1
	Scheduled
	Ready
	Running
	Done
	Dead
	Cancelled
	statesEnd
)

var stateNames = [statesEnd]string{"", "waiting", "scheduled", "ready", "running", "done", "dead", "cancelled"}

// String is the word that clients see.
func (s State) String() string { return stateNames[s] }

// ParseState finds a state by its word, in lower case.
func ParseState(word string) (State, bool) {
	i := slices.Index(stateNames[:], word)
	return State(max(i, 0)), i > 0
}

// Ended reports whether nothing but RETRY leads on.
func (s State) Ended() bool { return s >= Done }

// Limits and defaults of tasks.
const (
	PayloadMax  = 1 << 20
	ResultMax   = 1 << 20
	ErrorMax    = 4 << 10
	MessageMax  = 256
	KeyMax      = 1 << 10 // of UNIQUE and KEY
	WorkerMax   = 128
	PayloadsMax = 1000 // of one ADD, claims of one CLAIM
	ParentsMax  = 1024
	prioMax     = 9
	errorsMax   = 5
	crashesMax  = 3
)

// Options are what was asked for when a task was added. Times are in milliseconds.
type Options struct {
	Prio       uint8 // 0 to 9; 9 goes first
	Retries    uint32
	BackoffMin int64
	BackoffMax int64
	Timeout    int64 // of an attempt; 0: none
	TTL        int64 // within which it must be running; 0: none
	Keep       int64 // the record, when it is done
	KeepFailed int64 // when it ended otherwise
	Unique     []byte
	Key        []byte
}

// DefaultOptions are those of a task of which nothing was said.
func DefaultOptions() Options {
	return Options{Prio: 5, Retries: 10, BackoffMin: 1000, BackoffMax: 3_600_000, Keep: 3_600_000, KeepFailed: 7 * 24 * 3_600_000}
}

// Task is the state row of a task: all but its payload, which few need.
type Task struct {
	Ref
	Queue []byte
	Options
	State    State
	Attempt  uint32 // how often it was claimed
	Failures uint32 // attempts that failed, of the present budget
	Crashes  uint32 // claims whose worker was lost
	Token    uint64 // of the last claim; 0: none yet
	Worker   []byte // that has or had it
	Deps     uint32 // tasks that it waits for still
	Children uint32 // tasks that wait, or waited, for it
	Size     uint32 // of its payload
	Times
	Place
	Progress
	Result []byte
	Errors [][]byte // the last ones, oldest first
}

// Times are milliseconds of shard time; 0: not yet.
type Times struct {
	Added, Started, Ended int64
	RunAt                 int64 // when it is due, while it waits or is scheduled
	Timeout               int64 // when the present attempt times out
	Expires               int64 // when it ends if it is not running then
}

// Place is where a task stands in its queue.
type Place struct {
	Order    uint64 // in the list of ready ones, or of those that wait for their turn
	Admitted bool   // it has its turn among those of its KEY
	Failed   bool   // the last claim has been answered with a failure
}

// Progress is what its worker said last.
type Progress struct {
	Fraction float64
	Message  []byte
}

// The value of a state row is
//
//	version:1 state:1 flags:1 mask:4 queue, then a field for each bit of mask
//
// queue and other strings are len:uvarint bytes, numbers uvarints; in the order of
// Task.walk. Fields that have nothing in them have no bit.

const (
	stateFixed   = 7
	flagAdmitted = 1
	flagFailed   = 2
)

// walk names all fields in the order of their bits.
func (t *Task) walk(num func(v uint64) uint64, str func(v []byte) []byte) {
	u32 := func(v uint32) uint32 { return uint32(num(uint64(v))) }
	ms := func(v int64) int64 { return int64(num(uint64(v))) }
	t.Prio = uint8(num(uint64(t.Prio)))
	t.Retries = u32(t.Retries)
	t.BackoffMin, t.BackoffMax = ms(t.BackoffMin), ms(t.BackoffMax)
	t.Options.Timeout, t.TTL, t.Keep, t.KeepFailed = ms(t.Options.Timeout), ms(t.TTL), ms(t.Keep), ms(t.KeepFailed)
	t.Unique, t.Key = str(t.Unique), str(t.Key)
	t.Attempt, t.Failures, t.Crashes = u32(t.Attempt), u32(t.Failures), u32(t.Crashes)
	t.Token, t.Worker = num(t.Token), str(t.Worker)
	t.Deps, t.Children, t.Size = u32(t.Deps), u32(t.Children), u32(t.Size)
	t.Added, t.Started, t.Ended = ms(t.Added), ms(t.Started), ms(t.Ended)
	t.RunAt, t.Times.Timeout, t.Expires = ms(t.RunAt), ms(t.Times.Timeout), ms(t.Expires)
	t.Order = num(t.Order)
	t.Fraction = math.Float64frombits(num(math.Float64bits(t.Fraction)))
	t.Message, t.Result = str(t.Message), str(t.Result)
}

// Append appends the value of the state row to b.
func (t *Task) Append(b []byte) []byte {
	var flags byte
	if t.Admitted {
		flags |= flagAdmitted
	}
	if t.Failed {
		flags |= flagFailed
	}
	at := len(b)
	b = append(b, version, byte(t.State), flags, 0, 0, 0, 0)
	b = appendString(b, t.Queue)
	var mask, bit uint32 = 0, 1
	t.walk(func(v uint64) uint64 {
		if v != 0 {
			mask |= bit
			b = binary.AppendUvarint(b, v)
		}
		bit <<= 1
		return v
	}, func(v []byte) []byte {
		if len(v) > 0 {
			mask |= bit
			b = appendString(b, v)
		}
		bit <<= 1
		return v
	})
	be.PutUint32(b[at+3:], mask)
	for _, e := range t.Errors {
		b = appendString(b, e)
	}
	return b
}

// DecodeTask reads the state row of a task. The task keeps slices of val.
func DecodeTask(ref Ref, val []byte) (*Task, *keyspace.RowError) {
	if err := checkVersion(val, "state of a task"); err != nil {
		return nil, err
	}
	t := &Task{Ref: ref}
	d := reader{b: val}
	head := d.take(stateFixed)
	if d.bad || State(head[1]) < Waiting || State(head[1]) >= statesEnd || head[2] > flagAdmitted|flagFailed {
		return nil, malformed("state of a task", val)
	}
	t.State, t.Admitted, t.Failed = State(head[1]), head[2]&flagAdmitted != 0, head[2]&flagFailed != 0
	mask := be.Uint32(head[3:])
	t.Queue = d.string()
	t.walk(func(uint64) (v uint64) {
		if mask&1 != 0 {
			v = d.uvarint()
		}
		mask >>= 1
		return v
	}, func([]byte) (v []byte) {
		if mask&1 != 0 {
			v = d.string()
		}
		mask >>= 1
		return v
	})
	for len(d.b) > 0 && !d.bad {
		t.Errors = append(t.Errors, d.string())
	}
	if d.bad || mask != 0 || len(t.Queue) == 0 || len(t.Queue) > QueueMax || t.Prio > prioMax || len(t.Errors) > errorsMax || len(t.Key) > KeyMax || len(t.Unique) > KeyMax {
		return nil, malformed("state of a task", val)
	}
	return t, nil
}

// note adds an error to the last ones.
func (t *Task) note(text []byte) {
	if len(t.Errors) == errorsMax {
		t.Errors = t.Errors[1:]
	}
	t.Errors = append(slices.Clip(t.Errors), text[:min(len(text), ErrorMax)])
}

func appendString(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader cuts fields from a value; after a malformed one all are empty.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	return r.take(int(n))
}

func checkVersion(val []byte, what string) *keyspace.RowError {
	if len(val) > 0 && val[0] > version {
		return &keyspace.RowError{What: what, Format: val[0]}
	}
	if len(val) == 0 || val[0] != version {
		return malformed(what, val)
	}
	return nil
}

func malformed(what string, val []byte) *keyspace.RowError {
	return &keyspace.RowError{What: fmt.Sprintf("%s of %d bytes", what, len(val))}
}

// refIn reads the value of a row that leads to a task.
func refIn(val []byte) (Ref, *keyspace.RowError) {
	if err := checkVersion(val, "reference to a task"); err != nil {
		return Ref{}, err
	}
	if len(val) != 1+refLen {
		return Ref{}, malformed("reference to a task", val)
	}
	return refOf(val[1:]), nil
}
