package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
)

// news is what two servers of Socket.IO report that tell each other of messages.
type news struct {
	Sent        int `json:"sent"`
	Heard       int `json:"heard"`
	Twice       int `json:"twice"`
	Unordered   int `json:"unordered"`
	LateMissing int `json:"late_missing"` // of those that were sent when all was well again
}

// judge says what was not as promised. A message is lost with the node by which it goes, as
// with Redis; through a gateway, whose own node nobody kills, all come.
func (n *news) judge(m mode) (err error) {
	wrong := func(format string, args ...any) { err = errors.Join(err, fmt.Errorf(format, args...)) }
	if n.Twice > 0 || n.Unordered > 0 {
		wrong("%d messages were heard twice, %d behind later ones", n.Twice, n.Unordered)
	}
	if m == modeGateway && n.Heard < n.Sent {
		wrong("%d of %d messages were heard", n.Heard, n.Sent)
	}
	if n.LateMissing > 0 {
		wrong("%d messages were not heard when all was well again", n.LateMissing)
	}
	if n.Sent < 100 || n.Heard < n.Sent/4 {
		wrong("%d of %d messages were heard: too little for a verdict", n.Heard, n.Sent)
	}
	return err
}

const (
	lockers   = 4
	lockLasts = 8 * time.Second
)

// locked is what was done under locks of redsync.
type locked struct {
	client             *redis.Client
	counted, uncertain atomic.Int64 // increments that are there, and that may be
	refused            atomic.Int64 // times that no lock was to be had
}

// count reads a counter under a lock and writes it back one higher, again and again: without
// the lock increments would be lost.
func (l *locked) count(ctx context.Context) {
	locks := redsync.New(goredis.NewPool(l.client))
	for process.Pause(ctx, pauseMS*time.Millisecond) {
		m := locks.NewMutex("app:web:lock", redsync.WithExpiry(lockLasts), redsync.WithTries(200), redsync.WithRetryDelay(20*time.Millisecond))
		if m.LockContext(ctx) != nil {
			if ctx.Err() == nil {
				l.refused.Add(1)
			}
			continue
		}
		if err := l.increment(); err != nil {
			l.uncertain.Add(1)
		} else {
			l.counted.Add(1)
		}
		_, _ = m.Unlock() // else it ends by itself
	}
}

func (l *locked) increment() error {
	ctx := context.Background()
	n, err := l.client.Get(ctx, "app:web:counter").Int()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	return l.client.Set(ctx, "app:web:counter", n+1, 0).Err()
}

// judge compares the counter with what was counted.
func (l *locked) judge() error {
	n, err := l.client.Get(context.Background(), "app:web:counter").Int64()
	if err != nil {
		return err
	}
	if counted, uncertain := l.counted.Load(), l.uncertain.Load(); n != counted || uncertain > 0 || counted < 100 {
		return fmt.Errorf("the counter is %d after %d increments under a lock of redsync, and %d that failed through a gateway", n, counted, uncertain)
	}
	return nil
}

// tryWeb has Socket.IO's servers talk to each other, and programs count under locks of
// redsync, while all nodes are killed.
func tryWeb(o options, binary, dir string) error {
	x := special{library: "node-redis", file: "socketio.js", run: "web", modes: []mode{modeNode, modeGateway}}
	return x.try(o, binary, dir, lockAndCount, func(l *load) error {
		var told news
		if err := l.end(&told); err != nil {
			return err
		}
		if wrong := told.judge(l.subject.mode); wrong != nil {
			return fmt.Errorf("Socket.IO: %w", wrong)
		}
		say("HELD: Socket.IO with its redis adapter (%s), %d nodes killed: %d of %d messages heard at another server, in order, none twice; all when the nodes were back",
			l.subject.mode, storageNodes, told.Heard, told.Sent)
		return nil
	})
}

// lockAndCount has programs count under locks of redsync, through the gateway.
func lockAndCount(ctx context.Context, c *cluster) error {
	locks := &locked{client: redis.NewClient(&redis.Options{Addr: c.addrs[gateway]})}
	defer locks.client.Close()
	var wg sync.WaitGroup
	for range lockers {
		wg.Go(func() { locks.count(ctx) })
	}
	wg.Wait()
	if wrong := locks.judge(); wrong != nil {
		return wrong
	}
	say("HELD: redsync (gateway), %d nodes killed: %d increments under its lock, none lost; %d times no lock was to be had", storageNodes, locks.counted.Load(), locks.refused.Load())
	return nil
}
