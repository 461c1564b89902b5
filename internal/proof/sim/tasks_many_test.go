package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/internal/resp"
)

// yard is clients who add tasks up to 100 at once, and workers who claim and finish as
// many: the rows of such claims are read together. Some workers stand still for longer
// than their lease, some never come back, some claim in a transaction that is undone.
type yard struct {
	t    *testing.T
	c    *Cluster
	quit chan struct{} // nothing more is added
	home chan struct{} // workers go
	wg   sync.WaitGroup

	mu    sync.Mutex          // guards what follows
	added map[string]string   // payloads of tasks that were acknowledged, by id
	fresh []string            // some that were added of late
	held  map[string]*holding // the newest claim that was told, by id
	done  map[string]string   // the result that was acknowledged, by id
	moot  map[string]bool     // ids of tasks that may have been ended by what was not answered, or cancelled
	many  int                 // claims that gave 8 tasks or more
	late  int                 // finishes that were fenced
}

// holding is a claim of a task that a worker was told of.
type holding struct {
	token   uint64
	payload string
	since   time.Time // not later than its lease began
	over    bool      // given back
}

const (
	yardLease = 3 * time.Second
	// leaseSure is how much of it no clock that drifts takes away.
	leaseSure = yardLease * 9 / 10
	// wide is a queue, narrow one with a LIMIT; their tasks lie among each other.
	wide, narrow = "{y}wide", "{y}narrow"
	narrowLimit  = 150
)

func openYard(t *testing.T, c *Cluster) *yard {
	y := &yard{
		t: t, c: c, quit: make(chan struct{}), home: make(chan struct{}), added: make(map[string]string),
		held: make(map[string]*holding), done: make(map[string]string), moot: make(map[string]bool),
	}
	k := c.Client("").At(c.WaitLeader(1))
	k.Must("TASK.QUEUE", narrow, "LIMIT", fmt.Sprint(narrowLimit))
	k.Close()
	for i := range 3 {
		k, r := c.Client("").At(i%c.Nodes()+1), rand.New(rand.NewPCG(c.Rand.Uint64(), 1))
		y.wg.Go(func() { y.produce(k, i, r) })
	}
	for i := range 4 {
		k, r := c.Client("").At(i%c.Nodes()+1), rand.New(rand.NewPCG(c.Rand.Uint64(), 2))
		y.wg.Go(func() { y.work(k, i, r) })
	}
	return y
}

// addition is a TASK.ADD of some tasks that differ in their payloads.
func addition(r *rand.Rand, name string) (cmd, payloads []string) {
	n := 1 + r.IntN(100)
	cmd = []string{"TASK.ADD", []string{wide, narrow}[r.IntN(2)], "COUNT", fmt.Sprint(n)}
	filling := strings.Repeat(".", []int{0, 100, 2000}[r.IntN(3)])
	for i := range n {
		payloads = append(payloads, fmt.Sprintf("%s-%d%s", name, i, filling))
	}
	cmd = append(append(cmd, payloads...), "RETRY", "100", "BACKOFF", "10", "100", "PRIO", fmt.Sprint([]int{5, 5, 0, 9}[r.IntN(4)]))
	if r.IntN(8) == 0 {
		cmd = append(cmd, "NEAR", fmt.Sprint("near", r.IntN(3)))
	}
	return cmd, payloads
}

func (y *yard) produce(k *Client, id int, r *rand.Rand) {
	defer k.Close()
	for n := 0; ; n++ {
		select {
		case <-y.quit:
			return
		case <-time.After(time.Duration(50+r.IntN(400)) * time.Millisecond):
		}
		add, payloads := addition(r, fmt.Sprintf("%d-%d", id, n))
		v, err := k.Pipe([]string{"MULTI"}, []string{"INCRBY", "{y}added", fmt.Sprint(len(payloads))}, add, []string{"EXEC"}, []string{"TASK.QUEUE", narrow})
		if err != nil {
			elsewhere(k)
			continue
		}
		if running := pairs(v[4])["running"]; !v[4].IsError() && number(y.t, running) > narrowLimit {
			y.t.Errorf("%s %s tasks run, the limit is %d", stamp(), running, narrowLimit)
		}
		if len(v[3].Elems) == 2 && !v[3].Elems[1].IsError() {
			y.acknowledged(v[3].Elems[1], payloads)
		} else {
			elsewhere(k)
		}
	}
}

// acknowledged notes tasks whose ids were told.
func (y *yard) acknowledged(ids resp.Value, payloads []string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(ids.Elems) != len(payloads) {
		y.t.Errorf("%s %d ids of %d tasks", stamp(), len(ids.Elems), len(payloads))
		return
	}
	for i, id := range ids.Elems {
		y.added[Text(id)] = payloads[i]
		y.fresh = append(y.fresh, Text(id))
	}
	y.fresh = y.fresh[max(0, len(y.fresh)-200):]
}

func (y *yard) work(k *Client, id int, r *rand.Rand) {
	defer k.Close()
	for life := 0; ; life++ {
		worker := fmt.Sprintf("w%d-%d", id, life)
		for lives := true; lives; {
			select {
			case <-y.home:
				return
			default:
			}
			claims, ok := y.claim(k, r, worker)
			if !ok { // what it was given it can't know: it begins anew, as another one
				elsewhere(k)
				time.Sleep(50 * time.Millisecond)
				break
			}
			lives = y.fulfil(k, r, worker, claims)
		}
	}
}

// claimed is a task in the hands of a worker.
type claimed struct {
	id    string
	token uint64
}

// claim asks for tasks in one of several ways, of which what the leader has read ahead
// must not tell one from another. ok is false if there may be tasks it was not told of.
func (y *yard) claim(k *Client, r *rand.Rand, worker string) (claims []claimed, ok bool) {
	ask := func(more ...string) []string {
		cmd := []string{"TASK.CLAIM", worker, "COUNT", []string{"8", "30", "100"}[r.IntN(3)], "LEASE", fmt.Sprint(yardLease.Milliseconds())}
		return append(append(append(cmd, more...), "FROM"), []string{wide, narrow}[r.IntN(2)], narrow)
	}
	multi, exec := []string{"MULTI"}, []string{"EXEC"}
	known := y.some(r, 8)
	cmds := [][]string{ask("BLOCK", "200")}
	var cancelled []string
	switch way := r.IntN(6); {
	case way == 1: // in one batch
		cmds = [][]string{ask(), ask(), ask()}
	case way == 2 && len(known) > 0: // undone, together with what else it did
		cmds = [][]string{ask(), multi, ask(), append([]string{"TASK.CANCEL"}, known...), {"TASK.DONE", known[0], "1"}, exec, ask()}
	case way == 3 && len(known) > 0: // of what is cancelled in it nothing can be claimed
		cancelled = known
		y.doubt(cancelled...)
		cmds = [][]string{multi, append([]string{"TASK.CANCEL"}, cancelled...), ask(), exec}
	}
	since := time.Now()
	values, err := k.Pipe(cmds...)
	if err != nil {
		return nil, false
	}
	ok = true
	for i, cmd := range cmds {
		v, within := values[i], false
		switch {
		case cmd[0] == "EXEC" && cancelled != nil && len(v.Elems) == 2:
			v, within = v.Elems[1], true
		case cmd[0] == "EXEC" && cancelled == nil:
			if len(v.Elems) > 0 {
				y.t.Errorf("%s a transaction with a finish by nobody's token did %s", stamp(), Text(v))
			}
			continue
		case cmd[0] != "TASK.CLAIM" && cmd[0] != "EXEC", Text(v) == "QUEUED":
			continue
		}
		ok = ok && !v.IsError()
		for _, task := range v.Elems {
			c, whole := y.take(since, task)
			if within && slices.Contains(cancelled, c.id) {
				y.t.Errorf("%s %s was cancelled, and then claimed", stamp(), c.id)
			}
			if whole {
				claims = append(claims, c)
			}
		}
		y.count(len(v.Elems))
	}
	return claims, ok
}

// some returns up to n of the tasks that were added of late.
func (y *yard) some(r *rand.Rand, n int) (ids []string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.fresh) == 0 {
		return nil
	}
	at := r.IntN(len(y.fresh))
	return slices.Clone(y.fresh[at:min(at+n, len(y.fresh))])
}

// doubt notes that it is not known who has tasks, or whether they have ended.
func (y *yard) doubt(ids ...string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, id := range ids {
		y.moot[id] = true
	}
}

func (y *yard) count(tasks int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if tasks >= 8 {
		y.many++
	}
}

// take notes a task that was told to a worker who asked at that time, and looks
// whether it could be.
func (y *yard) take(since time.Time, task resp.Value) (c claimed, ok bool) {
	if len(task.Elems) != 5 {
		y.t.Errorf("%s claimed %s", stamp(), Text(task))
		return claimed{}, false
	}
	c.id = Text(task.Elems[0])
	c.token, _ = strconv.ParseUint(Text(task.Elems[1]), 10, 64)
	h := &holding{token: c.token, payload: Text(task.Elems[4]), since: since}
	y.mu.Lock()
	defer y.mu.Unlock()
	was := y.held[c.id]
	switch {
	case was == nil:
	case was.payload != h.payload:
		y.t.Errorf("%s task %s is given away with payload %.30q, before with %.30q", stamp(), c.id, h.payload, was.payload)
	case was.token == h.token:
		y.t.Errorf("%s token %d of %s is given away twice", stamp(), h.token, c.id)
	case was.token > h.token:
		return c, true // an answer that was long on its way
	case y.done[c.id] != "":
		y.t.Errorf("%s task %s is done, and given away", stamp(), c.id)
	case !was.over && !y.moot[c.id] && time.Since(was.since) < leaseSure:
		y.t.Errorf("%s task %s is given away %v after another worker had it", stamp(), c.id, time.Since(was.since))
	}
	y.held[c.id] = h
	return c, true
}

// fulfil does tasks, in one of several ways, and reports whether the worker lives on.
func (y *yard) fulfil(k *Client, r *rand.Rand, worker string, claims []claimed) bool {
	if len(claims) == 0 {
		return true
	}
	switch r.IntN(25) {
	case 0: // it never comes back
		return false
	case 1: // it stands still, and does not know
		time.Sleep(yardLease + time.Second)
	case 2, 3:
		n := min(len(claims), 5)
		for _, c := range claims[:n] {
			y.giveBack(k, c, [][]string{{}, {"AGAIN"}, {"IN", "100"}}[r.IntN(3)])
		}
		claims = claims[n:]
	default:
		time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
	}
	for len(claims) > 0 {
		n := 1 + r.IntN(min(40, len(claims)))
		if !y.finish(k, worker, slices.Clone(claims[:n])) {
			return false
		}
		claims = claims[n:]
	}
	return true
}

// giveBack fails an attempt.
func (y *yard) giveBack(k *Client, c claimed, how []string) {
	y.mu.Lock()
	if h := y.held[c.id]; h.token == c.token {
		h.over = true
	}
	y.mu.Unlock()
	if _, err := k.Do(append([]string{"TASK.FAIL", c.id, fmt.Sprint(c.token), "not today"}, how...)...); err != nil {
		elsewhere(k)
	}
}

// finish records that tasks are done, all at once, without those that are not the
// worker's any more. It reports whether it is known what came of them.
func (y *yard) finish(k *Client, worker string, claims []claimed) bool {
	for len(claims) > 0 {
		cmd := []string{"TASK.DONE"}
		for _, c := range claims {
			cmd = append(cmd, c.id, fmt.Sprint(c.token), fmt.Sprint(worker, " ", c.token))
		}
		v, err := k.Pipe([]string{"MULTI"}, []string{"INCRBY", "{y}done", fmt.Sprint(len(claims))}, cmd, []string{"EXEC"})
		switch {
		case err == nil && len(v[3].Elems) == 2 && !v[3].Elems[1].IsError():
			y.ended(worker, claims)
			return true
		case err == nil && strings.HasPrefix(Text(v[3]), "FENCED task "):
			id := strings.Fields(Text(v[3]))[2]
			i := slices.IndexFunc(claims, func(c claimed) bool { return c.id == id })
			if i < 0 {
				y.t.Errorf("%s the finish of others was refused by %s", stamp(), Text(v[3]))
				return false
			}
			y.fenced(claims[i])
			claims = slices.Delete(claims, i, i+1)
		default:
			for _, c := range claims {
				y.doubt(c.id)
			}
			elsewhere(k)
			return false
		}
	}
	return true
}

func (y *yard) ended(worker string, claims []claimed) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, c := range claims {
		result := fmt.Sprint(worker, " ", c.token)
		if before, ok := y.done[c.id]; ok && before != result {
			y.t.Errorf("%s task %s was done as %q, and as %q", stamp(), c.id, before, result)
		}
		y.done[c.id] = result
	}
}

// fenced looks whether a finish could come too late: within the lease none does.
func (y *yard) fenced(c claimed) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.late++
	if h := y.held[c.id]; h.token == c.token && !y.moot[c.id] && time.Since(h.since) < leaseSure {
		y.t.Errorf("%s the finish of %s was refused %v after its claim", stamp(), c.id, time.Since(h.since))
	}
}

// close lets the workers do what is left, and checks that every task that was
// acknowledged has ended once.
func (y *yard) close() {
	y.t.Helper()
	close(y.quit)
	k := y.c.Client("").At(y.c.WaitLeader(1))
	defer k.Close()
	k.Must("PING")
	for start := time.Now(); openTasks(y.t, k, wide)+openTasks(y.t, k, narrow) > 0; time.Sleep(200 * time.Millisecond) {
		if time.Since(start) > 5*time.Minute {
			y.t.Errorf("%s %d tasks do not end", stamp(), openTasks(y.t, k, wide)+openTasks(y.t, k, narrow))
			break
		}
	}
	close(y.home)
	y.wg.Wait()
	if y.many < 20 || len(y.done) < 500 {
		y.t.Errorf("%d tasks were done, %d claims were of many, %d finishes late", len(y.done), y.many, y.late)
	}
	y.checkEnds(k)
	totals := make(map[string]int)
	for _, queue := range []string{wide, narrow} {
		for field, n := range pairs(k.Must("TASK.QUEUE", queue)) {
			if strings.HasPrefix(field, "total-") {
				totals[field] += number(y.t, n)
			}
		}
	}
	for _, counted := range []string{"added", "done"} {
		if n := number(y.t, Text(k.Must("GET", "{y}"+counted))); totals["total-"+counted] != n {
			y.t.Errorf("%d tasks are %s, and %d were counted with them", totals["total-"+counted], counted, n)
		}
	}
}

// checkEnds compares what is recorded of each task with what was told of it.
func (y *yard) checkEnds(k *Client) {
	y.t.Helper()
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(y.added)), 200) {
		cmds := make([][]string, len(ids))
		for i, id := range ids {
			cmds[i] = []string{"TASK.GET", id}
		}
		values, err := k.Pipe(cmds...)
		if err != nil {
			y.t.Fatal(err)
		}
		for i, id := range ids {
			f, h := pairs(values[i]), y.held[id]
			told, wasTold := y.done[id]
			switch state := f["state"]; {
			case state == "done" && h != nil && h.payload == y.added[id] && (!wasTold || f["result"] == told):
			case state == "dead" && f["crashes"] == "3" && !wasTold:
			case state == "cancelled" && y.moot[id] && !wasTold:
			case state == "done" && h == nil:
				y.t.Errorf("task %s is done with result %q, and was told to nobody", id, f["result"])
			default:
				y.t.Errorf("task %s (%.30q) is %s with result %q, %q was told; %s crashes; last claimed as %+v", id, y.added[id], state, f["result"], told, f["crashes"], h)
			}
		}
	}
}

// disturb ends, pauses or cuts off nodes, or lets a clock jump, as the seed draws it.
func (y *yard) disturb(r *rand.Rand) {
	c := y.c
	for range 6 {
		time.Sleep(time.Duration(300+r.IntN(1500)) * time.Millisecond)
		node := c.WaitLeader(1)
		if r.IntN(4) == 0 { // a follower
			node = node%c.Nodes() + 1
		}
		last := time.Duration(200+r.IntN(2000)) * time.Millisecond
		switch r.IntN(5) {
		case 0:
			c.Kill(node)
			time.Sleep(last)
			c.Start(node)
		case 1:
			c.Crash(node)
			time.Sleep(last)
			c.Start(node)
		case 2:
			c.Pause(node)
			time.Sleep(last)
			c.Resume(node)
		case 3:
			c.Split([]string{c.Name(node)}, apart(c, node))
			time.Sleep(last)
			c.Heal()
		case 4:
			jump := []time.Duration{time.Hour, -time.Hour, 10 * time.Second}[r.IntN(3)]
			c.Clock(node).Jump(jump)
			c.Clock(node).Drift(1.04)
			time.Sleep(last)
			c.Clock(node).Drift(1)
			c.Clock(node).Jump(-jump)
		}
	}
}

// Tasks that are claimed many at once end once, too: what the leader reads of them
// together is what is applied, whatever the batch has done with them before and whoever
// leads next.
//
//	TUTTI_SIM_FIRST=1000 TUTTI_SIM_SEEDS=60 go test ./internal/proof/sim -run TasksClaimedTogether
func TestTasksClaimedTogetherEndOnce(t *testing.T) {
	first := env("TUTTI_SIM_FIRST", 1)
	for seed := first; seed < first+env("TUTTI_SIM_SEEDS", 2); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, Options{Seed: 4000 + seed}, func(t *testing.T, c *Cluster) {
				c.WaitLeader(1)
				y := openYard(t, c)
				y.disturb(rand.New(rand.NewPCG(seed, 3)))
				c.Recover()
				y.close()
				t.Logf("%d tasks added, %d done, %d claims of many, %d finishes late", len(y.added), len(y.done), y.many, y.late)
			})
		})
	}
}
