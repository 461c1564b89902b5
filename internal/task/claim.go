package task

import (
	"encoding/binary"
	"time"
)

// How long a worker may be silent: if it says nothing else, at least and at most.
const (
	LeaseDefault = 30 * time.Second
	LeaseMin     = 100 * time.Millisecond
	LeaseMax     = 24 * time.Hour
)

// claimBytesMax bounds the payloads of one claim, but for one task: its reply is
// recorded whole, so that an answer that got lost is given again.
const claimBytesMax = 48 << 10

// Claim is a task that a worker got.
type Claim struct {
	*Task
	Payload []byte
}

// Claim gives a worker up to n tasks that are ready in the queues, those of the
// first queue first.
func (c *Change) Claim(worker []byte, lease time.Duration, n int, queues [][]byte) (claims []Claim) {
	size := 0
	for _, name := range queues {
		for len(claims) < n && size < claimBytesMax {
			cl, ok := c.claim(name, worker, lease, n-len(claims), claimBytesMax-size, len(claims) == 0)
			if !ok {
				break
			}
			claims = append(claims, cl)
			size += len(cl.Payload) + 100
		}
	}
	c.lead.heard(worker)
	return claims
}

// claim takes the next task of a queue, if it may be claimed now. It is not larger
// than room, unless it is the first. Up to n are wanted.
func (c *Change) claim(queue, worker []byte, lease time.Duration, n, room int, first bool) (cl Claim, ok bool) {
	q := c.queue(queue)
	if q == nil || q.Now[Ready] == 0 || q.Paused || q.Limit != 0 && q.Now[Running] >= q.Limit {
		return Claim{}, false
	}
	l := c.lead.lanes(queue)
	if !c.lead.allowed(l, q) {
		return Claim{}, false
	}
	if n >= fetchMin {
		fetch(c, q, l, n, room)
	}
	t := c.next(l, q)
	if t == nil || int(t.Size) > room && !first {
		return Claim{}, false
	}
	l.advance(t.Prio)
	l.taken++
	q.first[t.Prio] = t.Order
	c.lead.waited(t, c.tx)
	c.leave(t, q)
	q.enter(t, Running)
	t.Attempt++
	t.Started, t.Failed = c.now, false
	t.Token, t.Worker = c.lead.token(), worker
	if t.Options.Timeout > 0 {
		t.Times.Timeout = c.now + t.Options.Timeout
		c.startTimer(t, t.Times.Timeout, timerTimeout)
	}
	c.save(t)
	c.row = numberRow(c.row[:0], kindClaim, t.Ref)
	c.val = appendClaim(c.val[:0], lease, worker)
	c.tx.Put(c.row, c.val)
	return Claim{t, loadClaimed(c, l, t.Ref)}, true
}

// next finds the first ready task of a queue.
func (c *Change) next(l *lanes, q *Queue) *Task {
	for prio := prioMax; prio >= 0; prio-- {
		if q.first[prio] == 0 {
			continue
		}
		for c.tx.Err() == nil {
			e, ok := c.lead.peek(c.tx, l, q, uint8(prio))
			if !ok {
				break
			}
			t := loadReady(c, l, e.ref, q.Name)
			if t != nil && t.State == Ready && t.Order == e.order {
				return t
			}
			l.advance(uint8(prio)) // somebody was faster in this batch
		}
	}
	return nil
}

// The value of a claim's row is version:1 lease:uvarint worker.

func appendClaim(b []byte, lease time.Duration, worker []byte) []byte {
	return append(binary.AppendUvarint(append(b, version), uint64(lease.Milliseconds())), worker...)
}

func decodeClaim(val []byte) (lease time.Duration, worker []byte, ok bool) {
	if len(val) == 0 || val[0] != version {
		return 0, nil, false
	}
	d := reader{b: val[1:]}
	ms := d.uvarint()
	if d.bad || ms > uint64(LeaseMax.Milliseconds()) || len(d.b) == 0 {
		return 0, nil, false
	}
	return time.Duration(ms) * time.Millisecond, d.b, true
}
