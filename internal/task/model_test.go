package task

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tutti/internal/keyspace"
)

// TestRandomTasks has random clients and workers change tasks, in batches that are
// applied, dropped, or taken back in part, under leaders that change; after every
// batch all rows and the leader's memory are compared with what the states of the
// tasks say there must be. In the end everything must have ended.
func TestRandomTasks(t *testing.T) {
	seeds := []uint64{893} // found a task past its time to live that a lost worker made ready again
	for seed := range uint64(20) {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runRandom(t, seed) })
	}
}

func runRandom(t *testing.T, seed uint64) {
	if t.Failed() {
		return
	}
	m := &model{shard: newShard(t), known: make(map[Ref]*expected), turn: make(map[string]uint64), r: rand.New(rand.NewPCG(seed, 7))}
	m.rand = m.r
	for i := 0; i < 150 && !t.Failed(); i++ {
		m.step()
		m.check(fmt.Sprint("step ", i))
	}
	m.drain()
}

// model is what clients know of the tasks of a shard.
type model struct {
	*shard
	r      *rand.Rand
	known  map[Ref]*expected // applied
	batch  []func()          // what is known if the batch is applied
	claims []held            // told to workers
	tokens uint64            // the newest one told
	turn   map[string]uint64 // KEY -> number of the task that had its turn last
}

// expected is what was promised of a task.
type expected struct {
	queue   string
	parents []Ref
	notTill int64
	ended   State
	result  string
	retried bool
	key     string // of tasks that come to their turn in the order in which they were added
}

type held struct {
	queue  string
	ref    Ref
	token  uint64
	worker string
}

var (
	queueNames  = []string{"a", "b", "limited"}
	workerNames = []string{"w1", "w2", "w3"}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func (m *model) step() {
	switch n := m.r.IntN(100); {
	case n < 4:
		m.elect()
		return
	case n < 6: // slots go and come back
		m.lead.Forget()
		m.restore()
		return
	case n < 20:
		m.pass(time.Duration(m.r.IntN(40_000)) * time.Millisecond)
		return
	}
	tx := m.begin()
	m.batch = nil
	for range 1 + m.r.IntN(6) {
		mark := tx.Mark()
		known := len(m.batch)
		c := Begin(tx, m.lead)
		m.act(c)
		c.End()
		if m.r.IntN(8) == 0 {
			tx.Rollback(mark)
			m.batch = m.batch[:known]
		}
		tx.Release(mark)
	}
	if m.r.IntN(3) == 0 {
		m.lead.Step(tx)
	}
	if m.r.IntN(10) == 0 { // raft did not take it
		m.settle()
		return
	}
	m.apply(tx)
	for _, f := range m.batch {
		f()
	}
}

// pass lets time pass in steps, as the background may be late.
func (m *model) pass(d time.Duration) {
	m.now += d.Milliseconds()
	m.mono += d
	if m.r.IntN(2) == 0 {
		m.later(0)
	}
}

func (m *model) act(c *Change) {
	switch n := m.r.IntN(100); {
	case n < 35:
		m.add(c)
	case n < 60:
		m.claim(c)
	case n < 80:
		m.finish(c)
	case n < 85:
		c.Beat([]byte(pick(m.r, workerNames)))
	case n < 90:
		if ref, e, ok := m.some(); ok {
			if c.Cancel([]byte(e.queue), ref) {
				m.batch = append(m.batch, func() { m.end(ref, Cancelled, "") })
			}
		}
	case n < 95:
		if ref, e, ok := m.some(); ok {
			if done, err := c.Retry([]byte(e.queue), ref); done && err == nil {
				m.batch = append(m.batch, func() { e.ended, e.retried = 0, true })
			}
		}
	default:
		q := c.queue([]byte("limited"))
		q.Limit, q.KeyLimit, q.Paused = 1+m.r.Uint64N(3), m.r.Uint64N(3), m.r.IntN(4) == 0
	}
}

// some returns any task that is known.
func (m *model) some() (Ref, *expected, bool) {
	if len(m.known) == 0 {
		return Ref{}, nil, false
	}
	n := 1 + m.r.Uint64N(m.ids)
	for ref, e := range m.known {
		if ref.Number == n {
			return ref, e, true
		}
	}
	return Ref{}, nil, false
}

func (m *model) add(c *Change) {
	a := Addition{Queue: []byte(pick(m.r, queueNames)), Options: DefaultOptions()}
	a.Prio = uint8(4 + m.r.IntN(3))
	a.Retries = uint32(m.r.IntN(3))
	a.Keep, a.KeepFailed = m.r.Int64N(3)*50_000, m.r.Int64N(3)*50_000
	for range 1 + m.r.IntN(3) {
		a.Payloads = append(a.Payloads, fmt.Appendf(nil, "%d", m.r.IntN(1000)))
	}
	e := expected{queue: string(a.Queue)}
	if m.r.IntN(4) == 0 {
		a.RunAt = m.now + m.r.Int64N(20_000)
		e.notTill = a.RunAt
	}
	if m.r.IntN(3) == 0 {
		a.Key = []byte(pick(m.r, []string{"k1", "k2"}))
	}
	if m.r.IntN(5) == 0 {
		a.Unique, a.Payloads = []byte(pick(m.r, []string{"u1", "u2"})), a.Payloads[:1]
	}
	if m.r.IntN(4) == 0 {
		a.Near = []byte(pick(m.r, []string{"n1", "n2"}))
	}
	if m.r.IntN(6) == 0 {
		a.TTL = 1 + m.r.Int64N(60_000)
	}
	if m.r.IntN(6) == 0 {
		a.Options.Timeout = 1 + m.r.Int64N(20_000)
	}
	if m.r.IntN(4) == 0 {
		for range 1 + m.r.IntN(3) {
			if ref, p, ok := m.some(); ok {
				a.After = append(a.After, Parent{ID: []byte("parent"), Queue: []byte(p.queue), Ref: ref})
				e.parents = append(e.parents, ref)
			}
		}
	}
	if a.RunAt == 0 && a.After == nil && e.queue != "limited" && len(a.Key) > 0 {
		e.key = e.queue + string(a.Key)
	}
	before := m.ids
	refs, err := c.Add(&a)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, ref := range refs {
		if ref.Number <= before {
			continue // that with the unique key
		}
		own := e
		m.batch = append(m.batch, func() { m.known[ref] = &own })
	}
}

func (m *model) claim(c *Change) {
	n := 1 + m.r.IntN(4)
	worker := pick(m.r, workerNames)
	queues := slices.Clone(queueNames)
	m.r.Shuffle(len(queues), func(i, j int) { queues[i], queues[j] = queues[j], queues[i] })
	queues = queues[:1+m.r.IntN(len(queues))]
	var names [][]byte
	for _, q := range queues {
		names = append(names, []byte(q))
	}
	lease := time.Duration(5+m.r.IntN(30)) * time.Second
	claims := c.Claim([]byte(worker), lease, n, names)
	for _, cl := range claims {
		if cl.Token <= m.tokens {
			m.t.Errorf("token %d after %d", cl.Token, m.tokens)
		}
		m.tokens = cl.Token
		h := held{string(cl.Queue), cl.Ref, cl.Token, worker}
		m.batch = append(m.batch, func() { m.claimed(h) })
	}
	c.End()
	if len(claims) == n {
		return
	}
	for _, name := range names {
		if q := c.queue(name); q.Now[Ready] > 0 && !q.Paused && (q.Limit == 0 || q.Now[Running] < q.Limit) {
			m.t.Errorf("%d of %d claimed from %q, and %d are ready in %s", len(claims), n, names, q.Now[Ready], name)
		}
	}
}

// claimed checks what a worker was told.
func (m *model) claimed(h held) {
	m.claims = append(m.claims, h)
	e := m.known[h.ref]
	if e == nil {
		m.t.Errorf("claimed %v, which nobody added", h.ref)
		return
	}
	if e.ended != 0 {
		m.t.Errorf("claimed %v, which ended %v", h.ref, e.ended)
	}
	if last := m.turn[e.key]; e.key != "" && !e.retried && h.ref.Number < last {
		m.t.Errorf("%v has its turn after number %d", h.ref, last)
	} else if !e.retried {
		m.turn[e.key] = h.ref.Number
	}
	if m.now < e.notTill && !e.retried { // RETRY means now
		m.t.Errorf("claimed %v %d ms early", h.ref, e.notTill-m.now)
	}
	for _, p := range e.parents {
		if pe := m.known[p]; pe.ended != Done && !pe.retried && !e.retried {
			m.t.Errorf("claimed %v, and %v that it waits for is %v", h.ref, p, pe.ended)
		}
	}
}

func (m *model) finish(c *Change) {
	if len(m.claims) == 0 {
		return
	}
	h := pick(m.r, m.claims)
	token := h.token
	if m.r.IntN(6) == 0 {
		token += m.r.Uint64N(5)
	}
	e, before := m.known[h.ref], loadTask(m.tx(c), h.ref, nil)
	if m.r.IntN(3) == 0 {
		wait := int64(-1)
		if m.r.IntN(2) == 0 {
			wait = m.r.Int64N(5000)
		}
		if c.Fail([]byte(h.queue), h.ref, token, Failure{Text: []byte("failed"), Wait: wait, Final: m.r.IntN(8) == 0, Free: m.r.IntN(8) == 0}) == Dead && before.State != Dead {
			m.batch = append(m.batch, func() { m.end(h.ref, Dead, "") })
		}
		return
	}
	result := fmt.Sprint(m.r.IntN(1_000_000))
	if !c.Done([]byte(h.queue), h.ref, token, []byte(result)) {
		return
	}
	switch {
	case before == nil || before.Token != token:
		m.t.Errorf("done with token %d: %+v", token, before)
	case before.State == Done: // the result stays what it was
	default:
		m.batch = append(m.batch, func() {
			if e.ended != 0 {
				m.t.Errorf("%v ended %v and was done again", h.ref, e.ended)
			}
			m.end(h.ref, Done, result)
		})
	}
}

func (m *model) tx(c *Change) *keyspace.Tx { return c.rows.tx }

func (m *model) end(ref Ref, s State, result string) {
	e := m.known[ref]
	e.ended, e.result = s, result
}

// drain has workers do what is left. Everything must end.
func (m *model) drain() {
	m.change(func(c *Change) {
		q := c.queue([]byte("limited"))
		q.Paused = false
	})
	for range 2000 {
		open := uint64(0)
		for _, name := range queueNames {
			q := m.queue(name)
			open += q.Open()
		}
		if open == 0 {
			m.later(time.Hour)
			m.check("end")
			for _, name := range queueNames {
				if q := m.queue(name); q.Now != [statesEnd]uint64{} {
					m.t.Errorf("%s keeps %v", name, q.Now)
				}
			}
			return
		}
		var got []Claim
		m.change(func(c *Change) {
			got = c.Claim([]byte("last"), LeaseDefault, 10, [][]byte{[]byte("a"), []byte("b"), []byte("limited")})
		})
		m.change(func(c *Change) {
			for _, g := range got {
				if !c.Done(g.Queue, g.Ref, g.Token, nil) {
					m.t.Errorf("%v can't be finished", g.Ref)
				}
			}
		})
		m.later(time.Second)
		m.check("drain")
		if m.t.Failed() {
			return
		}
	}
	m.t.Error("there are tasks that do not end")
}
