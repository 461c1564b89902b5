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
	server, port, err := startDurableRedis(ctx, dir, l.binary["asynq"])
	if err != nil {
		return nil, err
	}
	a := &asynqTasks{redis: server, addr: loopback(port)}
	a.client = asynq.NewClient(asynq.RedisClientOpt{Addr: a.addr, PoolSize: taskProducers})
	return a, nil
}

// startDurableRedis starts a Redis that fsyncs each write before it answers.
func startDurableRedis(ctx context.Context, dir, binary string) (*process, int, error) {
	port, err := freePorts(1)
	if err != nil {
		return nil, 0, err
	}
	p, err := spawn(dir, "redis", binary, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", filepath.Clean(dir),
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0")
	if err != nil {
		return nil, 0, err
	}
	if err := waitReady(ctx, "redis", []*process{p}, func() error { _, err := respCall(loopback(port), "PING"); return err }); err != nil {
		p.stop()
		return nil, 0, err
	}
	return p, port, nil
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

func (a *asynqTasks) cpu() (time.Duration, error) { return cpuTime([]int{a.redis.pid()}) }

func (a *asynqTasks) stop() {
	a.client.Close()
	a.redis.stop()
}
