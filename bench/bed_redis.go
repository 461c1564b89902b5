package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// redisSystem is a primary with replicas, every write fsynced before it is
// answered and acknowledged by WAIT 1. Without promote it is what it is in the
// comparison: a lost primary is a lost system until it comes back. With it, a
// primary that does not answer is replaced by the replica that is furthest, as
// Sentinel does, and clients read from every node.
type redisSystem struct {
	promote bool

	primary atomic.Int32
	term    atomic.Uint64      // counts promotions
	stop    context.CancelFunc // of guard; nil: never started
	wg      sync.WaitGroup
	routes  []string // by node: where its peers reach it
}

func (r *redisSystem) traits() traits {
	return traits{finalNodes: r.promote, elects: r.promote}
}

func (r *redisSystem) place(b *bed) error {
	for i, n := range b.nodes {
		route, err := b.net.Listen("127.0.0.1:0", n.host, n.addr, b.whose)
		if err != nil {
			return err
		}
		r.routes = append(r.routes, route)
		if err := os.MkdirAll(n.dir, 0o755); err != nil {
			return err
		}
		port := n.addr[strings.LastIndexByte(n.addr, ':')+1:]
		n.args = []string{
			"--port", port, "--bind", "127.0.0.1", "--dir", n.dir, "--appendonly", "yes", "--appendfsync", "always",
			"--save", "", "--auto-aof-rewrite-percentage", "0", "--repl-diskless-sync-delay", "0",
			"--repl-timeout", "5", "--repl-ping-replica-period", "1",
		}
		if i > 0 {
			n.args = append(n.args, "--replicaof", hostPort(r.routes[0]))
		}
	}
	if r.promote {
		ctx, cancel := context.WithCancel(context.Background())
		r.stop = cancel
		r.wg.Go(func() { r.guard(ctx, b) })
	}
	return nil
}

func (r *redisSystem) end() {
	if r.stop != nil {
		r.stop()
	}
	r.wg.Wait()
}

func hostPort(addr string) string { return strings.Replace(addr, ":", " ", 1) }

func (r *redisSystem) leader(ctx context.Context, b *bed) (int, uint64, error) {
	i := int(r.primary.Load())
	_, err := askRESP(ctx, b.nodes[i].addr, "PING")
	return i, r.term.Load(), err
}

func (r *redisSystem) probe(ctx context.Context, b *bed, i int) error {
	v, err := askRESP(ctx, b.nodes[i].addr, "INFO", "replication")
	if err != nil {
		return err
	}
	if i != int(r.primary.Load()) && field(string(v.Str), "master_link_status") != "up" {
		return fmt.Errorf("it does not follow the primary")
	}
	return nil
}

func field(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (r *redisSystem) session(_ *bed, addrs []string) (session, error) {
	s := newRESPSession(addrs)
	s.copies = 1
	s.route = func(node int, writes bool) int {
		if writes || !r.promote {
			return int(r.primary.Load())
		}
		return node
	}
	return s, nil
}

func (r *redisSystem) equal(context.Context, *bed) error { return nil }

// guardMissed is how many questions in a row a primary may leave unanswered.
const guardMissed = 2

// guard does what Sentinel does.
func (r *redisSystem) guard(ctx context.Context, b *bed) {
	missed := 0
	for sleep(ctx, 300*time.Millisecond) == nil {
		now := int(r.primary.Load())
		if _, err := askRESP(ctx, b.nodes[now].addr, "PING"); err == nil {
			missed = 0
			r.follow(ctx, b, now)
			continue
		}
		if missed++; missed < guardMissed {
			continue
		}
		if next := r.furthest(ctx, b, now); next >= 0 {
			if _, err := askRESP(ctx, b.nodes[next].addr, "REPLICAOF", "NO", "ONE"); err == nil {
				r.primary.Store(int32(next))
				r.term.Add(1)
				missed = 0
			}
		}
	}
}

// furthest returns the replica with the largest offset, -1 if none answers.
func (r *redisSystem) furthest(ctx context.Context, b *bed, primary int) (best int) {
	best = -1
	most := int64(-1)
	for _, i := range b.others(primary) {
		v, err := askRESP(ctx, b.nodes[i].addr, "INFO", "replication")
		if err != nil {
			continue
		}
		offset, err := strconv.ParseInt(field(string(v.Str), "slave_repl_offset"), 10, 64)
		if err == nil && offset > most {
			best, most = i, offset
		}
	}
	return best
}

// follow points every node at the primary; a former one comes back as such.
func (r *redisSystem) follow(ctx context.Context, b *bed, primary int) {
	to := r.routes[primary]
	host, port, _ := strings.Cut(to, ":")
	for _, i := range b.others(primary) {
		v, err := askRESP(ctx, b.nodes[i].addr, "INFO", "replication")
		if err != nil || field(string(v.Str), "master_port") == port {
			continue
		}
		_, _ = askRESP(ctx, b.nodes[i].addr, "REPLICAOF", host, port) // asked again soon
	}
}
