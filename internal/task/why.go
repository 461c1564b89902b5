package task

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tutti/internal/keyspace"
)

// Why a task stands where it stands: what its rows say, and what its leader
// remembers of those who could take it.

// Reason is one thing that a task waits for, or why nothing more will come of it.
type Reason struct {
	For  string `json:"for"` // one of the words below: programs may rely on it
	Text string `json:"text"`
	// Do is what frees it, as one would type it; empty: nothing but time.
	Do string `json:"do,omitempty"`
	// Tasks are others that it waits for, and More is how many there are beside them.
	Tasks []Other `json:"tasks,omitempty"`
	More  uint64  `json:"more,omitempty"`
}

// Other is a task that another one waits for.
type Other struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Worker string `json:"worker,omitempty"`
	Since  int64  `json:"since,omitempty"` // when it was claimed
}

// Name ends the text of a reason with the tasks that it names: those of which may is
// true, the others are only counted.
func (r *Reason) Name(may func(id string) bool) {
	all := len(r.Tasks)
	r.Tasks = slices.DeleteFunc(r.Tasks, func(o Other) bool { return !may(o.ID) })
	r.More += uint64(all - len(r.Tasks))
	var texts []string
	for _, o := range r.Tasks {
		text := fmt.Sprintf("%s (%s", o.ID, o.State)
		if o.Worker != "" {
			text += fmt.Sprintf(" by %.64q since %s", o.Worker, clock(o.Since))
		}
		texts = append(texts, text+")")
	}
	if len(texts) == 0 {
		return
	}
	if r.More > 0 {
		texts = append(texts, fmt.Sprintf("%d more", r.More))
	}
	r.Text += ": " + strings.Join(texts, ", ")
	r.Do = "tutti why " + shellWord(r.Tasks[0].ID)
}

// name has a reason name tasks, of which there are all.
func (r *Reason) name(list []*Task, all uint64) {
	for _, t := range list {
		o := Other{ID: t.id(), State: t.State.String()}
		if t.State == Running {
			o.Worker, o.Since = string(t.Worker), t.Started
		}
		r.Tasks = append(r.Tasks, o)
	}
	r.More = all - min(all, uint64(len(list)))
}

// What tasks wait for.
const (
	ForTasks  = "after"  // tasks before it, AFTER
	ForTurn   = "key"    // its turn among those of its KEY
	ForTime   = "time"   // IN, AT, or the next attempt
	ForResume = "pause"  // its queue is paused
	ForLimit  = "limit"  // its queue has as many running as it may
	ForRate   = "rate"   // its queue has given out as many as it may, for now
	ForWorker = "worker" // somebody to claim it
	ForResult = "result" // its worker
	ForNobody = "ended"
)

// Answer is all there is to say of a task.
type Answer struct {
	*Task
	// Ahead is how many ready tasks go before it, AheadMax if there are that many
	// or more.
	Ahead uint64
	// Workers is how many claims wait for a task of its queue; -1: not known here.
	Workers int
	Reasons []Reason
}

// Bounds of what is looked at for one answer: it is given in the loop of a leader.
const (
	// AheadMax is how many tasks ahead of one are counted.
	AheadMax = 1000
	whyRows  = 1500 // rows in search of others
	whyNames = 5    // others that are named
)

// asking is who asks why.
type asking struct {
	rows
	lead    *Lead                  // nil: it is not known
	waiting func(topic []byte) int // nil: it is not known
	left    int                    // rows that may still be looked at in search of others
}

// Why says what a task waits for; nil: there is no such task. lead is what its
// leader remembers, and waiting tells how many commands wait for a topic; both may
// be nil where that is not known.
func Why(tx *keyspace.Tx, lead *Lead, waiting func(topic []byte) int, queue []byte, ref Ref) *Answer {
	a := &asking{rows: rows{tx: tx}, lead: lead, waiting: waiting, left: whyRows}
	t := loadTask(tx, ref, queue)
	if t == nil {
		return nil
	}
	x := &Answer{Task: t, Workers: -1}
	q, _ := loadQueue(tx, t.Queue)
	if q == nil {
		return x
	}
	if waiting != nil {
		x.Workers = waiting(QueueTopic(t.Queue))
	}
	switch t.State {
	case Waiting:
		x.Reasons = append(x.Reasons, a.waits(t, q))
	case Scheduled:
		x.Reasons = append(x.Reasons, a.scheduled(t))
	case Ready:
		x.Ahead = a.ahead(t, q)
		x.Reasons = a.ready(x, q)
	case Running:
		x.Reasons = append(x.Reasons, a.running(t))
	default:
		x.Reasons = append(x.Reasons, a.ended(t))
	}
	if q.Paused && t.State < Running && t.State != Ready {
		x.Reasons = append(x.Reasons, paused(q))
	}
	return x
}

func (a *asking) waits(t *Task, q *Queue) Reason {
	if t.Order != 0 {
		return a.turn(t, q)
	}
	r := Reason{For: ForTasks, Text: fmt.Sprintf("it waits for %s that must be done first (AFTER)", count(uint64(t.Deps), "task", "tasks"))}
	r.name(a.parents(t), uint64(t.Deps))
	return r
}

// turn says who has the turn that a task waits for.
func (a *asking) turn(t *Task, q *Queue) Reason {
	g := a.turns(t)
	r := Reason{For: ForTurn, Text: fmt.Sprintf("%s for a turn of KEY %.64q, and %d of %d are taken", count(g.waiting, "task waits", "tasks wait"), t.Key, g.admitted, q.keyLimit()),
		Do: fmt.Sprintf("tutti cli TASK.QUEUE %s KEYLIMIT %d", shellWord(string(t.Queue)), q.keyLimit()+1)}
	r.name(a.holders(t), g.admitted)
	return r
}

func (a *asking) scheduled(t *Task) Reason {
	r := Reason{For: ForTime, Text: "it is due at " + clock(t.RunAt)}
	if left := t.RunAt - a.tx.Now; left > 0 {
		r.Text += fmt.Sprintf(", in %v", ms(left))
	}
	if n := len(t.Errors); t.Failures > 0 && n > 0 {
		r.Text += fmt.Sprintf("; attempt %d failed: %.200q", t.Attempt, t.Errors[n-1])
	}
	return r
}

func (a *asking) ready(x *Answer, q *Queue) []Reason {
	r := Reason{For: ForWorker, Text: "no worker has claimed it yet"}
	switch {
	case x.Ahead >= AheadMax:
		r.Text += fmt.Sprintf(": %d or more of the %d ready tasks of queue %.64q go before it", AheadMax, q.Now[Ready], q.Name)
	case x.Ahead > 0:
		r.Text += fmt.Sprintf(": %s of queue %.64q %s before it", count(x.Ahead, "task", "tasks"), q.Name, plural(x.Ahead, "goes", "go"))
	default:
		r.Text += ": it is the next one of queue " + fmt.Sprintf("%.64q", q.Name)
	}
	switch {
	case x.Workers == 0:
		r.Text += ", and no worker waits for tasks of it"
		r.Do = "start a worker that claims from queue " + shellWord(string(q.Name)) + ", or more of them"
	case x.Workers > 0:
		r.Text += fmt.Sprintf(", and %s", count(uint64(x.Workers), "worker waits", "workers wait"))
	}
	return append(q.Reasons(a.lead), r)
}

// Reasons says why none of the ready tasks of a queue can be claimed now.
func (q *Queue) Reasons(lead *Lead) (list []Reason) {
	name := shellWord(string(q.Name))
	if q.Paused {
		list = append(list, paused(q))
	}
	if q.Limit != 0 && q.Now[Running] >= q.Limit {
		list = append(list, Reason{For: ForLimit, Text: fmt.Sprintf("queue %.64q has as many running as its LIMIT allows, %d", q.Name, q.Limit),
			Do: fmt.Sprintf("tutti cli TASK.QUEUE %s LIMIT %d, or wait until one ends: tutti task ls %s --state running", name, q.Now[Running]+1, name)})
	}
	if wait, ok := lead.allowance(q); ok && wait > 0 {
		list = append(list, Reason{For: ForRate, Text: fmt.Sprintf("queue %.64q gives out %d tasks a second (RATE), the next in %v", q.Name, q.Rate, wait.Round(time.Millisecond)),
			Do: "tutti cli TASK.QUEUE " + name + " RATE 0"})
	}
	return list
}

func paused(q *Queue) Reason {
	return Reason{For: ForResume, Text: fmt.Sprintf("queue %.64q is paused", q.Name), Do: "tutti queue resume " + shellWord(string(q.Name))}
}

func (a *asking) running(t *Task) Reason {
	r := Reason{For: ForResult, Text: fmt.Sprintf("worker %.64q runs it since %s, attempt %d", t.Worker, clock(t.Started), t.Attempt), Do: "tutti task cancel " + shellWord(t.id())}
	if silent, left, ok := a.lead.leaseOf(t.Ref); ok {
		r.Text += fmt.Sprintf("; it was heard %v ago, and if it stays silent the task is taken from it in %v", silent.Round(time.Millisecond), left.Round(time.Millisecond))
	}
	if t.Times.Timeout != 0 {
		r.Text += "; it times out at " + clock(t.Times.Timeout)
	}
	if t.Fraction > 0 || len(t.Message) > 0 {
		r.Text += fmt.Sprintf("; it said %.0f %% %.100q", 100*t.Fraction, t.Message)
	}
	return r
}

func (a *asking) ended(t *Task) Reason {
	r := Reason{For: ForNobody, Text: fmt.Sprintf("it ended %s at %s after %s", t.State, clock(t.Ended), count(uint64(t.Attempt), "attempt", "attempts"))}
	if n := len(t.Errors); t.State == Dead && n > 0 {
		r.Text += fmt.Sprintf(": %.200q", t.Errors[n-1])
	}
	r.Text += "; its record is kept until " + clock(t.Ended+t.kept())
	switch t.State {
	case Done:
		r.Do = "tutti task show " + shellWord(t.id())
	default:
		r.Do = "tutti task retry " + shellWord(t.id())
	}
	return r
}

// ahead counts the ready tasks that go before one.
func (a *asking) ahead(t *Task, q *Queue) (n uint64) {
	for prio := prioMax; prio >= int(t.Prio) && n < AheadMax; prio-- {
		if q.first[prio] == 0 {
			continue
		}
		lower := readyRow(nil, q.Name, uint8(prio), q.first[prio]) // before it lie tombstones only
		upper := keyspace.PrefixEnd(nil, readyPrefix(nil, q.Name, uint8(prio)))
		if prio == int(t.Prio) {
			upper = readyRow(nil, q.Name, t.Prio, t.Order)
		}
		n += a.rowsIn(lower, upper, AheadMax-n)
	}
	return n
}

// rowsIn counts rows, up to most.
func (a *asking) rowsIn(lower, upper []byte, most uint64) (n uint64) {
	it := a.tx.Iter(lower, upper)
	defer it.Close()
	for ok := it.First(); ok && n < most; ok = it.Next() {
		n++
	}
	return n
}

// parents finds tasks that one waits for. Their rows say who waits for them, not the
// other way round, so it looks through those of the shard, as far as it may.
func (a *asking) parents(t *Task) (list []*Task) {
	a.slots(t.Slot, kindChild, func(slot uint16, rest, _ []byte) bool {
		if len(rest) == 8+refLen && refOf(rest[8:]) == t.Ref {
			if p := loadTask(a.tx, Ref{slot, be.Uint64(rest)}, nil); p != nil && !p.State.Ended() {
				list = append(list, p)
			}
		}
		return len(list) < whyNames
	})
	return list
}

// holders finds tasks that have a turn of the KEY of one: who of them has it is in
// their own rows only.
func (a *asking) holders(t *Task) (list []*Task) {
	a.slots(homeSlot(t.Queue), kindState, func(slot uint16, rest, val []byte) bool {
		if len(rest) != 8 {
			return true
		}
		h, err := DecodeTask(Ref{slot, be.Uint64(rest)}, append([]byte(nil), val...))
		if err == nil && h.Admitted && string(h.Queue) == string(t.Queue) && string(h.Key) == string(t.Key) {
			list = append(list, h)
		}
		return len(list) < whyNames
	})
	return list
}

// slots calls f with the rows of a kind, first those of one slot, then those of all
// slots of the shard, until it returns false or enough has been looked at.
func (a *asking) slots(first uint16, kind byte, f func(slot uint16, rest, val []byte) bool) {
	tx := a.tx
	it := tx.Iter(keyspace.SlotPrefix(nil, 0), keyspace.SlotPrefix(nil, keyspace.Slots))
	defer it.Close()
	of := func(slot uint16) bool {
		for ok := it.SeekGE(prefix(nil, slot, kind)); ok && isKind(it.Key(), slot, kind); ok = it.Next() {
			if a.left--; a.left < 0 || tx.Err() != nil || !f(slot, it.Key()[prefixLen:], it.Value()) {
				return false
			}
		}
		return true
	}
	if !of(first) {
		return
	}
	for ok := it.First(); ok && a.left > 0; {
		slot := be.Uint16(it.Key()[1:])
		a.left--
		if owned := tx.Owns == nil || tx.Owns(slot); owned && slot != first && !of(slot) {
			return
		}
		ok = it.SeekGE(keyspace.SlotPrefix(nil, int(slot)+1))
	}
}

func (t *Task) id() string { return string(AppendID(nil, t.Queue, t.Ref)) }

// allowance returns how long the rate of a queue lets nobody claim, as of this batch.
func (l *Lead) allowance(q *Queue) (wait time.Duration, ok bool) {
	if l == nil || q.Rate == 0 {
		return 0, false
	}
	ls := l.queues[string(q.Name)]
	if ls == nil {
		return 0, true // nobody has claimed from it yet
	}
	has := min(ls.bucket+(l.mono-ls.filled).Seconds()*float64(q.Rate), float64(q.Rate)) - float64(ls.taken)
	return time.Duration(float64(time.Second) * max(0, 1-has) / float64(q.Rate)), true
}

// leaseOf returns for how long the worker of a task is silent, and when its lease ends.
func (l *Lead) leaseOf(ref Ref) (silent, left time.Duration, ok bool) {
	if l == nil || l.leases.claims[ref] == nil {
		return 0, 0, false
	}
	w := l.leases.claims[ref]
	return l.mono - w.heard, max(0, w.ends()-l.mono), true
}

func clock(at int64) string { return time.UnixMilli(at).UTC().Format(time.RFC3339) }

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func count(n uint64, one, many string) string { return fmt.Sprintf("%d %s", n, plural(n, one, many)) }

func plural(n uint64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// shellWord is a word as a shell takes it.
func shellWord(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/@") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
