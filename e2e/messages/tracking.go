package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"time"

	"tutti/e2e/process"
)

// modes are the ways in which a client asks to be told; redirectMode speaks version 2,
// and is told on another connection.
var modes = [][]string{{}, {"BCAST", "PREFIX", "t:"}, {"OPTIN"}, {"OPTOUT"}, {"NOLOOP"}, {"BCAST", "PREFIX", "t:", "NOLOOP"}, {redirectMode}}

const (
	redirectMode = "REDIRECT"
	trackedKeys  = 60
	writers      = 3

	writePause = 2 * time.Millisecond
	readPause  = 10 * time.Millisecond
	againPause = 200 * time.Millisecond
)

// tryTracking has caches on all nodes in all modes while values change and leaders die.
func tryTracking(ctx context.Context, t *trial) (string, error) {
	kills, between := pick(t.short, 1, 3), pick(t.short, 1500*time.Millisecond, 10*time.Second)
	// What caches have not been told by then of the last write they are not told at all: a
	// source that shows nothing counts for 3 s.
	settle := pick(t.short, 4*time.Second, 8*time.Second)
	l := newLedger(t.dev.Addrs)
	var caches []*cache
	for _, mode := range modes {
		for node, addr := range t.dev.Addrs {
			caches = append(caches, &cache{mode: mode, node: node, addr: addr, ledger: l, kept: map[string]int{}})
		}
	}
	reading, stopReading := context.WithCancel(ctx)
	writing, stopWriting := context.WithCancel(ctx)
	var readers, pens sync.WaitGroup
	for _, c := range caches {
		readers.Go(func() { c.run(reading) })
	}
	for i := range writers {
		pens.Go(func() { l.write(writing, i) })
	}
	err := killLeaders(ctx, t, kills, between)
	stopWriting()
	pens.Wait()
	process.Pause(ctx, settle)
	stopReading()
	readers.Wait()
	if err = errors.Join(err, ctx.Err()); err != nil {
		return "", err
	}
	return judgeCaches(ctx, l, caches, kills)
}

// killLeaders kills so many leaders, with a pause before each and behind the last one.
func killLeaders(ctx context.Context, t *trial, kills int, between time.Duration) error {
	for range kills {
		process.Pause(ctx, between)
		leader, pids, err := t.dev.Nodes(ctx)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pids[leader], syscall.SIGKILL); err != nil {
			return err
		}
	}
	process.Pause(ctx, between)
	_, _, err := t.dev.Nodes(ctx) // until all are up again
	return err
}

// ledger is what was written. The values of a key grow.
type ledger struct {
	addrs []string

	mu    sync.Mutex
	acked map[string]int
	n     int // writes that were acknowledged
}

func newLedger(addrs []string) *ledger { return &ledger{addrs: addrs, acked: map[string]int{}} }

func trackedKey(i int) string { return "t:" + strconv.Itoa(i) }

// write writes keys that no other writer has, through one node until that fails.
func (l *ledger) write(ctx context.Context, writer int) {
	var c *conn
	for value := 1; ctx.Err() == nil; value++ {
		var err error
		if c == nil {
			if c, err = dial(context.WithoutCancel(ctx), l.addrs[rand.IntN(len(l.addrs))], 2); err != nil {
				process.Pause(ctx, againPause)
				continue
			}
		}
		key := trackedKey(rand.IntN(trackedKeys/writers)*writers + writer)
		if _, err = c.do("SET", key, strconv.Itoa(value)); err != nil {
			c.close()
			c = nil
			continue
		}
		l.mu.Lock()
		l.acked[key] = value
		l.n++
		l.mu.Unlock()
		time.Sleep(writePause)
	}
	if c != nil {
		c.close()
	}
}

// floor is the newest value of a key that was acknowledged.
func (l *ledger) floor(key string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked[key]
}

// judgeCaches compares what the caches hold in the end with what is there.
func judgeCaches(ctx context.Context, l *ledger, caches []*cache, kills int) (string, error) {
	c, err := dial(ctx, l.addrs[0], 2)
	if err != nil {
		return "", err
	}
	defer c.close()
	last := make(map[string]int)
	for i := range trackedKeys {
		v, err := c.do("GET", trackedKey(i))
		if err != nil {
			return "", err
		}
		last[trackedKey(i)], _ = strconv.Atoi(string(v.Str))
		if last[trackedKey(i)] < l.floor(trackedKey(i)) {
			return "", fmt.Errorf("%s is %d, %d was acknowledged", trackedKey(i), last[trackedKey(i)], l.floor(trackedKey(i)))
		}
	}
	var reads, hits, told, flushes, lost, owns, echoes int
	for _, x := range caches {
		if err := x.judge(last); err != nil {
			return "", fmt.Errorf("the cache of mode %v at node %d: %w", x.mode, x.node+1, err)
		}
		if x.noLoop() {
			v, err := c.do("GET", x.ownKey())
			if err == nil {
				err = x.judgeOwn(string(v.Str))
			}
			if err != nil {
				return "", fmt.Errorf("the cache of mode %v at node %d: %w", x.mode, x.node+1, err)
			}
			owns, echoes = owns+x.mine.writes, echoes+x.mine.echoes
		}
		reads, hits, told, flushes, lost = reads+x.reads, hits+x.hits, told+x.told, flushes+x.flushes, lost+x.lost
	}
	if l.n < 100 {
		return "", fmt.Errorf("%d writes are too few for a verdict", l.n)
	}
	return fmt.Sprintf("%d caches in %d modes on %d nodes, %d leaders killed: of %d writes, %d reads and %d values from memory no read was too old, and no cache holds an old value in the end (%d invalidations, told %d times to forget all, %d connections lost); of %d writes of caches with NOLOOP they were told of %d",
		len(caches), len(modes), len(l.addrs), kills, l.n, reads, hits, told, flushes, lost, owns, echoes), nil
}
