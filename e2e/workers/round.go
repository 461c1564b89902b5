package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
)

// A round is tasks that are added, worked off and waited for while workers stand still
// for longer than their lease, and workers, leaders and other nodes are killed. What
// the cluster has acknowledged stands in a ledger: each task of it must end, once, and
// what was told of its end must never change.

const (
	lease      = 5 * time.Second // that the workers ask for
	standstill = lease + 2*time.Second
	addedAtOnce,
	openMax = 20, 400 // tasks of a queue that have not ended
	addEvery   = 200 * time.Millisecond
	faultPause = 3 * time.Second
)

// outcome is what is told of a task that has ended.
type outcome struct{ State, Result, Worker, Attempt, Token any }

// round is the state of one.
type round struct {
	dev       *process.Dev
	clients   []*redis.Client
	dir       string
	languages []language
	workers   []*keptWorker

	queues []*ledger
	log    []string // what was done to the cluster, for people
}

// ledger is what is known of the tasks of a queue.
type ledger struct {
	queue    string
	open     chan acknowledged
	seen     map[string]outcome
	payloads map[string]string
	unknown  int // tasks that may have been added
}

type acknowledged struct{ id, payload string }

// keptWorker is a worker that is started again, at the next node, when it has ended.
type keptWorker struct {
	round *round
	of    language
	name  string
	now   atomic.Pointer[process.Process]
}

func (w *keptWorker) keep(ctx context.Context) error {
	for i := 0; ctx.Err() == nil; i++ {
		args := append(w.of.command[1:len(w.of.command):len(w.of.command)], w.round.dev.Addrs[i%len(w.round.dev.Addrs)], w.of.name)
		p, err := process.Spawn(w.round.dir, w.name, nil, w.of.command[0], args...)
		if err != nil {
			return err
		}
		w.now.Store(p)
		select {
		case <-p.Done():
		case <-ctx.Done():
		}
		p.Kill()
		process.Pause(ctx, 200*time.Millisecond)
	}
	return nil
}

// newRound has clients of all nodes of a cluster.
func newRound(dev *process.Dev, dir string, languages []language) *round {
	redis.SetLogger(process.Quiet{})
	r := &round{dev: dev, dir: dir, languages: languages}
	for _, a := range dev.Addrs {
		r.clients = append(r.clients, redis.NewClient(&redis.Options{Addr: a, MaxRetries: -1, DialerRetries: 1, ReadTimeout: 2 * endTimeout}))
	}
	for _, l := range languages {
		r.queues = append(r.queues, &ledger{queue: l.name, open: make(chan acknowledged, openMax), seen: map[string]outcome{}, payloads: map[string]string{}})
	}
	return r
}

// anyNode asks one node after the other until one answers.
func (r *round) anyNode(ctx context.Context, args ...any) (any, error) {
	var reply any
	err := process.Eventually(endTimeout, fmt.Sprint(args[0]), func() (err error) {
		reply, err = r.clients[rand.IntN(len(r.clients))].Do(ctx, args...).Result()
		if errors.Is(err, redis.Nil) {
			reply, err = nil, nil
		}
		return err
	})
	return reply, err
}

// run goes through the faults for about as long as is said, and then looks at
// everything.
func (r *round) run(ctx context.Context, duration time.Duration, seed uint64) (verdict string, err error) {
	working, stopWorking := context.WithCancel(ctx)
	adding, stopAdding := context.WithCancel(ctx)
	var workers, watchers, adders sync.WaitGroup
	errs := make(chan error, 100)
	defer func() {
		stopAdding()
		adders.Wait()
		stopWorking()
		workers.Wait()
		watchers.Wait()
	}()
	for _, l := range r.languages {
		for i := range workersEach {
			w := &keptWorker{round: r, of: l, name: fmt.Sprintf("%s-%d", l.name, i)}
			r.workers = append(r.workers, w)
			workers.Go(func() { errs <- w.keep(working) })
		}
	}
	for _, q := range r.queues {
		adders.Go(func() { defer close(q.open); r.add(adding, q) })
		watchers.Go(func() { errs <- r.watch(ctx, q) })
	}
	if err := r.faults(ctx, duration, rand.New(rand.NewPCG(seed, seed))); err != nil {
		return "", err
	}
	stopAdding()
	adders.Wait()
	watchers.Wait()
	stopWorking()
	workers.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	if err != nil {
		return "", err
	}
	return r.judge(ctx)
}

// add adds tasks through all nodes, as many as the ledger has room for.
func (r *round) add(ctx context.Context, q *ledger) {
	for n := 0; process.Pause(ctx, addEvery); {
		args := []any{"TASK.ADD", q.queue, "COUNT", addedAtOnce}
		var payloads []string
		for range addedAtOnce {
			payloads = append(payloads, payload(n))
			args = append(args, payload(n))
			n++
		}
		ids, err := r.clients[n/addedAtOnce%len(r.clients)].Do(context.WithoutCancel(ctx), args...).StringSlice()
		if err != nil {
			q.unknown += addedAtOnce
			continue
		}
		for i, id := range ids {
			q.open <- acknowledged{id, payloads[i]} // its reader goes on until it is closed
		}
	}
}

// watch waits for the end of each task of a ledger.
func (r *round) watch(ctx context.Context, q *ledger) (err error) {
	for a := range q.open {
		if err != nil {
			continue // so that nobody waits for room
		}
		var o outcome
		if o, err = r.outcome(ctx, a.id); err == nil {
			q.seen[a.id], q.payloads[a.id] = o, a.payload
		}
	}
	return err
}

// outcome waits for the end of a task.
func (r *round) outcome(ctx context.Context, id string) (outcome, error) {
	for end := time.Now().Add(endTimeout); time.Now().Before(end); {
		reply, err := r.anyNode(ctx, "TASK.GET", id, "WAIT", lease.Milliseconds())
		if err != nil {
			return outcome{}, err
		}
		f, ok := reply.(map[any]any)
		if ok {
			return outcome{f["state"], f["result"], f["worker"], f["attempt"], f["ended"]}, nil
		}
	}
	return outcome{}, fmt.Errorf("task %s, which was acknowledged, has not ended within %v", id, endTimeout)
}

// counts returns the counts of a queue.
func (r *round) counts(ctx context.Context, queue string) (map[string]int64, error) {
	reply, err := r.anyNode(ctx, "TASK.QUEUE", queue)
	if err != nil {
		return nil, err
	}
	fields, _ := reply.(map[any]any)
	counts := make(map[string]int64)
	for k, v := range fields {
		if n, ok := v.(int64); ok {
			counts[fmt.Sprint(k)] = n
		}
	}
	return counts, nil
}

// judge looks at every task again.
func (r *round) judge(ctx context.Context) (string, error) {
	var told []string
	sum := make(map[string]int64)
	for _, q := range r.queues {
		for id, o := range q.seen {
			again, err := r.outcome(ctx, id)
			if err != nil {
				return "", err
			}
			want := strings.ToUpper(q.payloads[id])
			switch {
			case again != o:
				return "", fmt.Errorf("task %s ended %v, and then %v", id, o, again)
			case o.State == "dead": // it lost its workers three times
			case o.State != "done" || o.Result != want:
				return "", fmt.Errorf("task %s of %s ended %v with %v, want %q", id, q.queue, o.State, o.Result, want)
			}
		}
		c, err := r.counts(ctx, q.queue)
		if err != nil {
			return "", err
		}
		acked := int64(len(q.seen))
		open := c["waiting"] + c["scheduled"] + c["ready"] + c["running"]
		switch {
		case c["total-added"] < acked || c["total-added"] > acked+int64(q.unknown):
			return "", fmt.Errorf("queue %s: %d tasks were added, %d acknowledged and %d unknown", q.queue, c["total-added"], acked, q.unknown)
		case c["total-done"]+c["total-dead"]+open != c["total-added"]:
			return "", fmt.Errorf("queue %s does not add up: %v", q.queue, c)
		}
		for k, n := range c {
			sum[k] += n
		}
		told = append(told, fmt.Sprintf("%d %s", acked, q.queue))
	}
	return fmt.Sprintf("HELD: %s: each of the tasks acknowledged (%s) has one recorded outcome, and kept it; %d dead, %d claims lost, %d stale finishes refused",
		strings.Join(r.log, ", "), strings.Join(told, ", "), sum["total-dead"], sum["total-crashed"], sum["total-fenced"]), nil
}

// faults first has a worker come back too late, with nothing else in its way, and then
// does all sorts of things.
func (r *round) faults(ctx context.Context, duration time.Duration, rng *rand.Rand) error {
	end := time.Now().Add(duration)
	if err := r.lateFinish(ctx, r.workers[rng.IntN(len(r.workers))]); err != nil {
		return err
	}
	kinds := []func(context.Context, *rand.Rand) error{r.killLeader, r.killWorker, r.killNode, r.stopWorker, r.stopLeader}
	var beside sync.WaitGroup
	defer beside.Wait()
	for i := 0; i < len(kinds) || time.Now().Before(end); i++ {
		kind := i
		if i >= len(kinds) {
			kind = rng.IntN(len(kinds))
		}
		if err := kinds[kind](ctx, rng); err != nil {
			return err
		}
		if !process.Pause(ctx, faultPause) {
			return ctx.Err()
		}
	}
	return nil
}

// lateFinish has a worker stand still until its lease is over and its tasks are
// others'; what it says of them then must be refused.
func (r *round) lateFinish(ctx context.Context, w *keptWorker) error {
	r.log = append(r.log, w.of.name+" worker late")
	before, err := r.counts(ctx, w.of.name)
	if err != nil {
		return err
	}
	return process.Eventually(2*endTimeout, "a worker that stood still has tasks in hand and is refused", func() error {
		process.Pause(ctx, faultPause) // it must have begun to work, or have caught up
		p := w.now.Load()
		if p == nil {
			return errors.New("no worker yet")
		}
		p.Signal(syscall.SIGSTOP)
		ok := process.Pause(ctx, standstill)
		lost, err := r.counts(ctx, w.of.name)
		p.Signal(syscall.SIGCONT)
		switch {
		case !ok:
			return ctx.Err()
		case err != nil:
			return err
		case lost["total-crashed"] == before["total-crashed"]:
			return errors.New("it had none in hand")
		}
		return process.Eventually(lease, "its finish is refused", func() error {
			now, err := r.counts(ctx, w.of.name)
			if err == nil && now["total-fenced"] == before["total-fenced"] {
				err = errors.New("none was")
			}
			return err
		})
	})
}

func (r *round) stopWorker(ctx context.Context, rng *rand.Rand) error {
	w := r.workers[rng.IntN(len(r.workers))]
	r.log = append(r.log, w.of.name+" worker stopped")
	if p := w.now.Load(); p != nil {
		p.Signal(syscall.SIGSTOP)
		process.Pause(ctx, standstill)
		p.Signal(syscall.SIGCONT)
	}
	return nil
}

func (r *round) killWorker(_ context.Context, rng *rand.Rand) error {
	w := r.workers[rng.IntN(len(r.workers))]
	r.log = append(r.log, w.of.name+" worker killed")
	if p := w.now.Load(); p != nil {
		p.Kill()
	}
	return nil
}

func (r *round) killLeader(ctx context.Context, _ *rand.Rand) error {
	r.log = append(r.log, "leader killed")
	leader, pids, err := r.dev.Nodes(ctx)
	if err != nil {
		return err
	}
	return syscall.Kill(pids[leader], syscall.SIGKILL)
}

func (r *round) stopLeader(ctx context.Context, _ *rand.Rand) error {
	r.log = append(r.log, "leader stopped")
	leader, pids, err := r.dev.Nodes(ctx)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pids[leader], syscall.SIGSTOP); err != nil {
		return err
	}
	process.Pause(ctx, faultPause)
	return syscall.Kill(pids[leader], syscall.SIGCONT)
}

func (r *round) killNode(ctx context.Context, rng *rand.Rand) error {
	leader, pids, err := r.dev.Nodes(ctx)
	if err != nil {
		return err
	}
	delete(pids, leader)
	for id := range maps.Keys(pids) {
		if rng.IntN(2) == 0 || len(pids) == 1 {
			r.log = append(r.log, "follower killed")
			return syscall.Kill(pids[id], syscall.SIGKILL)
		}
		delete(pids, id)
	}
	return nil
}

func (r *round) close() {
	for _, c := range r.clients {
		_ = c.Close()
	}
}
