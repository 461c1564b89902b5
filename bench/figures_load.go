package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"tutti/internal/proof/check"
)

// rollingRestart stops and starts every node in turn, the next when all take
// part again, while clients work through all nodes. It returns how many
// operations failed: an error reply, or no answer. An operation whose
// connection ended before the answer is sent once more, elsewhere, as client
// libraries do: a node that stops closes its connections.
func rollingRestart(ctx context.Context, m *measuring, f *figure) (float64, error) {
	all := len(m.b.nodes)
	rec := check.NewRecorder(check.Suite{}, 0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	halt := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer halt()
	var mu sync.Mutex // guards what follows
	total, again, failed := 0, 0, 0
	for id := range nemesisClients {
		s, err := m.b.system.session(m.b, m.b.addrs())
		if err != nil {
			return 0, err
		}
		wg.Go(func() {
			defer s.close()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(rand.N(thinkMax)):
				}
				cmd := check.Command("SET", fmt.Sprintf("roll:%d", id), fmt.Sprint(n))
				ok := s.do(rec, id, id%all, opTimeout, false, cmd)
				second := !ok
				for i := 1; !ok && i < all; i++ { // the next node may be the one that stops now
					ok = s.do(rec, id, (id+i)%all, opTimeout, false, cmd)
				}
				mu.Lock()
				total++
				if second {
					again++
				}
				if !ok {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	for i := range all {
		m.b.terminate(i)
		if err := m.b.start(i); err != nil {
			return 0, err
		}
		if err := m.b.ready(ctx); err != nil {
			return 0, err
		}
		if err := sleep(ctx, settle); err != nil {
			return 0, err
		}
	}
	halt()
	f.Note = fmt.Sprintf("last run: %d operations, %d met a closed connection and were sent again, %d failed; errors: %s",
		total, again, failed, counts(rec.Texts()))
	return float64(failed), nil
}

// Slow disks: how slow, and how long the effect is watched.
const (
	slowWrites = 4 // disk writes a second: an fsync then takes 0.25 s and more
	slowWatch  = 15 * time.Second
)

// slowDiskOfLeader makes the leader's disk slow and measures until leadership
// has left it. It notes what that does to the latency of writes.
func slowDiskOfLeader(ctx context.Context, m *measuring, f *figure) (float64, error) {
	leader, term, err := m.b.leaderNow(ctx)
	if err != nil {
		return 0, err
	}
	// A leader just elected does not judge its disk yet.
	if err := sleep(ctx, 5*time.Second); err != nil {
		return 0, err
	}
	probe, err := m.b.system.session(m.b, m.b.addrs())
	if err != nil {
		return 0, err
	}
	defer probe.close()
	other := m.b.others(leader)[0]
	before := writesFor(ctx, probe, other, 2*time.Second)
	pid := m.b.nodes[leader].pid()
	moves := m.watchMoves(ctx, term)
	defer moves()
	began := time.Now()
	if err := m.disks.slow(leader, pid, slowWrites); err != nil {
		return 0, err
	}
	defer func() { _ = m.disks.slow(leader, pid, 0) }() // else the next run fails anyway
	left := time.Duration(0)
	for left == 0 && time.Since(began) < slowWatch {
		if now, _, err := m.b.system.leader(ctx, m.b); err == nil && now != leader {
			left = time.Since(began)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
	}
	stayed := left == 0
	if stayed {
		left = time.Since(began)
	}
	if err := sleep(ctx, time.Until(began.Add(5*time.Second))); err != nil {
		return 0, err
	}
	after := writesFor(ctx, probe, other, 5*time.Second)
	f.MovesMax = max(f.MovesMax, moves())
	f.Note = fmt.Sprintf("last run: writes p99 %.0f ms before, %.0f ms from 5 s after", ms(before.quantile(0.99)), ms(after.quantile(0.99)))
	if stayed {
		f.Note += fmt.Sprintf("; leadership stayed for the %v watched", slowWatch)
	}
	return ms(left), nil
}

// writesFor measures the latency of one writer through one node for d.
func writesFor(ctx context.Context, s session, node int, d time.Duration) *histogram {
	var h histogram
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; {
		began := time.Now()
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		_ = s.put(attempt, node, "probe:latency", []byte("x")) // a failure shows as the time it took
		cancel()
		h.add(time.Since(began))
	}
	return &h
}
