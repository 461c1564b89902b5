package tutti

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Options say when and how a task is to run. The zero value is a task that may run at
// once.
type Options struct {
	Delay    time.Duration // the task runs no earlier than this after it was added,
	At       time.Time     // or than this
	Priority *int          // 0 runs first, 9 last; nil: 5
	Retries  *int          // attempts that may fail before the last one; nil: 10
	// BackoffMin and BackoffMax bound the time to the next attempt, which doubles
	// with each; zero: a second and an hour.
	BackoffMin, BackoffMax time.Duration
	// Timeout is how long an attempt may take; zero: without end. A worker learns it
	// with the next sign of life if Add says it, and to the millisecond if it is
	// in the Defaults of its Task.
	Timeout time.Duration
	TTL     time.Duration // within which an attempt must begin; zero: without end
	// Unique: if there is a task of the queue with this key that has not ended, Add
	// adds nothing and returns that one.
	Unique string
	Key    string   // tasks of one key run one after the other, in their order
	Near   string   // the key of the data that the task is about
	After  []string // ids of the tasks that must be done before
	// Keep is how long the record of a task is kept that is done, KeepFailed of one
	// that ended otherwise; zero: an hour and a week.
	Keep, KeepFailed time.Duration
}

// over returns o, with what it does not say taken from d.
func (o Options) over(d Options) Options {
	return Options{
		Delay: or(o.Delay, d.Delay), At: or(o.At, d.At), Priority: or(o.Priority, d.Priority), Retries: or(o.Retries, d.Retries),
		BackoffMin: or(o.BackoffMin, d.BackoffMin), BackoffMax: or(o.BackoffMax, d.BackoffMax),
		Timeout: or(o.Timeout, d.Timeout), TTL: or(o.TTL, d.TTL), Unique: or(o.Unique, d.Unique), Key: or(o.Key, d.Key), Near: or(o.Near, d.Near),
		After: append(o.After[:len(o.After):len(o.After)], d.After...), Keep: or(o.Keep, d.Keep), KeepFailed: or(o.KeepFailed, d.KeepFailed),
	}
}

func or[T comparable](said, otherwise T) T {
	var zero T
	if said != zero {
		return said
	}
	return otherwise
}

// Defaults of the cluster that must be named when one of two is said.
const (
	backoffMinDefault = time.Second
	backoffMaxDefault = time.Hour
)

// arguments are the options as TASK.ADD takes them.
func (o Options) arguments() (args []any) {
	say := func(name string, d time.Duration) {
		if d != 0 {
			args = append(args, name, milliseconds(d))
		}
	}
	word := func(name, s string) {
		if s != "" {
			args = append(args, name, s)
		}
	}
	switch {
	case !o.At.IsZero():
		args = append(args, "AT", o.At.UnixMilli())
	default:
		say("IN", o.Delay)
	}
	if o.Priority != nil {
		args = append(args, "PRIO", *o.Priority)
	}
	if o.Retries != nil {
		args = append(args, "RETRY", *o.Retries)
	}
	if o.BackoffMin != 0 || o.BackoffMax != 0 {
		least := or(o.BackoffMin, min(backoffMinDefault, or(o.BackoffMax, backoffMaxDefault)))
		most := or(o.BackoffMax, max(backoffMaxDefault, least))
		args = append(args, "BACKOFF", milliseconds(least), milliseconds(most))
	}
	say("TIMEOUT", o.Timeout)
	say("TTL", o.TTL)
	say("KEEP", o.Keep)
	say("KEEPFAILED", o.KeepFailed)
	word("UNIQUE", o.Unique)
	word("KEY", o.Key)
	word("NEAR", o.Near)
	if len(o.After) > 0 {
		args = append(args, "AFTER", len(o.After))
		for _, id := range o.After {
			args = append(args, id)
		}
	}
	return args
}

// milliseconds rounds up: a time must not become shorter, or nothing.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// Add adds a task; once it returns without an error, the task will end. An error may
// come of a task that was added all the same, if the connection broke: only with a
// unique key it is safe to add again.
func (t *Task[In, Out]) Add(ctx context.Context, c *redis.Client, in In, o Options) (Job[Out], error) {
	jobs, err := t.AddAll(ctx, c, []In{in}, o)
	if err != nil {
		return Job[Out]{}, err
	}
	return jobs[0], nil
}

// addedMax bounds the tasks of one command.
const addedMax = 1000

// AddAll adds up to 1,000 tasks with the same options, all or none, and returns them
// in the order of what goes into them.
func (t *Task[In, Out]) AddAll(ctx context.Context, c *redis.Client, in []In, o Options) ([]Job[Out], error) {
	switch {
	case len(in) == 0:
		return nil, nil
	case len(in) > addedMax:
		return nil, fmt.Errorf("add %d tasks to queue %s: at most %d at once", len(in), t.Queue, addedMax)
	}
	args := []any{"TASK.ADD", t.Queue, "COUNT", len(in)}
	for i := range in {
		payload, err := encode(in[i])
		if err != nil {
			return nil, fmt.Errorf("add a task to queue %s: %w", t.Queue, err)
		}
		args = append(args, payload)
	}
	o = o.over(t.Defaults)
	ids, err := call(ctx, c, o.Unique == "", append(args, o.arguments()...)...).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("add to queue %s: %w", t.Queue, err)
	}
	jobs := make([]Job[Out], len(ids))
	for i, id := range ids {
		jobs[i] = Job[Out]{ID: id, client: c}
	}
	return jobs, nil
}

// once is a command that the client does not send again: it may have been executed.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

// call executes a command; single: once at most.
func call(ctx context.Context, c *redis.Client, single bool, args ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, args...)
	if single {
		_ = c.Process(ctx, once{cmd}) // the error is the command's, too
	} else {
		_ = c.Process(ctx, cmd)
	}
	return cmd
}
