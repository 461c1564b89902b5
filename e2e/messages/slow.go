package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// slowLimits is what a subscriber may have waiting: 1 MiB, or 256 KiB for two seconds.
	// It is far less than what is published.
	slowLimits = "pubsub 1048576 262144 2"
	pieceSize  = 16 << 10
	pieces     = 300  // several times what is let wait, as the kernel takes some too
	slowWindow = 4096 // bytes that the kernel takes for who never reads
	cutTimeout = 30 * time.Second

	publishPause = 5 * time.Millisecond
)

// trySlow publishes to subscribers on all nodes of which one on each never reads.
func trySlow(ctx context.Context, t *trial) (found string, err error) {
	good := pick(t.short, 60, 1000)
	all, err := t.dialAll(ctx)
	if err != nil {
		return "", err
	}
	before, err := all[0].do("CONFIG", "GET", "client-output-buffer-limit")
	if err != nil {
		return "", err
	}
	defer func() {
		for _, c := range all {
			_, e := c.do("CONFIG", "SET", "client-output-buffer-limit", string(before.Elems[1].Str))
			err = errors.Join(err, e)
			c.close()
		}
	}()
	for _, c := range all {
		if _, err := c.do("CONFIG", "SET", "client-output-buffer-limit", slowLimits); err != nil {
			return "", err
		}
	}
	a := &audience{}
	defer a.close()
	if err := a.fill(ctx, t.dev.Addrs, good); err != nil {
		return "", err
	}
	beside := writeBeside(ctx, t.dev.Addrs[1])
	began := time.Now()
	want := int64(pieces) * int64(len(message()))
	read := a.read(want)
	for range pieces {
		if _, err := all[0].do("PUBLISH", "ch", strings.Repeat("x", pieceSize)); err != nil {
			return "", err
		}
		time.Sleep(publishPause) // so that who reads keeps up on a busy machine
	}
	if err := errors.Join(read(), a.judgeSlow(want)); err != nil {
		return "", err
	}
	took := time.Since(began)
	writes, err := beside()
	if err != nil {
		return "", err
	}
	heard, err := all[2].do("PUBSUB", "NUMSUB", "ch")
	if err != nil {
		return "", err
	}
	if n := heard.Elems[1].Int; n != int64(good) {
		return "", fmt.Errorf("PUBSUB NUMSUB says %d, %d are there", n, good)
	}
	return fmt.Sprintf("%d messages of %d KiB to %d subscribers on %d nodes in %.1f s: each got every byte; the one on each node that never reads was cut off; %s",
		pieces, pieceSize>>10, good, len(all), took.Seconds(), writes), nil
}

// audience is subscribers: good ones, which read whatever comes, and slow ones, which
// read nothing.
type audience struct {
	good, slow []*net.TCPConn
}

// fill has so many good ones subscribe, and one slow one at each node.
func (a *audience) fill(ctx context.Context, addrs []string, good int) error {
	for i := range good + len(addrs) {
		conn, err := subscribe(ctx, addrs[i%len(addrs)], i >= good)
		if err != nil {
			return err
		}
		if i < good {
			a.good = append(a.good, conn)
		} else {
			a.slow = append(a.slow, conn)
		}
	}
	return nil
}

// subscribe is the connection of one who has been told that it hears the channel.
func subscribe(ctx context.Context, addr string, slow bool) (*net.TCPConn, error) {
	var d net.Dialer
	if slow {
		d.Control = func(_, _ string, raw syscall.RawConn) error { // before it connects: the window is offered then
			var set error
			err := raw.Control(func(fd uintptr) {
				set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, slowWindow)
			})
			return errors.Join(err, set)
		}
	}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.TCPConn)
	if !ok {
		return nil, fmt.Errorf("a connection over TCP is %T", c)
	}
	if _, err := io.WriteString(conn, "*2\r\n$9\r\nSUBSCRIBE\r\n$2\r\nch\r\n"); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	_, err = io.ReadFull(conn, make([]byte, len("*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n")))
	return conn, err
}

// message is what is sent for each PUBLISH.
func message() string {
	return "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$" + strconv.Itoa(pieceSize) + "\r\n" + strings.Repeat("x", pieceSize) + "\r\n"
}

// read has the good ones read until they have so many bytes. The returned function waits
// for that.
func (a *audience) read(want int64) (wait func() error) {
	var wg sync.WaitGroup
	var short atomic.Int64
	for _, conn := range a.good {
		wg.Go(func() {
			_ = conn.SetReadDeadline(time.Now().Add(2 * answerTimeout))
			if n, _ := io.Copy(io.Discard, io.LimitReader(conn, want)); n != want {
				short.Add(1)
			}
		})
	}
	return func() error {
		wg.Wait()
		if n := short.Load(); n > 0 {
			return fmt.Errorf("%d of %d subscribers that read did not get all of the %d bytes", n, len(a.good), want)
		}
		return nil
	}
}

// judgeSlow says who of the slow ones was not cut off.
func (a *audience) judgeSlow(want int64) error {
	for i, conn := range a.slow {
		_ = conn.SetReadDeadline(time.Now().Add(cutTimeout))
		n, err := io.Copy(io.Discard, conn)
		if isTimeout(err) {
			return fmt.Errorf("the subscriber of node %d that did not read was not cut off: it still got %d of %d bytes", i+1, n, want)
		}
		if n >= want {
			return fmt.Errorf("the subscriber of node %d that did not read still got all of the %d bytes", i+1, n)
		}
	}
	return nil
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func (a *audience) close() {
	for _, conn := range append(a.good, a.slow...) {
		_ = conn.Close()
	}
}

// besides is what a client has done meanwhile.
type besides struct {
	n       int
	unknown int // writes that may have been applied: their leader left
	slowest time.Duration
}

func (b besides) String() string {
	s := fmt.Sprintf("%d writes of others meanwhile, the slowest %d ms", b.n, b.slowest.Milliseconds())
	if b.unknown > 0 {
		s += fmt.Sprintf(", %d of which it is unknown", b.unknown)
	}
	return s
}

// besidePause is between the writes of a client beside.
const besidePause = 5 * time.Millisecond

// writeBeside has a client write one value after another until the returned function is
// called.
func writeBeside(ctx context.Context, addr string) (end func() (besides, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var b besides
	done := make(chan error, 1)
	go func() {
		c, err := dial(context.WithoutCancel(ctx), addr, 2)
		if err != nil {
			done <- err
			return
		}
		defer c.close()
		for ctx.Err() == nil && err == nil {
			began := time.Now()
			_, err = c.do("SET", "beside:"+addr+":"+strconv.Itoa(b.n%50), "v")
			switch {
			case err == nil:
				b.n, b.slowest = b.n+1, max(b.slowest, time.Since(began))
			case leaderLeft(err.Error()):
				b.unknown, err = b.unknown+1, nil
			}
			time.Sleep(besidePause)
		}
		done <- err
	}()
	return func() (besides, error) {
		cancel()
		err := <-done
		if err == nil && b.n == 0 {
			err = errors.New("the client beside has written nothing")
		}
		return b, err
	}
}

// leaderLeft reports whether a command may have been applied, or not, as its leader left
// before it answered: on a machine that does other things as well that may happen.
func leaderLeft(text string) bool {
	return strings.HasPrefix(text, "UNCERTAIN") || strings.HasPrefix(text, "TRYAGAIN")
}
