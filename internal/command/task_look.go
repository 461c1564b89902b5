package command

import (
	"strconv"

	"tutti/internal/task"
)

func taskGet(c *Ctx) {
	queue, ref, ok := taskID(c, 1)
	if !ok {
		return
	}
	wait := false
	switch n := len(c.Args); {
	case n == 2:
	case n == 4 && c.is(2, "WAIT"):
		if _, ok := taskNumber(c, 3, 0, durationMax); !ok {
			return
		}
		wait = true
	default:
		c.Error(TextSyntax)
		return
	}
	t, payload := task.Get(c.Tx, queue, ref)
	switch {
	case t == nil:
		c.Null()
	case wait && !t.State.Ended():
		c.Null()
		c.Wait(task.Topic(ref))
	default:
		writeTask(c, t, payload)
	}
}

// writeTask answers with the fields of a task. Times are Unix times in milliseconds
// of the shard; 0: not yet.
func writeTask(c *Ctx, t *task.Task, payload []byte) {
	number := func(name string, n int64) {
		c.BulkString(name)
		c.Int(n)
	}
	bulk := func(name string, b []byte) {
		c.BulkString(name)
		c.Bulk(b)
	}
	c.Map(23)
	bulk("id", task.AppendID(nil, t.Queue, t.Ref))
	bulk("queue", t.Queue)
	bulk("state", []byte(t.State.String()))
	number("prio", int64(t.Prio))
	number("attempt", int64(t.Attempt))
	number("failures", int64(t.Failures))
	number("retries", int64(t.Retries))
	number("crashes", int64(t.Crashes))
	bulk("worker", t.Worker)
	bulk("token", strconv.AppendUint(nil, t.Token, 10))
	number("added", t.Added)
	number("run-at", t.RunAt)
	number("started", t.Started)
	number("ended", t.Ended)
	number("expires", t.Expires)
	number("waits-for", int64(t.Deps))
	bulk("key", t.Key)
	bulk("unique", t.Unique)
	bulk("progress", strconv.AppendFloat(nil, t.Fraction, 'g', -1, 64))
	bulk("message", t.Message)
	bulk("payload", payload)
	c.BulkString("result")
	if t.State == task.Done {
		c.Bulk(t.Result)
	} else {
		c.Null()
	}
	c.BulkString("errors")
	c.Array(len(t.Errors))
	for _, e := range t.Errors {
		c.Bulk(e)
	}
}
