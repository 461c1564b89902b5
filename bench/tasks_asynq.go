package main

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
)

// asynqTasks is Asynq on one Redis that fsyncs each write before it answers: there is
// no second copy.
type asynqTasks struct {
	redis  *process
	addr   string
	client *asynq.Client
}

func startAsynq(ctx context.Context, l *lab) (*asynqTasks, error) {
	dir, err := l.clusterDir("asynq")
	if err != nil {
		return nil, err
	}
	port, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	a := &asynqTasks{addr: loopback(port)}
	a.redis, err = spawn(dir, "redis", l.binary["asynq"], "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", filepath.Clean(dir),
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0")
	if err != nil {
		return nil, err
	}
	if err := waitReady(ctx, "redis", []*process{a.redis}, func() error { _, err := respCall(a.addr, "PING"); return err }); err != nil {
		a.redis.stop()
		return nil, err
	}
	a.client = asynq.NewClient(asynq.RedisClientOpt{Addr: a.addr, PoolSize: taskProducers})
	return a, nil
}

func (a *asynqTasks) work(_ context.Context, ran func(payload []byte)) (stop func(), err error) {
	s := asynq.NewServer(asynq.RedisClientOpt{Addr: a.addr, PoolSize: 2 * taskHandlers},
		asynq.Config{Concurrency: taskHandlers, LogLevel: asynq.FatalLevel, TaskCheckInterval: 10 * time.Millisecond})
	err = s.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		ran(t.Payload())
		return nil
	}))
	return s.Shutdown, err
}

func (a *asynqTasks) add(ctx context.Context, _ int, payloads [][]byte) error {
	for _, p := range payloads {
		if _, err := a.client.EnqueueContext(ctx, asynq.NewTask("bench", p)); err != nil {
			return err
		}
	}
	return nil
}

func (a *asynqTasks) pids() []int { return []int{a.redis.pid()} }

func (a *asynqTasks) stop() {
	a.client.Close()
	a.redis.stop()
}
