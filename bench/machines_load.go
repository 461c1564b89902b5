package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
)

// Loads of `machines`.

// bulkBytes is one value of the data that joining nodes copy; bulkPipe how many
// are written at once.
const (
	bulkBytes = 4 << 10
	bulkPipe  = 64
)

// fillBulk writes so much data that no engine can compress, and has the kernel write
// all of it to the disk: else it does so half a minute later, beside what is measured.
func (g *grown) fillBulk(ctx context.Context, mib int) error {
	c, err := g.dial(ctx, 0, time.Now().Add(growPatience))
	if err != nil {
		return err
	}
	defer c.Close()
	source := rand.NewChaCha8([32]byte{'b', 'u', 'l', 'k'})
	count := mib << 20 / bulkBytes
	for n := 0; n < count && ctx.Err() == nil; n += bulkPipe {
		var cmds [][]string
		for i := range min(bulkPipe, count-n) {
			value := make([]byte, bulkBytes)
			_, _ = source.Read(value) // never fails
			cmds = append(cmds, []string{"SET", fmt.Sprintf("bulk:%d", n+i), string(value)})
		}
		replies, err := c.Pipe(cmds...)
		if err != nil {
			return err
		}
		for _, r := range replies {
			if r.IsError() {
				return errors.New(string(r.Str))
			}
		}
	}
	syscall.Sync()
	return ctx.Err()
}

// latencies of a paced load, by kind.
type latencies struct {
	reads, writes histogram
	cores         coreTime // when they began to be measured
	failed        int
	first         error
}

// paced is clients that send at fixed times, whatever the answers take: what a
// command had to wait for because the one before it was late counts too. They
// speak with the first nodes in turn, half reads and half writes.
type paced struct {
	stop context.CancelFunc
	wg   sync.WaitGroup
	mu   sync.Mutex // guards now
	now  *latencies
}

const (
	pacedClients = 16
	// pacedEvery is how often each client sends: 400 commands a second of all. 800 took
	// 88 % of two cores while nothing moved: whatever came on top made a line that grew.
	pacedEvery = 40 * time.Millisecond
	pacedKeys  = 10_000
)

func (g *grown) startPaced(ctx context.Context, nodes int) (*paced, error) {
	ctx, stop := context.WithCancel(ctx)
	p := &paced{stop: stop, now: &latencies{cores: coresUsed()}}
	for i := range pacedClients {
		c, err := g.dial(ctx, i%nodes, time.Now().Add(askTimeout))
		if err != nil {
			stop()
			p.wg.Wait()
			return nil, err
		}
		p.wg.Go(func() {
			defer c.Close()
			r := rand.New(rand.NewPCG(uint64(i), 7))
			v := newValues(uint64(i), valueLen)
			next := time.Now().Add(time.Duration(r.Int64N(int64(pacedEvery))))
			for n := 0; sleep(ctx, time.Until(next)) == nil; n++ {
				key, write := fmt.Sprintf("paced:%d", r.IntN(pacedKeys)), n%2 == 0
				args := []string{"GET", key}
				if write {
					args = []string{"SET", key, string(v.next())}
				}
				_ = c.SetDeadline(time.Now().Add(askTimeout))
				reply, err := c.Do(args...)
				if err == nil && reply.IsError() {
					err = errors.New(string(reply.Str))
				}
				p.note(write, time.Since(next), err)
				next = next.Add(pacedEvery)
			}
		})
	}
	return p, nil
}

func (p *paced) note(write bool, took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		p.now.failed++
		if p.now.first == nil {
			p.now.first = err
		}
	case write:
		p.now.writes.add(took)
	default:
		p.now.reads.add(took)
	}
}

// take returns what was measured since the last call.
func (p *paced) take() *latencies {
	p.mu.Lock()
	defer p.mu.Unlock()
	had := p.now
	p.now = &latencies{cores: coresUsed()}
	return had
}

func (p *paced) end() {
	p.stop()
	p.wg.Wait()
}

// counted is clients of one node that increment, each a counter of its own, and
// look whether what they are told is what it must be.
type counted struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu       sync.Mutex // guards what follows
	commands int
	failed   int
	first    error
	longest  time.Duration // that one client waited for one answer
}

const (
	countedClients = 8
	countedPause   = time.Millisecond
)

func (g *grown) startCounted(ctx context.Context, name string, at int) (*counted, error) {
	ctx, stop := context.WithCancel(ctx)
	x := &counted{stop: stop}
	for i := range countedClients {
		c, err := g.dial(ctx, at, time.Now().Add(askTimeout))
		if err != nil {
			x.end()
			return nil, err
		}
		x.wg.Go(func() {
			defer c.Close()
			key := fmt.Sprintf("counted:%s:%d", name, i)
			for want := int64(1); sleep(ctx, countedPause) == nil; want++ {
				began := time.Now()
				_ = c.SetDeadline(began.Add(askTimeout))
				v, err := c.Do("INCR", key)
				switch {
				case err != nil:
				case v.IsError():
					err = errors.New(string(v.Str))
				case v.Int != want:
					err = fmt.Errorf("%s is %d after %d increments", key, v.Int, want)
				}
				if x.note(time.Since(began), err); err != nil {
					return
				}
			}
		})
	}
	return x, nil
}

func (x *counted) note(took time.Duration, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.commands++
	x.longest = max(x.longest, took)
	if err == nil {
		return
	}
	x.failed++
	if x.first == nil {
		x.first = err
	}
}

func (x *counted) end() {
	x.stop()
	x.wg.Wait()
}

// closedLoop is clients that send one pipeline after the other for a time, through
// the first nodes in turn, with or without TLS: a goroutine each, since the
// generator over epoll speaks no TLS.
func (g *grown) closedLoop(ctx context.Context, nodes int, j job) (*tally, error) {
	var mu sync.Mutex // guards total
	total := &tally{elapsed: j.measure}
	var wg sync.WaitGroup
	begin := time.Now().Add(j.warmup)
	end := begin.Add(j.measure)
	for i := range j.conns {
		wg.Go(func() {
			t, err := g.oneLoop(ctx, i, i%nodes, j, begin, end)
			mu.Lock()
			defer mu.Unlock()
			total.ops += t.ops
			total.latency.merge(&t.latency)
			if err != nil {
				total.fail(1, err)
			}
		})
	}
	wg.Wait()
	if total.errors > 0 {
		return total, total.first
	}
	return total, ctx.Err()
}

func (g *grown) oneLoop(ctx context.Context, client, at int, j job, begin, end time.Time) (t tally, err error) {
	c, err := g.dial(ctx, at, end.Add(askTimeout))
	if err != nil {
		return t, err
	}
	defer c.Close()
	v := newValues(uint64(client), valueLen)
	var out []byte
	for now := time.Now(); now.Before(end) && ctx.Err() == nil; {
		out = out[:0]
		for range j.pipeline {
			key := v.rand.IntN(j.keys)
			if j.work.write {
				out = appendSet(out, string(appendKey(nil, keyKind, key)), v.next())
			} else {
				out = appendGet(out, string(appendKey(nil, keyKind, key)))
			}
		}
		if _, err := c.Write(out); err != nil {
			return t, err
		}
		for range j.pipeline {
			r, err := c.Receive()
			if err != nil {
				return t, err
			}
			if r.IsError() {
				return t, errors.New(string(r.Str))
			}
		}
		done := time.Now()
		if now.After(begin) && done.Before(end) {
			t.ops += j.pipeline
			t.latency.addN(done.Sub(now), j.pipeline)
		}
		now = done
	}
	return t, nil
}

// perNode runs a job at each of the first nodes at once, with clients of its own, as
// clients of machines of their own would be, and adds up; each says what share of it
// a node has answered, and how much of a core it took.
func (g *grown) perNode(ctx context.Context, nodes int, j job) (total *tally, each []nodeFigure, err error) {
	tallies, errs, cores := make([]*tally, nodes), make([]error, 2*nodes), make([]time.Duration, nodes)
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			take := func(sign time.Duration) func() {
				return func() {
					used, err := cpuTime([]int{g.nodes[i].proc.pid()})
					cores[i], errs[nodes+i] = cores[i]+sign*used, errors.Join(errs[nodes+i], err)
				}
			}
			tallies[i], errs[i] = runRESP(ctx, []string{g.nodes[i].addr}, j, false, window{begin: take(-1), end: take(1)})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	total = &tally{elapsed: j.measure}
	for i, t := range tallies {
		// Each by its own time: the last replies may be late.
		total.ops += int(float64(t.ops) * j.measure.Seconds() / t.elapsed.Seconds())
		total.latency.merge(&t.latency)
		if t.errors > 0 {
			total.fail(t.errors, t.first)
		}
		each = append(each, nodeFigure{OpsPerS: float64(t.ops) / t.elapsed.Seconds(), Cores: cores[i].Seconds() / t.elapsed.Seconds()})
	}
	return total, each, nil
}
