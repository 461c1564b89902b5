// Package tutti adds and handles tasks of a tutti cluster from Go.
//
// A [Task] is a queue with the type of what goes in and of what comes out. Programs
// add work with [Task.Add] and wait for its result with [Job.Wait]; workers, on any
// machine, are made with [Work]. What goes in and comes out is JSON; a []byte is
// taken as it is, which is how workers in other languages see it best.
//
// A handler may run more than once: its worker may die after the work and before the
// result is recorded. The result is recorded once, whoever else comes later.
//
// The connection is a client of go-redis, with all that it knows: TLS, users,
// Sentinel. What it tries again is its own matter but for what may not be repeated:
// adding without a unique key, and claiming.
package tutti

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Task is a queue and what is done with its tasks. It is made by NewTask, and not
// changed once it is in use.
type Task[In, Out any] struct {
	// Queue is the name of the queue, of 1 to 128 bytes.
	Queue string
	// Defaults are what Add takes where its own options say nothing. Workers take
	// Timeout from here, too: see Options.
	Defaults Options

	handle func(context.Context, In) (Out, error)
}

// NewTask returns the task of a queue. A program that only adds may give a nil
// handler.
//
// The handler's context ends when the result would be refused: the lease is lost, the
// task is cancelled, or its time is over; [context.Cause] says which. An error ends
// the attempt: there is another one later, unless it is made by [Dead] or there have
// been as many as Options.Retries allows. A panic is an error, too.
func NewTask[In, Out any](queue string, handle func(context.Context, In) (Out, error)) *Task[In, Out] {
	return &Task[In, Out]{Queue: queue, handle: handle}
}

// Errors that say how a task stands.
var (
	// ErrCancelled is how a task ended that somebody has cancelled.
	ErrCancelled = errors.New("the task was cancelled")
	// ErrUnknown is told of a task that never was, or ended so long ago that its
	// record is gone.
	ErrUnknown = errors.New("there is no such task")
	// ErrLost is the cause that ends a handler's context: the task is not this
	// worker's any more, or can't be known to be.
	ErrLost = errors.New("the task was taken from this worker")
	// ErrStopped is the cause that ends a handler's context when its worker has no
	// more time to drain.
	ErrStopped = errors.New("the worker stops")
)

// DeadError is how a task ended that was given up: its last attempt failed, or what it
// was to wait for did.
type DeadError struct {
	ID     string
	Errors []string // of its last attempts, the newest at the end
}

func (e *DeadError) Error() string {
	if len(e.Errors) == 0 {
		return fmt.Sprintf("task %s is dead", e.ID)
	}
	return fmt.Sprintf("task %s is dead: %s", e.ID, e.Errors[len(e.Errors)-1])
}

// encode returns what stands for a value in the cluster.
func encode[T any](v T) ([]byte, error) {
	if b, ok := any(v).([]byte); ok {
		return b, nil
	}
	return json.Marshal(v)
}

// decode is the inverse of encode.
func decode[T any](b []byte) (v T, err error) {
	if raw, ok := any(&v).(*[]byte); ok {
		*raw = b
		return v, nil
	}
	err = json.Unmarshal(b, &v)
	return v, err
}
