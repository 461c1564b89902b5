package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"syscall"
	"time"
)

// The load generator shares two cores with the servers it measures, so it must
// cost less than they do. A goroutine per connection pays a park and a wake-up
// for each reply; this loop is one thread over epoll with two system calls per
// pipeline, the way redis-benchmark works.

// respLoad is one generator: clients in a closed loop, each with one pipeline
// in flight, each pipeline through one of the client's connections.
type respLoad struct {
	job       job
	barrier   bool       // end each pipeline with WAIT
	next      func() int // the number of the next key
	done      int        // operations sent so far
	values    *values
	conns     []*respConn // by client*nodes + node
	nodes     int
	byFD      map[int32]*respConn
	epoll     int
	out, key  []byte // of the pipeline that is being written
	tally     tally
	measuring bool
	stopping  bool
	inFlight  int
}

// respConn is one connection; at most one of a client's has a pipeline in
// flight.
type respConn struct {
	fd     int
	client int
	in     []byte // received, not yet parsed
	unsent []byte // of the pipeline that was sent
	waits  bool   // for room in the socket
	sent   time.Time
	left   int // replies still to come; 0 means idle
	bad    int // of this pipeline: operations not acknowledged
}

// runRESP runs a job against the given addresses and closes its connections.
func runRESP(ctx context.Context, addrs []string, j job, barrier bool, w window) (*tally, error) {
	l := &respLoad{
		job: j, barrier: barrier, values: newValues(uint64(j.conns), j.work.size), nodes: len(addrs),
		byFD: map[int32]*respConn{}, epoll: -1,
	}
	l.values.keys = j.work.keysOf(j.keys)
	l.next = func() int { return l.values.rand.IntN(l.values.keys) }
	if j.work.fresh {
		// No two cases of a cluster meet: each begins somewhere else.
		key := rand.IntN(freshKeys)
		l.next = func() int { key++; return key % freshKeys }
	}
	if err := l.open(addrs); err != nil {
		l.close()
		return nil, err
	}
	defer l.close()
	return &l.tally, l.run(ctx, w)
}

// freshKeys are the numbers of keys that are never there.
const freshKeys = 1e12

// fillRESP writes every key of a workload once.
func fillRESP(ctx context.Context, addr string, w workload, keys int, barrier bool) error {
	const conns, bytes = 16, 16 << 10
	filling := w.filling()
	if filling == nil {
		return nil
	}
	keys = w.keysOf(keys)
	l := &respLoad{
		job:     job{work: *filling, conns: min(conns, keys), pipeline: max(1, min(128, bytes/(1+w.size))), keys: keys, measure: time.Hour},
		barrier: barrier, values: newValues(0, w.size), nodes: 1, byFD: map[int32]*respConn{}, epoll: -1,
	}
	l.values.keys = keys
	key := 0
	l.next = func() int {
		key++
		l.stopping = key >= keys
		return (key - 1) % keys
	}
	if err := l.open([]string{addr}); err != nil {
		l.close()
		return err
	}
	defer l.close()
	if err := l.run(ctx, window{begin: func() {}, end: func() {}}); err != nil {
		return err
	}
	if l.tally.errors > 0 {
		return fmt.Errorf("writing %d keys to %s: %d were not acknowledged; the first: %w", keys, addr, l.tally.errors, l.tally.first)
	}
	return nil
}

func (l *respLoad) open(addrs []string) error {
	var err error
	if l.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for client := range l.job.conns {
		for _, addr := range addrs {
			fd, err := dialRaw(addr)
			if err != nil {
				return err
			}
			c := &respConn{fd: fd, client: client, in: make([]byte, 0, 4096)}
			l.conns = append(l.conns, c)
			l.byFD[int32(fd)] = c
			event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
			if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
				return fmt.Errorf("epoll: %w", err)
			}
		}
	}
	return nil
}

// dialRaw connects outside Go's netpoller, which would wake a goroutine for
// every event of the descriptor as well.
func dialRaw(addr string) (int, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return 0, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("connect to %s: %w", addr, err)
	}
	to := syscall.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())}
	err = syscall.Connect(fd, &to)
	if err == nil {
		err = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}
	if err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		_ = syscall.Close(fd)
		return 0, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return fd, nil
}

func (l *respLoad) close() {
	for _, c := range l.conns {
		_ = syscall.Close(c.fd)
	}
	if l.epoll >= 0 {
		_ = syscall.Close(l.epoll)
	}
}

// drainMax bounds the wait for the last replies: longer than any failover.
const drainMax = 15 * time.Second

func (l *respLoad) run(ctx context.Context, w window) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := time.Now()
	begin := start.Add(l.job.warmup)
	end := begin.Add(l.job.measure)
	for client := range l.job.conns {
		if l.stopping {
			break
		}
		if err := l.send(client); err != nil {
			return err
		}
	}
	events := make([]syscall.EpollEvent, 256)
	for l.inFlight > 0 {
		n, err := syscall.EpollWait(l.epoll, events, 100)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !l.measuring && !l.stopping && now.After(begin):
			l.measuring = true
			begin = now
			w.begin()
		case l.measuring && now.After(end):
			l.measuring, l.stopping = false, true
			l.tally.elapsed = now.Sub(begin)
			w.end()
		case now.After(end.Add(drainMax)):
			return fmt.Errorf("%d pipelines were not answered within %v; %d errors before, the first: %w",
				l.inFlight, drainMax, l.tally.errors, orNone(l.tally.first))
		}
		for _, e := range events[:max(n, 0)] {
			c := l.byFD[e.Fd]
			if e.Events&syscall.EPOLLOUT != 0 {
				if err := l.push(c); err != nil {
					return err
				}
			}
			if err := l.receive(c, now); err != nil {
				return err
			}
		}
	}
	if l.measuring { // a fill ends by itself
		l.tally.elapsed = time.Since(begin)
		w.end()
	}
	return nil
}

// send puts the client's next pipeline on one of its connections.
func (l *respLoad) send(client int) error {
	c := l.conns[client*l.nodes]
	if l.nodes > 1 {
		c = l.conns[client*l.nodes+rand.IntN(l.nodes)]
	}
	l.out = l.out[:0]
	work := &l.job.work
	for range l.job.pipeline {
		l.key = appendKey(l.key[:0], work.kind, l.next())
		l.out = work.send(l.out, string(l.key), &operation{n: l.done, values: l.values})
		l.done++
	}
	c.left, c.bad = l.job.pipeline, 0
	if l.barrier && work.write {
		l.out = appendWait(l.out)
		c.left++
	}
	c.sent = time.Now()
	l.inFlight++
	c.unsent = append(c.unsent[:0], l.out...)
	return l.push(c)
}

// push hands the socket what it takes of a pipeline. Of values of a mebibyte it takes a
// part; the rest goes when it says that there is room.
func (l *respLoad) push(c *respConn) error {
	n, err := syscall.Write(c.fd, c.unsent)
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("send: %w", err)
	}
	was := c.waits
	c.unsent = c.unsent[max(n, 0):]
	if c.waits = len(c.unsent) > 0; c.waits == was {
		return nil
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)}
	if c.waits {
		event.Events |= syscall.EPOLLOUT
	}
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_MOD, c.fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// receive reads what has come on a connection and, when its pipeline is
// answered, sends the client's next one.
func (l *respLoad) receive(c *respConn, now time.Time) error {
	if cap(c.in)-len(c.in) < 1024 {
		c.in = append(make([]byte, 0, 2*cap(c.in)), c.in...)
	}
	n, err := syscall.Read(c.fd, c.in[len(c.in):cap(c.in)])
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("receive: %w", err)
	case n == 0:
		return errors.New("receive: the server closed the connection")
	}
	c.in = c.in[:len(c.in)+n]
	used := 0
	for c.left > 0 {
		r, n, err := parseReply(c.in[used:])
		if errors.Is(err, errIncomplete) {
			break
		}
		if err != nil {
			return err
		}
		used += n
		c.left--
		l.check(c, r)
	}
	c.in = c.in[:copy(c.in, c.in[used:])]
	if c.left > 0 {
		return nil
	}
	l.inFlight--
	if good := l.job.pipeline - min(c.bad, l.job.pipeline); l.measuring {
		l.tally.ops += good
		l.tally.latency.addN(now.Sub(c.sent), good)
	} else {
		l.tally.others += good
	}
	if l.stopping {
		return nil
	}
	return l.send(c.client)
}

// check counts an operation as failed whose reply is not the acknowledgement
// it should be. A barrier that did not reach a second copy fails its pipeline.
func (l *respLoad) check(c *respConn, r reply) {
	if l.barrier && l.job.work.write && c.left == 0 {
		if r.kind != ':' || string(r.text) == "0" {
			c.bad = l.job.pipeline
			l.tally.fail(l.job.pipeline, fmt.Errorf("WAIT answered %q: no second copy within a second", r.text))
		}
		return
	}
	switch {
	case l.job.work.good(r):
	case r.kind == '-':
		c.bad++
		l.tally.fail(1, errors.New(string(r.text)))
	case r.null:
		c.bad++
		l.tally.fail(1, errors.New("nothing found under a key that was written"))
	default:
		c.bad++
		l.tally.fail(1, fmt.Errorf("unexpected reply %c%.40q", r.kind, r.text))
	}
}
