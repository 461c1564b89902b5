package task

import (
	"fmt"
	"slices"
	"strings"

	"tutti/internal/keyspace"
)

// check compares the rows that there are with those that the states of the tasks
// say there must be, and the leader's memory with the rows.
func (m *model) check(when string) {
	m.t.Helper()
	x := expect(m)
	for row, val := range m.rows {
		rest := []byte(row)[prefixLen-1:]
		want, ok := x.rows[row]
		switch {
		case !ok && rest[0] == kindChild: // of children that have ended meanwhile
		case !ok && rest[0] == kindHead && x.rows[strings.Replace(row, "th", "ts", 1)] != "":
		case !ok:
			m.t.Errorf("%s: there is a row %c %x = %x", when, rest[0], row, val)
		case want != "" && want != val:
			m.t.Errorf("%s: row %c %x = %x, want %x", when, rest[0], row, val, want)
		}
		delete(x.rows, row)
	}
	for row := range x.rows {
		m.t.Errorf("%s: there is no row %c %x", when, row[prefixLen-1], row)
	}
	m.checkQueues(when, x)
	m.checkLead(when)
}

// expectation is what must be there.
type expectation struct {
	rows   map[string]string // value "": any
	counts map[string]*Queue
	turns  map[string]*turns
}

func expect(m *model) *expectation {
	x := &expectation{rows: make(map[string]string), counts: make(map[string]*Queue), turns: make(map[string]*turns)}
	for row, val := range m.rows {
		slot, rest, ok := keyspace.TaskRow([]byte(row))
		switch {
		case !ok:
			m.t.Fatalf("row %x", row)
		case rest[0] == kindState:
			t, err := DecodeTask(Ref{slot, be.Uint64(rest[1:])}, []byte(val))
			if err != nil {
				m.t.Fatal(err)
			}
			x.task(m, t)
		case rest[0] == kindQueue, rest[0] == kindOutbox:
			x.rows[row] = ""
		}
	}
	for row, g := range x.turns {
		if got, err := decodeTurns([]byte(m.rows[row])); err == nil {
			g.first = got.first
		}
		x.rows[row] = string(g.append(nil))
	}
	return x
}

func (x *expectation) task(m *model, t *Task) {
	v1 := string([]byte{version})
	ref := string(refValue(nil, t.Ref))
	x.rows[string(numberRow(nil, kindState, t.Ref))] = ""
	x.rows[string(numberRow(nil, kindHead, t.Ref))] = ""
	q := x.counts[string(t.Queue)]
	if q == nil {
		q = new(Queue)
		x.counts[string(t.Queue)] = q
	}
	q.Now[t.State]++
	if t.Slot != homeSlot(t.Queue) {
		x.rows[string(nearRow(nil, t.Queue, t.Ref))] = v1
	}
	timer := func(due int64, kind byte) { x.rows[string(timerRow(nil, t.Ref, due, kind))] = v1 }
	switch t.State {
	case Scheduled:
		timer(t.RunAt, timerRun)
	case Ready:
		x.rows[string(readyRow(nil, t.Queue, t.Prio, t.Order))] = ref
	case Running:
		x.rows[string(numberRow(nil, kindClaim, t.Ref))] = ""
		if t.Times.Timeout != 0 {
			timer(t.Times.Timeout, timerTimeout)
		}
	case Done, Dead, Cancelled:
		timer(t.Ended+t.kept(), timerKeep)
		return
	}
	q.Bytes += uint64(t.Size)
	if t.Expires != 0 && (t.State != Running || t.Expires > m.now) {
		timer(t.Expires, timerExpiry)
	} else if row := string(timerRow(nil, t.Ref, t.Expires, timerExpiry)); t.Expires != 0 && m.rows[row] != "" {
		x.rows[row] = v1 // it is due and has not been worked off
	}
	if len(t.Unique) > 0 {
		x.rows[string(uniqueRow(nil, t.Queue, t.Unique))] = ref
	}
	x.keyed(t, ref)
	if t.Deps > 0 {
		n := uint32(0)
		for row := range m.rows {
			if strings.HasSuffix(row, string(appendRef(nil, t.Ref))) && row[prefixLen-1] == kindChild {
				x.rows[row] = v1
				n++
			}
		}
		if n != t.Deps {
			m.t.Errorf("%v waits for %d and is known to %d", t.Ref, t.Deps, n)
		}
	}
}

func (x *expectation) keyed(t *Task, ref string) {
	row := string(groupRow(nil, t.Queue, t.Key))
	if len(t.Key) == 0 || !t.Admitted && t.Order == 0 {
		return
	}
	g := x.turns[row]
	if g == nil {
		g = new(turns)
		x.turns[row] = g
	}
	if t.Admitted {
		g.admitted++
		return
	}
	g.waiting++
	x.rows[string(turnRow(nil, t.Queue, t.Key, t.Order))] = ref
}

func (m *model) checkQueues(when string, x *expectation) {
	m.t.Helper()
	for _, name := range queueNames {
		q, want := m.queue(name), x.counts[name]
		if want == nil {
			want = new(Queue)
		}
		if q.Now != want.Now || q.Bytes != want.Bytes {
			m.t.Errorf("%s: queue %s counts %v, %d bytes; there are %v, %d bytes", when, name, q.Now, q.Bytes, want.Now, want.Bytes)
		}
		if _, row := m.rows[string(queueRow(nil, []byte(name)))]; row == q.forgettable() {
			m.t.Errorf("%s: queue %s has a row: %v, %+v", when, name, row, q)
		}
	}
	for row, g := range x.turns {
		if name := row[prefixLen+1 : prefixLen+1+int(row[prefixLen])]; name != "limited" && g.admitted > 1 {
			m.t.Errorf("%s: %d tasks of one KEY have their turn in %s", when, g.admitted, name)
		}
	}
}

// checkLead compares what the leader remembers of the applied state with it.
func (m *model) checkLead(when string) {
	m.t.Helper()
	l := m.lead
	for name, q := range l.queues {
		for prio := range q.lane {
			ln := &q.lane[prio]
			if !ln.loaded {
				continue
			}
			all := lane{more: true, last: 0}
			if err := all.fill(m.rows, []byte(name), uint8(prio)); err != nil {
				m.t.Fatal(err)
			}
			want := slices.DeleteFunc(all.page, func(e entry) bool { return ln.more && e.order > ln.last })
			if !slices.Equal(ln.page, want) {
				m.t.Errorf("%s: %s %d: remembers %v, there are %v", when, name, prio, ln.page, want)
			}
		}
	}
	claims := 0
	for row, val := range m.rows {
		slot, rest, _ := keyspace.TaskRow([]byte(row))
		ref := Ref{slot, be.Uint64(append(slices.Clone(rest[1:]), make([]byte, 8)...))}
		switch rest[0] {
		case kindClaim:
			claims++
			_, worker, _ := decodeClaim([]byte(val))
			if w := l.leases.claims[ref]; w == nil || w.name != string(worker) || !slices.Contains(l.leases.heap, w) {
				m.t.Errorf("%s: the claim of %v by %s is remembered as %+v", when, ref, worker, w)
			}
		case kindTimer:
			if t, _ := timerOf([]byte(row)); l.timers.first[slot] == 0 || l.timers.first[slot] > t.due {
				m.t.Errorf("%s: the timer %+v is not remembered: %d", when, t, l.timers.first[slot])
			}
		case kindOutbox:
			if !slices.Contains(l.outbox, ref) {
				m.t.Errorf("%s: the end of %v is not remembered", when, ref)
			}
		}
	}
	if len(l.leases.claims) != claims {
		m.t.Errorf("%s: %d claims are remembered, there are %d", when, len(l.leases.claims), claims)
	}
	if fmt.Sprint(len(l.leases.heap)) != fmt.Sprint(len(l.leases.workers)) {
		m.t.Errorf("%s: %d workers, %d in the heap", when, len(l.leases.workers), len(l.leases.heap))
	}
}
