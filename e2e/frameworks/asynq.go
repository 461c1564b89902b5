package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
)

const (
	jobType = "job" // of all
	delay   = 3 * time.Second
)

// queues are the queues of asynq, with their priorities.
var queues = map[string]int{"critical": 6, "default": 3, "low": 1}

var queueNames = []string{"critical", "default", "low"}

// asynqJobs is asynq, whose workers are this program.
type asynqJobs struct{}

func (asynqJobs) install(string) error { return nil }

func (asynqJobs) taken() int { return 0 }

func (asynqJobs) worker(t *trial, journal string) []string {
	return []string{t.self, workerWord, journal, t.gateway}
}

// work is a worker. args are the file that it writes to what it has executed, and the
// address of the gateway.
func work(args []string) int {
	redis.SetLogger(process.Quiet{})
	journal, err := os.OpenFile(args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer journal.Close()
	client := redis.NewClient(&redis.Options{Addr: args[1]})
	defer client.Close()
	server := asynq.NewServer(asynq.RedisClientOpt{Addr: args[1]}, asynq.Config{Concurrency: 8, Queues: queues, LogLevel: asynq.ErrorLevel,
		RetryDelayFunc:    func(int, error, *asynq.Task) time.Duration { return time.Second },
		TaskCheckInterval: 200 * time.Millisecond})
	mux := asynq.NewServeMux()
	mux.HandleFunc(jobType, func(ctx context.Context, t *asynq.Task) error {
		tried, _ := asynq.GetRetryCount(ctx)
		id := string(t.Payload())
		if number(id)%failEvery == 0 && tried == 0 {
			return errors.New("it fails at first")
		}
		if err := client.SAdd(ctx, effects, id).Err(); err != nil {
			return err // it is tried again
		}
		_, err := fmt.Fprintln(journal, id)
		return err
	})
	if err := server.Start(mux); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, os.Interrupt)
	<-ended
	server.Shutdown()
	return 0
}

func (asynqJobs) add(ctx context.Context, t *trial) (refused int, err error) {
	client := asynq.NewClient(asynq.RedisClientOpt{Addr: t.gateway})
	defer client.Close()
	for i := range t.jobs {
		id := fmt.Sprint(i)
		options := []asynq.Option{asynq.TaskID(id), asynq.Queue(queueNames[i%len(queueNames)]), asynq.MaxRetry(1000), asynq.Retention(time.Hour)}
		if i%delayEvery == 0 {
			options = append(options, asynq.ProcessIn(delay))
		}
		for {
			_, err := client.EnqueueContext(ctx, asynq.NewTask(jobType, []byte(id)), options...)
			if err == nil || errors.Is(err, asynq.ErrTaskIDConflict) {
				break
			}
			refused++
			if !process.Pause(ctx, 50*time.Millisecond) {
				return refused, ctx.Err()
			}
		}
	}
	return refused, nil
}

func (asynqJobs) left(_ context.Context, t *trial) (has remains, err error) {
	inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: t.gateway})
	defer inspector.Close()
	for _, q := range queueNames {
		info, err := inspector.GetQueueInfo(q)
		if err != nil {
			return remains{}, err
		}
		has.Open += info.Pending + info.Active + info.Scheduled + info.Retry
		has.Given += info.Archived
		has.Completed += info.Completed
	}
	return has, nil
}
