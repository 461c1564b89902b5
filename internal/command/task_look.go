package command

import (
	"math"
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
		taskSyntax(c, 2)
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
	if t.State == task.Done || len(t.Result) > 0 {
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

// taskQueuesMax bounds how many queues one TASK.QUEUES lists.
const taskQueuesMax = 100_000

func taskQueues(c *Ctx) {
	var pattern []byte
	if len(c.Args) > 2 {
		c.wrongArity()
		return
	}
	if len(c.Args) == 2 {
		pattern = c.Args[1]
	}
	names := task.Queues(c.Tx, pattern, taskQueuesMax)
	c.Array(len(names))
	for _, name := range names {
		c.Bulk(name)
	}
}

func taskList(c *Ctx) {
	var from task.Cursor
	state, count := task.State(0), int64(10)
	ok := taskName(c, 1, errTaskQueue)
	for i := 2; ok && i < len(c.Args); i += 2 {
		switch {
		case i+1 == len(c.Args):
			taskSyntax(c, i)
			ok = false
		case c.is(i, "STATE"):
			if state, ok = task.ParseState(string(appendLower(nil, c.Args[i+1]))); !ok {
				c.Error("ERR STATE is waiting, scheduled, ready, running, done, dead or cancelled")
			}
		case c.is(i, "CURSOR"):
			if from, ok = task.ParseCursor(c.Args[i+1]); !ok {
				c.Error("ERR invalid cursor")
			}
		case c.is(i, "COUNT"):
			count, ok = taskNumber(c, i+1, 1, task.PayloadsMax)
		default:
			taskSyntax(c, i)
			ok = false
		}
	}
	if !ok {
		return
	}
	list, next := task.List(c.Tx, c.Args[1], state, from, int(count))
	c.Array(2)
	c.BulkString(next.String())
	c.Array(len(list))
	for _, t := range list {
		c.Array(5)
		c.Bulk(task.AppendID(nil, t.Queue, t.Ref))
		c.BulkString(t.State.String())
		c.Int(int64(t.Attempt))
		c.Int(t.Since())
		c.Bulk(t.Worker)
	}
}

func taskQueue(c *Ctx) {
	if !taskName(c, 1, errTaskQueue) {
		return
	}
	if len(c.Args) == 2 {
		if q := task.LoadQueue(c.Tx, c.Args[1]); q != nil {
			writeQueue(c, q)
		}
		return
	}
	ch, ok := changeTasks(c)
	if !ok {
		return
	}
	q := ch.Set(c.Args[1], func(s *task.Settings) bool { return taskSettings(c, s) })
	if q == nil {
		return
	}
	ch.End()
	writeQueue(c, q)
}

// taskSettings takes the settings that TASK.QUEUE names, or answers the error.
func taskSettings(c *Ctx, s *task.Settings) (ok bool) {
	turned := false // PAUSE or RESUME was given
	for i := 2; i < len(c.Args); i++ {
		number := func(to *uint64, low, high int64) bool {
			n, ok := taskNumber(c, i+1, low, high)
			*to = uint64(n)
			i++
			return ok
		}
		switch {
		case c.is(i, "LIMIT"):
			ok = number(&s.Limit, 0, math.MaxInt32)
		case c.is(i, "KEYLIMIT"):
			ok = number(&s.KeyLimit, 0, math.MaxInt32)
		case c.is(i, "RATE"):
			ok = number(&s.Rate, 0, math.MaxInt32)
		case c.is(i, "MAXLEN"):
			ok = number(&s.MaxLen, 0, math.MaxInt64)
		case c.is(i, "MAXBYTES"):
			ok = number(&s.MaxBytes, 0, math.MaxInt64)
		case c.is(i, "PAUSE"), c.is(i, "RESUME"):
			s.Paused, ok = c.is(i, "PAUSE"), !turned
			if turned = true; !ok {
				c.Error(TextSyntax + ": TASK.QUEUE takes one of PAUSE and RESUME")
			}
		default:
			taskSyntax(c, i)
			return false
		}
		if !ok {
			return false
		}
	}
	return true
}

// writeQueue answers with the settings and counts of a queue. A setting of 0 is none;
// those of MAXLEN, MAXBYTES and KEYLIMIT are shown as they are then.
func writeQueue(c *Ctx, q *task.Queue) {
	fields := []struct {
		name string
		n    uint64
	}{
		{"limit", q.Limit}, {"keylimit", max(q.KeyLimit, 1)}, {"rate", q.Rate}, {"maxlen", q.MaxLenSet()}, {"maxbytes", q.MaxBytesSet()},
		{"ready", q.Now[task.Ready]}, {"scheduled", q.Now[task.Scheduled]}, {"waiting", q.Now[task.Waiting]}, {"running", q.Now[task.Running]},
		{"bytes", q.Bytes}, {"done", q.Now[task.Done]}, {"dead", q.Now[task.Dead]}, {"cancelled", q.Now[task.Cancelled]},
		{"total-added", q.Added}, {"total-done", q.Totals.Done}, {"total-dead", q.Totals.Dead}, {"total-cancelled", q.Totals.Cancelled},
		{"total-failed", q.Failed}, {"total-crashed", q.Crashed}, {"total-fenced", q.Fenced},
	}
	c.Map(2 + len(fields))
	c.BulkString("name")
	c.Bulk(q.Name)
	c.BulkString("paused")
	c.Bool(q.Paused)
	for _, f := range fields {
		c.BulkString(f.name)
		c.Int(int64(f.n))
	}
}
