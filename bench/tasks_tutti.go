package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"tutti"
)

// tuttiTasks is a queue of a cluster of three. Producers and handlers are spread over
// its nodes.
type tuttiTasks struct {
	*tuttiCluster
	clients []*redis.Client
	queue   int    // the cases have a queue each
	only    string // is worked off instead, if it is not ""
}

func startTuttiTasks(ctx context.Context, l *lab) (*tuttiTasks, error) {
	c, err := startTutti(ctx, l)
	if err != nil {
		return nil, err
	}
	t := &tuttiTasks{tuttiCluster: c}
	for _, addr := range c.addrs {
		t.clients = append(t.clients, redis.NewClient(&redis.Options{Addr: addr, PoolSize: taskProducers}))
	}
	return t, nil
}

func (t *tuttiTasks) task(ran func(payload []byte)) *tutti.Task[[]byte, []byte] {
	name := t.only
	if name == "" {
		name = fmt.Sprint("bench-", t.queue)
	}
	return tutti.NewTask(name, func(_ context.Context, payload []byte) ([]byte, error) {
		ran(payload)
		return nil, nil
	})
}

func (t *tuttiTasks) work(ctx context.Context, ran func(payload []byte)) (stop func(), err error) {
	t.queue++
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	for i, client := range t.clients {
		hands := taskHandlers / len(t.clients)
		if i < taskHandlers%len(t.clients) {
			hands++
		}
		workers.Go(func() {
			if err := tutti.Work(ctx, client, tutti.WorkConfig{Concurrency: hands, Ahead: taskAhead, Log: slog.New(slog.DiscardHandler)}, t.task(ran)); err != nil {
				fmt.Println("tutti: a worker ended:", err)
			}
		})
	}
	return func() { cancel(); workers.Wait() }, nil
}

func (t *tuttiTasks) add(ctx context.Context, producer int, payloads [][]byte) error {
	_, err := t.task(nil).AddAll(ctx, t.clients[producer%len(t.clients)], payloads, tutti.Options{})
	return err
}

func (t *tuttiTasks) cpu() (time.Duration, error) { return cpuTime(t.pids()) }

func (t *tuttiTasks) stop() {
	for _, c := range t.clients {
		c.Close()
	}
	t.tuttiCluster.stop()
}
