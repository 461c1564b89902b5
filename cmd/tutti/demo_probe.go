package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/resp"
)

// probe counts in one key through a few nodes without pause, and knows when it
// was not answered.
type probe struct {
	key  string
	quit atomic.Bool
	wg   sync.WaitGroup
	acks atomic.Int64

	// What follows belongs to the probe's goroutine until it has stopped.
	gap     time.Duration // the longest between two acknowledgements
	unknown int64
	broken  []string // answers that can't be right
}

const probeTimeout = 10 * time.Second

func startProbe(key string, nodes ...target) *probe {
	p := &probe{key: key}
	p.wg.Go(func() { p.run(nodes) })
	return p
}

func (p *probe) run(nodes []target) {
	conns := newClients(nodes, probeTimeout)
	defer conns.close()
	last, high := time.Now(), int64(0)
	for n := 0; !p.quit.Load(); n++ {
		replies, sent, err := conns.call(n%len(nodes), []string{"INCR", p.key})
		switch {
		case err != nil && !sent:
			time.Sleep(time.Millisecond)
		case err != nil:
			p.unknown++
		case replies[0].IsError():
			if !notApplied(replies[0]) {
				p.unknown++
			}
		case replies[0].Int <= high:
			p.broken = append(p.broken, fmt.Sprintf("INCR %s answered %d after %d", p.key, replies[0].Int, high))
		default:
			high = replies[0].Int
			p.gap, last = max(p.gap, time.Since(last)), time.Now()
			p.acks.Add(1)
		}
	}
	p.gap = max(p.gap, time.Since(last))
}

func notApplied(v resp.Value) bool { return bytes.Contains(v.Str, []byte("ot applied")) }

// stop ends the probe and compares what it was told with what is there.
func (p *probe) stop(at target) error {
	p.quit.Store(true)
	p.wg.Wait()
	conn, err := at.dial(dialTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	v, err := conn.do(probeTimeout, "GET", p.key)
	if err != nil {
		return err
	}
	n, _ := strconv.ParseInt(string(v.Str), 10, 64)
	if acks := p.acks.Load(); n < acks || n > acks+p.unknown {
		p.broken = append(p.broken, fmt.Sprintf("%s is %d: %d were acknowledged, of %d it was not told", p.key, n, acks, p.unknown))
	}
	return nil
}

// user is a client that reads and writes through one address and counts what
// fails.
type user struct {
	quit     atomic.Bool
	wg       sync.WaitGroup
	ops      int
	failures []string
}

func startUser(at target) *user {
	u := &user{}
	u.wg.Go(func() { u.run(at) })
	return u
}

func (u *user) run(at target) {
	conns := newClients([]target{at}, probeTimeout)
	defer conns.close()
	for n := 1; !u.quit.Load(); n++ {
		key, value := fmt.Sprint("user:", rand.IntN(100)), fmt.Sprint(n)
		replies, _, err := conns.call(0, []string{"SET", key, value})
		if err == nil && !replies[0].IsError() {
			replies, _, err = conns.call(0, []string{"GET", key})
		}
		u.ops += 2
		switch {
		case err != nil:
			u.failures = append(u.failures, err.Error())
		case replies[0].IsError():
			u.failures = append(u.failures, string(replies[0].Str))
		case string(replies[0].Str) != value:
			u.failures = append(u.failures, fmt.Sprintf("GET %s: %q, %q was set", key, replies[0].Str, value))
		}
	}
}

func (u *user) stop() {
	u.quit.Store(true)
	u.wg.Wait()
}

// readsPerSecond measures how many reads nodes answer, each asked by a few
// clients.
func readsPerSecond(nodes []target, d time.Duration) (int, error) {
	const clientsPerNode, batch = 2, 16
	var reads atomic.Int64
	errs := make(chan error, len(nodes)*clientsPerNode)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range nodes {
		for range clientsPerNode {
			wg.Go(func() {
				conns := newClients(nodes[i:i+1], probeTimeout)
				defer conns.close()
				commands := make([][]string, batch)
				for time.Since(began) < d {
					for k := range commands {
						commands[k] = []string{"GET", fmt.Sprint("user:", rand.IntN(100))}
					}
					if _, _, err := conns.call(0, commands...); err != nil {
						errs <- err
						return
					}
					reads.Add(batch)
				}
			})
		}
	}
	wg.Wait()
	close(errs)
	return int(float64(reads.Load()) / time.Since(began).Seconds()), <-errs
}
