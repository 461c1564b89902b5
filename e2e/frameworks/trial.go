package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
)

const (
	nodeEvery   = 4 * time.Second // a node is killed
	workerEvery = 5 * time.Second // and a worker, which lives as long at least as lifeLeast
	lifeLeast   = 2 * time.Second
	lookEvery   = 200 * time.Millisecond
	downFor     = 500 * time.Millisecond // a node that is killed
	// standsFor is how long a worker stands still: a job of Asynq is free again after 30 s,
	// those of others sooner.
	standsFor = 35 * time.Second
	// stillFor is how long nothing may get on when nothing is killed any more. Asynq looks
	// once a minute for jobs whose worker was lost, RQ gives one up after 90 s.
	stillFor = 5 * time.Minute
)

// trial is one framework, with its jobs, on one cluster.
type trial struct {
	framework
	name    string
	dir     string
	self    string // this program
	nodes   []*node
	gateway string // one address that stays
	jobs    int
	workers int
	redis   bool          // on one redis-server
	away    time.Duration // which is so far away
	client  *redis.Client // of the gateway

	nodesDie, workersDie bool
	workersStand         bool   // still for a while, and go on
	hard                 bool   // workers are killed even if the framework loses their jobs
	seed                 uint64 // of the times at which something happens to workers

	refused                                  int // times that a job could not be added at once
	killedNodes, killedWorkers, stoodWorkers atomic.Int64
}

func (t *trial) run(ctx context.Context) (verdict string, err error) {
	began := time.Now()
	working, stop := context.WithCancel(ctx)
	killing, endKilling := context.WithCancel(ctx)
	var kept, killer sync.WaitGroup
	errs := make(chan error, t.workers+1)
	for i := range t.workers {
		kept.Go(func() { errs <- t.keep(working, killing, i) })
	}
	if t.nodesDie {
		killer.Go(func() { errs <- t.killNodes(killing) })
	}
	defer func() {
		endKilling()
		stop()
		kept.Wait()
		killer.Wait()
		close(errs)
		for e := range errs {
			err = errors.Join(err, e)
		}
	}()
	if t.refused, err = t.add(ctx, t); err != nil {
		return "", t.cutShort(err)
	}
	for (t.most(killing) || t.spared()) && process.Pause(killing, lookEvery) { // it goes on while they are executed
	}
	endKilling()
	killer.Wait()
	if err := t.await(ctx); err != nil {
		return "", t.cutShort(err)
	}
	return t.judge(time.Since(began))
}

// cutShort adds to an error how far the jobs have come.
func (t *trial) cutShort(err error) error {
	done, no := t.client.SCard(context.Background(), effects).Result()
	if no != nil {
		return errors.Join(err, no)
	}
	return fmt.Errorf("%w; %d of %d jobs have had their effect, %d nodes and %d workers were killed", err, done, t.jobs, t.killedNodes.Load(), t.killedWorkers.Load())
}

// most reports whether most jobs still have to have their effect.
func (t *trial) most(ctx context.Context) bool {
	done, err := t.client.SCard(ctx, effects).Result()
	return err != nil || int(done) < t.jobs*3/4
}

// spared reports whether nothing was killed yet of what is to be.
func (t *trial) spared() bool {
	return t.nodesDie && t.killedNodes.Load() == 0 || t.workersDie && t.killedWorkers.Load() == 0 ||
		t.workersStand && t.stoodWorkers.Load() == 0
}

// keep keeps a worker until working is done. While killing is not it is killed, and
// started again.
func (t *trial) keep(working, killing context.Context, i int) error {
	command := t.worker(t, t.journal(i))
	times := rand.New(rand.NewPCG(t.seed, uint64(i)))
	for working.Err() == nil {
		p, err := process.Spawn(t.dir, fmt.Sprintf("worker-%d", i), nil, command[0], command[1:]...)
		if err != nil {
			return err
		}
		life, end := context.WithTimeout(killing, lifeLeast+time.Duration(times.Int64N(int64(2*(workerEvery*time.Duration(t.workers)-lifeLeast)))))
		select {
		case <-p.Done():
		case <-life.Done():
		}
		end()
		over := errors.Is(life.Err(), context.DeadlineExceeded)
		if over && t.workersStand {
			t.stoodWorkers.Add(1)
			standStill(killing, p)
		}
		if over && t.workersDie {
			t.killedWorkers.Add(1)
			if !t.asks() {
				p.Kill()
			} else if err := p.Stop(); err != nil {
				return err
			}
			continue
		}
		select {
		case <-p.Done(): // it could not reach anybody when it started
			process.Pause(working, time.Second)
		case <-working.Done():
			return p.Stop()
		}
	}
	return nil
}

// standStill stops a worker for longer than any framework waits for it, and lets it go on for
// a while.
func standStill(killing context.Context, p *process.Process) {
	p.SignalGroup(syscall.SIGSTOP)
	process.Pause(killing, standsFor)
	p.SignalGroup(syscall.SIGCONT)
	process.Pause(killing, lifeLeast)
}

// asks reports whether workers are asked to end, not killed.
func (t *trial) asks() bool { return t.taken() > 0 && !t.hard }

func (t *trial) journal(i int) string { return filepath.Join(t.dir, fmt.Sprintf("journal-%d", i)) }

// killNodes kills one node after the other, when the one before is back.
func (t *trial) killNodes(ctx context.Context) error {
	for i := 0; process.Pause(ctx, nodeEvery); i++ {
		n := t.nodes[i%len(t.nodes)]
		n.proc.Kill()
		t.killedNodes.Add(1)
		process.Pause(ctx, downFor)
		var err error
		if n.proc, err = n.again(); err != nil {
			return err
		}
		if err := n.serves(ctx); err != nil {
			return err
		}
	}
	return nil
}

// await waits until the framework has nothing to do any more, for as long as it gets on: how
// long thousands of jobs take is the machine's.
func (t *trial) await(ctx context.Context) error {
	var had progress
	for since := time.Now(); process.Pause(ctx, 500*time.Millisecond); {
		now, err := t.progress(ctx)
		switch {
		case err == nil && (now.Given > 0 || now.Open == 0 && now.Completed+now.Stranded+now.Held == t.jobs):
			return nil
		case err == nil && now != had:
			had, since = now, time.Now()
		case time.Since(since) > stillFor:
			return errors.Join(fmt.Errorf("nothing has got on for %v: %d of %d jobs have had their effect; %+v", stillFor, had.done, t.jobs, had.remains), err)
		}
	}
	return ctx.Err()
}

// progress is how far the jobs have come.
type progress struct {
	remains
	done int64 // have had their effect
}

func (t *trial) progress(ctx context.Context) (p progress, err error) {
	if p.done, err = t.client.SCard(ctx, effects).Result(); err != nil {
		return p, err
	}
	p.remains, err = t.left(ctx, t)
	return p, err
}

// judge looks at what has become of every job.
func (t *trial) judge(took time.Duration) (string, error) {
	lost, twice, err := t.effects()
	if err != nil {
		return "", err
	}
	left, err := t.left(context.Background(), t)
	nodes, killed, stood := t.killedNodes.Load(), t.killedWorkers.Load(), t.stoodWorkers.Load()
	switch {
	case err != nil:
		return "", err
	case len(lost) > left.Stranded+left.Held:
		return "", fmt.Errorf("%d jobs have left no effect, the framework has lost %d: %.300s", len(lost), left.Stranded+left.Held, strings.Join(lost, " "))
	case int64(left.Stranded) > t.mayStrand(killed):
		return "", fmt.Errorf("%d jobs were taken by nobody who was killed", left.Stranded)
	case left.Given > 0:
		return "", fmt.Errorf("%d jobs were given up", left.Given)
	case killed+stood == 0 && twice > 0:
		return "", fmt.Errorf("%d jobs ran twice although nothing happened to a worker", twice)
	case t.spared():
		return "", fmt.Errorf("%d nodes and %d workers were killed, %d stood still: too little for a verdict", nodes, killed, stood)
	}
	fate := "none lost"
	switch {
	case left.Stranded > 0 && t.hard && t.taken() > 0:
		fate = fmt.Sprintf("but for %d that a killed worker was executing", left.Stranded)
	case left.Stranded > 0:
		fate = fmt.Sprintf("but for %d taken for a worker that was killed, and not noted yet as its", left.Stranded)
	}
	if left.Held > 0 {
		fate += fmt.Sprintf(", and %d that wait for the result of one of those", left.Held)
	}
	how := "killed"
	if t.asks() {
		how = "asked to end"
	}
	if stood > 0 {
		how += fmt.Sprintf(", %d stopped for %v", stood, standsFor)
	}
	return fmt.Sprintf("HELD: %s: %d jobs over %d queues by %d workers in %v, %d nodes killed and %d workers %s (seed %d): every effect is recorded, %s; %d ran more than once; %d times one could not be added at once",
		t.name, t.jobs, len(queueNames), t.workers, took.Round(time.Second), nodes, killed, how, t.seed, fate, twice, t.refused), nil
}

// mayStrand is how many jobs the framework may lose with so many workers that ended.
func (t *trial) mayStrand(killed int64) int64 {
	switch {
	case t.asks():
		return 0
	case t.taken() > 0:
		return killed * int64(t.taken())
	}
	return killed
}

// effects lists the jobs that have left none, and counts those that were executed more
// than once.
func (t *trial) effects() (lost []string, twice int, err error) {
	has, err := t.client.SMembers(context.Background(), effects).Result()
	if err != nil {
		return nil, 0, err
	}
	recorded := make(map[string]bool, len(has))
	for _, id := range has {
		recorded[id] = true
	}
	for i := range t.jobs {
		if id := fmt.Sprint(i); !recorded[id] {
			lost = append(lost, id)
		}
	}
	ran, err := t.ran()
	for _, n := range ran {
		if n > 1 {
			twice++
		}
	}
	return lost, twice, err
}

// ran counts how often each job was executed to its end.
func (t *trial) ran() (map[string]int, error) {
	count := make(map[string]int)
	for i := range t.workers {
		f, err := os.Open(t.journal(i))
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			count[lines.Text()]++
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, err
		}
	}
	return count, nil
}
