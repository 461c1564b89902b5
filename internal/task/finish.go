package task

import "tutti/internal/keyspace"

// Done records the result of a task. It reports false if the token is not that of
// the recorded claim, or the task has ended otherwise: fenced. Said again with the
// same token it is true again.
func (c *Change) Done(queue []byte, ref Ref, token uint64, result []byte) bool {
	t, q := c.finished(queue, ref, token)
	if t == nil {
		return false
	}
	if t.State == Dead {
		q.Fenced++
	}
	if t.State.Ended() {
		return t.State == Done
	}
	c.leave(t, q)
	t.Result = result
	c.end(t, q, Done)
	return true
}

// finished finds the task that a finish is of; nil: it is fenced.
func (c *Change) finished(queue []byte, ref Ref, token uint64) (*Task, *Queue) {
	t, q := c.load(ref, queue)
	if t == nil {
		return nil, nil
	}
	if t.Token != token || token == 0 || t.State == Cancelled {
		q.Fenced++
		return nil, nil
	}
	c.lead.heard(t.Worker)
	return t, q
}

// Failure is how an attempt has failed.
type Failure struct {
	Text  []byte
	Wait  int64 // milliseconds until the next one; negative: as the task's options say
	Final bool  // there is no next one
	// Free says that it does not count: the worker gives the task back.
	Free   bool
	Result []byte // is kept if there is no next one
}

// Fail records that an attempt has failed. It returns where the task stands then;
// 0: the finish was fenced.
func (c *Change) Fail(queue []byte, ref Ref, token uint64, f Failure) State {
	t, q := c.finished(queue, ref, token)
	switch {
	case t == nil:
		return 0
	case t.State == Done:
		q.Fenced++
		return 0
	case t.State == Dead:
		return Dead
	case t.Failed: // said again
		return Scheduled
	}
	c.leave(t, q)
	if f.Free {
		t.Failed, t.RunAt = true, c.now
		c.again(t, q)
	} else {
		c.fail(t, q, f)
	}
	if t.State == Dead {
		return Dead
	}
	return Scheduled
}

// fail ends an attempt of a task that has been left.
func (c *Change) fail(t *Task, q *Queue, f Failure) {
	q.Failed++
	t.Failures++
	t.Failed = true
	t.note(f.Text)
	if t.Failures > t.Retries || f.Final {
		t.Result = f.Result
		c.end(t, q, Dead)
		return
	}
	wait := f.Wait
	if wait < 0 {
		wait = t.backoff(c.tx.Rand)
	}
	t.RunAt = c.now + wait
	c.again(t, q)
}

// backoff is the time to the next attempt, from BackoffMin to BackoffMax: it doubles
// with each, and a part of it is chance, so that tasks that failed together do not
// come back together.
func (t *Task) backoff(rand func(n uint64) uint64) int64 {
	least, most := t.BackoffMin, max(t.BackoffMax, t.BackoffMin)
	d := least
	for i := uint32(1); i < t.Failures && d < most; i++ {
		d = max(1, 2*d)
	}
	if d += int64(rand(uint64(d)/2 + 1)); d > most {
		d = max(least, most-int64(rand(uint64(most)/4+1)))
	}
	return d
}

// crash takes a task from a worker that was lost. That is no attempt that failed,
// but a task that loses its workers again and again ends.
func (c *Change) crash(t *Task, q *Queue, why string) {
	c.leave(t, q)
	q.Crashed++
	t.Crashes++
	t.note([]byte(why))
	if t.Crashes >= crashesMax {
		c.end(t, q, Dead)
		return
	}
	c.again(t, q)
}

// again gives a task that has been left another attempt, if one may begin within its
// TTL: its timer may have passed while it was running.
func (c *Change) again(t *Task, q *Queue) {
	if t.Expires != 0 && max(t.RunAt, c.now) >= t.Expires {
		t.note([]byte("no attempt is left within its TTL"))
		c.end(t, q, Dead)
		return
	}
	c.advance(t, q)
	c.save(t)
}

// Beat is a sign of life of a worker: it renews all of its claims. It returns the
// tasks that it need not go on with.
func (c *Change) Beat(worker []byte) []Stop {
	return c.lead.beat(worker)
}

// Cancel ends a task that has not ended. Who runs it learns of it with its next sign
// of life, and can't finish it any more.
func (c *Change) Cancel(queue []byte, ref Ref) bool {
	t, q := c.load(ref, queue)
	if t == nil || t.State.Ended() {
		return false
	}
	if t.State == Running {
		c.lead.stop(t)
	}
	c.leave(t, q)
	c.end(t, q, Cancelled)
	return true
}

// Retry takes a task up again that ended dead or cancelled, with all its attempts.
// It does not wait for other tasks again. It reports false if there is none, or
// another task has its unique key now.
func (c *Change) Retry(queue []byte, ref Ref) (bool, error) {
	t, q := c.load(ref, queue)
	if t == nil || t.State != Dead && t.State != Cancelled {
		return false, nil
	}
	if len(t.Unique) > 0 {
		if _, taken := c.unique(t.Queue, t.Unique); taken {
			return false, nil
		}
	}
	if err := q.room(1, uint64(t.Size)); err != nil {
		return false, err
	}
	c.leave(t, q)
	t.Failures, t.Crashes, t.Ended, t.Failed, t.Result = 0, 0, 0, false, nil
	t.Token = c.lead.token() // nobody has it: what earlier attempts say is fenced
	c.open(t, q)
	c.advance(t, q)
	c.save(t)
	return true, nil
}

// Set changes the settings of a queue and returns it; nil: change did not like them,
// or the transaction has failed.
func (c *Change) Set(queue []byte, change func(s *Settings) bool) *Queue {
	q := c.queue(queue)
	if q == nil {
		return nil
	}
	limit := q.keyLimit()
	if !change(&q.Settings) {
		return nil
	}
	if q.keyLimit() > limit && q.Now[Waiting] > 0 {
		c.lead.raised(queue)
	}
	if q.Now[Ready] > 0 {
		c.signal(q)
	}
	return q
}

func loadPayload(tx *keyspace.Tx, ref Ref) ([]byte, bool) {
	val, ok := tx.Get(numberRow(nil, kindHead, ref), nil)
	if !ok {
		return nil, false
	}
	return payloadOf(tx, val)
}

func payloadOf(tx *keyspace.Tx, val []byte) ([]byte, bool) {
	if err := checkVersion(val, "payload of a task"); err != nil {
		tx.Refuse(err)
		return nil, false
	}
	return val[1:], true
}
