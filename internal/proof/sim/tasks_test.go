package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/internal/resp"
)

// shop is clients who add tasks, and workers who do them: each writes what the task
// is for together with its end. Some workers stand still for longer than their lease
// and go on as if nothing had been, some never come back.
type shop struct {
	t    *testing.T
	c    *Cluster
	quit chan struct{} // nothing more is added
	home chan struct{} // workers go
	wg   sync.WaitGroup

	mu     sync.Mutex        // guards what follows
	added  map[string]errand // by id, of tasks that were acknowledged
	fenced int
	told   map[string]string // id -> the result that was acknowledged
}

// errand is what was asked for with a task.
type errand struct {
	payload, key string
	delay        int // ms
	after        []string
}

func openShop(t *testing.T, c *Cluster) *shop {
	s := &shop{t: t, c: c, quit: make(chan struct{}), home: make(chan struct{}), added: make(map[string]errand), told: make(map[string]string)}
	for i := range 2 {
		k := c.Client("").At(i + 1)
		r := rand.New(rand.NewPCG(c.Rand.Uint64(), 1))
		s.wg.Go(func() { s.produce(k, i, r) })
	}
	for i := range 4 {
		k := c.Client("").At(i%c.Nodes() + 1)
		r := rand.New(rand.NewPCG(c.Rand.Uint64(), 2))
		s.wg.Go(func() { s.work(k, i, r) })
	}
	return s
}

// elsewhere talks to another node after an error.
func elsewhere(k *Client) { k.At(k.at%k.c.Nodes() + 1) }

func (s *shop) produce(k *Client, id int, r *rand.Rand) {
	defer k.Close()
	var own []string
	for n := 0; ; n++ {
		select {
		case <-s.quit:
			return
		case <-time.After(time.Duration(5+r.IntN(20)) * time.Millisecond):
		}
		o := errand{payload: fmt.Sprintf("%d-%d", id, n)}
		add := []string{"TASK.ADD", "work", o.payload, "RETRY", "100", "BACKOFF", "10", "100"}
		switch kind := r.IntN(7); {
		case kind == 0:
			o.key = fmt.Sprint("k", r.IntN(3))
			add = append(add, "KEY", o.key)
		case kind == 1:
			o.delay = r.IntN(1000)
			add = append(add, "IN", fmt.Sprint(o.delay))
		case kind == 2 && len(own) >= 2:
			o.after = slices.Clone(own[len(own)-2:])
			add = append(append(add, "AFTER", "2"), o.after...)
		}
		v, err := k.Pipe([]string{"MULTI"}, []string{"INCR", "{work}added"}, add, []string{"EXEC"})
		if err != nil || len(v[3].Elems) != 2 || v[3].Elems[1].IsError() {
			elsewhere(k)
			continue
		}
		own = append(own, Text(v[3].Elems[1]))
		s.mu.Lock()
		s.added[own[len(own)-1]] = o
		s.mu.Unlock()
	}
}

func (s *shop) work(k *Client, id int, r *rand.Rand) {
	defer k.Close()
	for life := 0; ; life++ {
		name := fmt.Sprintf("w%d-%d", id, life)
		for range 15 { // a worker that lives on keeps what it was given
			select {
			case <-s.home:
				return
			default:
			}
			v, err := k.Do("TASK.CLAIM", name, "COUNT", "2", "BLOCK", "200", "LEASE", "3000", "FROM", "work")
			if err != nil || v.IsError() {
				elsewhere(k)
				time.Sleep(50 * time.Millisecond)
				continue
			}
			for _, task := range v.Elems {
				if len(task.Elems) != 5 {
					s.t.Errorf("%s %s claimed %s", stamp(), name, Text(v))
					return
				}
				s.fulfil(k, r, name, Text(task.Elems[0]), Text(task.Elems[1]), Text(task.Elems[4]))
			}
		}
	}
}

// fulfil does one task, in one of several ways.
func (s *shop) fulfil(k *Client, r *rand.Rand, worker, id, token, payload string) {
	switch r.IntN(40) {
	case 0: // it never comes back
		return
	case 1: // it stands still, and does not know
		time.Sleep(4 * time.Second)
	case 2, 3:
		if _, err := k.Do("TASK.FAIL", id, token, "not today"); err != nil {
			elsewhere(k)
		}
		return
	default:
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
	}
	result := worker + " " + token
	v, err := k.Pipe([]string{"MULTI"}, []string{"HINCRBY", "{work}effects", payload, "1"}, []string{"TASK.DONE", id, token, result}, []string{"EXEC"})
	if err != nil {
		elsewhere(k) // done or not
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch end := v[3]; {
	case strings.HasPrefix(Text(end), "FENCED"):
		s.fenced++
	case len(end.Elems) == 2 && !end.Elems[1].IsError():
		if before, ok := s.told[id]; ok && before != result {
			s.t.Errorf("%s task %s was done as %q, and as %q", stamp(), id, before, result)
		}
		s.told[id] = result
	}
}

// close lets the workers do what is left, and checks that every task that was
// acknowledged has ended once, with its effects and the result that was told.
func (s *shop) close(atLeast int) {
	s.t.Helper()
	close(s.quit)
	k := s.c.Client("").At(s.c.WaitLeader(1))
	defer k.Close()
	for start := time.Now(); openTasks(s.t, k, "work") > 0; time.Sleep(200 * time.Millisecond) {
		if time.Since(start) > 10*time.Minute {
			s.t.Errorf("%s %d tasks do not end", stamp(), openTasks(s.t, k, "work"))
			break
		}
	}
	close(s.home)
	s.wg.Wait()
	if len(s.told) < atLeast || s.fenced == 0 {
		s.t.Errorf("%d tasks were done, %d finishes fenced", len(s.told), s.fenced)
	}
	effects := pairs(k.Must("HGETALL", "{work}effects"))
	records := make(map[string]map[string]string)
	for id := range s.added {
		records[id] = pairs(k.Must("TASK.GET", id))
	}
	for id, o := range s.added {
		f, payload := records[id], o.payload
		orphan := slices.ContainsFunc(o.after, func(parent string) bool { return records[parent]["state"] == "dead" })
		told, wasTold := s.told[id]
		switch {
		case f["state"] == "done" && effects[payload] == "1" && (!wasTold || f["result"] == told):
		case f["state"] == "dead" && (f["crashes"] == "3" || orphan) && effects[payload] == "" && !wasTold:
		default:
			s.t.Errorf("task %s (%s) is %s with result %q and %s effects, %q was told; %s crashes", id, payload, f["state"], f["result"], effects[payload], told, f["crashes"])
		}
	}
	s.checkOrder(records)
	for payload, n := range effects {
		if n != "1" {
			s.t.Errorf("the effects of %s were applied %s times", payload, n)
		}
	}
	q := pairs(k.Must("TASK.QUEUE", "work"))
	if added := Text(k.Must("GET", "{work}added")); q["total-added"] != added {
		s.t.Errorf("%s tasks were added, and %s counted with them", q["total-added"], added)
	}
	if q["total-done"] != fmt.Sprint(len(effects)) {
		s.t.Errorf("%s tasks are done, and %d had effects", q["total-done"], len(effects))
	}
}

// checkOrder looks whether tasks ran when they might, by what is recorded of them: not
// before their time, not before the end of those they come after, and one of a KEY at
// a time.
func (s *shop) checkOrder(records map[string]map[string]string) {
	s.t.Helper()
	byKey := make(map[string][]string)
	at := func(id, field string) int { return number(s.t, records[id][field]) }
	for id, o := range s.added {
		if records[id]["state"] != "done" {
			continue
		}
		if early := at(id, "added") + o.delay - at(id, "started"); early > 0 {
			s.t.Errorf("task %s ran %d ms before its time", id, early)
		}
		for _, parent := range o.after {
			if records[parent]["state"] != "done" || at(id, "started") < at(parent, "ended") {
				s.t.Errorf("task %s ran at %d, and comes after %s, which ended %s at %d", id, at(id, "started"), parent, records[parent]["state"], at(parent, "ended"))
			}
		}
		if o.key != "" {
			byKey[o.key] = append(byKey[o.key], id)
		}
	}
	for key, ids := range byKey {
		slices.SortFunc(ids, func(a, b string) int { return at(a, "ended") - at(b, "ended") })
		for i, id := range ids[1:] {
			if at(id, "started") < at(ids[i], "ended") {
				s.t.Errorf("tasks %s and %s of key %s ran at once", ids[i], id, key)
			}
		}
	}
}

// openTasks is how many tasks of a queue have not ended; 1 if it does not answer.
func openTasks(t *testing.T, k *Client, queue string) (n int) {
	t.Helper()
	v, err := k.Do("TASK.QUEUE", queue)
	if err != nil || v.IsError() {
		elsewhere(k)
		return 1
	}
	f := pairs(v)
	for _, state := range []string{"ready", "scheduled", "waiting", "running"} {
		n += number(t, f[state])
	}
	return n
}

// pairs reads names and values.
func pairs(v resp.Value) map[string]string {
	f := make(map[string]string, len(v.Elems)/2)
	for i := 0; i+1 < len(v.Elems); i += 2 {
		f[Text(v.Elems[i])] = Text(v.Elems[i+1])
	}
	return f
}

// Workers stand still beyond their leases, die, and are cut off, while leaders are
// killed and paused: every task that was acknowledged ends once, its effects are
// applied with it and not otherwise, and late finishes are fenced.
func TestFault38TasksEndOnce(t *testing.T) {
	bubble(t, Options{Seed: 238}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		s := openShop(t, c)
		for round := range 6 {
			time.Sleep(2 * time.Second)
			lead := c.WaitLeader(1)
			switch round % 3 {
			case 0:
				c.Kill(lead)
				time.Sleep(500 * time.Millisecond)
				c.Start(lead)
			case 1:
				c.Pause(lead)
				time.Sleep(1500 * time.Millisecond)
				c.Resume(lead)
			default:
				c.Split([]string{c.Name(lead)}, apart(c, lead))
				time.Sleep(1500 * time.Millisecond)
				c.Heal()
			}
		}
		c.Recover()
		s.close(200)
	})
}

// A holder that was paused beyond its lease does not write: what it writes together
// with the end of its task is refused, as somebody else has that task.
func TestFault37PausedHolderIsFenced(t *testing.T) {
	bubble(t, Options{Seed: 237}, func(t *testing.T, c *Cluster) {
		k := c.Client("").At(c.WaitLeader(1))
		defer k.Close()
		claim := func(worker string) (id, token string) {
			t.Helper()
			v := k.Must("TASK.CLAIM", worker, "BLOCK", "10000", "LEASE", "2000", "FROM", "q")
			if len(v.Elems) != 1 {
				t.Fatalf("%s claimed %s", worker, Text(v))
			}
			return Text(v.Elems[0].Elems[0]), Text(v.Elems[0].Elems[1])
		}
		k.Must("TASK.ADD", "q", "move the money")
		id, old := claim("paused")
		start := time.Now()
		again, token := claim("other") // it waits until the lease has ended
		if took := time.Since(start); id != again || took < 2*time.Second || took > 4*time.Second {
			t.Errorf("%s is given away after %v", again, took)
		}
		v, err := k.Pipe([]string{"MULTI"}, []string{"SET", "{q}account", "paused"}, []string{"TASK.DONE", id, old}, []string{"EXEC"})
		if err != nil || !strings.HasPrefix(Text(v[3]), "FENCED") {
			t.Error(errors.Join(err, fmt.Errorf("the paused one is told %s", Text(v[3]))))
		}
		k.Must("MULTI")
		k.Must("SET", "{q}account", "other")
		k.Must("TASK.DONE", id, token)
		k.Must("EXEC")
		if got := Text(k.Must("GET", "{q}account")); got != "other" {
			t.Errorf("the account was written by %s", got)
		}
	})
}
