package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"tutti/internal/proof/respclient"
)

// upkeepWriters are clients that write keys which nobody has written before, each through
// one node after the other, and note which were acknowledged.
type upkeepWriters struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu           sync.Mutex // guards what follows
	keys         []string   // acknowledged
	acknowledged int
	unknown      int
}

const (
	writersAtOnce = 4
	writeEvery    = 10 * time.Millisecond
	writeLimit    = 10 * time.Second // for an answer
	// lookBatch is how many keys are looked for at once.
	lookBatch = 500
)

func (u *upkeep) startWriters(ctx context.Context) *upkeepWriters {
	ctx, stop := context.WithCancel(ctx)
	w := &upkeepWriters{stop: stop}
	for i := range writersAtOnce {
		w.wg.Go(func() { w.write(ctx, u.g, i) })
	}
	return w
}

// write writes until ctx ends. With any error it goes on through the next node.
func (w *upkeepWriters) write(ctx context.Context, g *grown, client int) {
	var c *respclient.Conn
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	at := client
	for n := 0; sleep(ctx, writeEvery) == nil; n++ {
		if c == nil {
			at = (at + 1) % len(g.nodes)
			var err error
			if c, err = g.dialNow(ctx, at); err != nil {
				c = nil
				continue // it is down, or not yet there, or was removed
			}
		}
		key := fmt.Sprintf("kept:%d:%d", client, n)
		_ = c.SetDeadline(time.Now().Add(writeLimit))
		v, err := c.Do("SET", key, "v")
		w.note(key, err == nil && !v.IsError())
		if err != nil || v.IsError() {
			c.Close()
			c = nil
		}
	}
}

func (w *upkeepWriters) note(key string, acknowledged bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !acknowledged {
		w.unknown++
		return
	}
	w.acknowledged++
	w.keys = append(w.keys, key)
}

func (w *upkeepWriters) end() {
	w.stop()
	w.wg.Wait()
}

// dialNow connects to node i by the authorities in its folder as they are now.
func (g *grown) dialNow(ctx context.Context, i int) (*respclient.Conn, error) {
	trust, err := g.clientTrust(i)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	d := tls.Dialer{NetDialer: &net.Dialer{}, Config: trust}
	conn, err := d.DialContext(ctx, "tcp", g.nodes[i].addr)
	if err != nil {
		return nil, err
	}
	return respclient.New(conn), nil
}

// lookFor looks for all that was acknowledged, through each node in turn.
func (u *upkeep) lookFor(ctx context.Context, w *upkeepWriters) {
	lost := 0
	for n := 0; n < len(w.keys); n += lookBatch {
		keys := w.keys[n:min(n+lookBatch, len(w.keys))]
		at := u.in[n/lookBatch%len(u.in)]
		v, err := u.g.do(ctx, at, append([]string{"EXISTS"}, keys...)...)
		if err != nil {
			u.report.problem("look for what was acknowledged on %s: %v", u.g.nodes[at].name, err)
			return
		}
		lost += len(keys) - int(v.Int)
	}
	if lost > 0 {
		u.report.problem("%d of %d acknowledged writes are lost", lost, len(w.keys))
	}
}
