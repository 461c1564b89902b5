package check

import (
	"math"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"
)

// TimeError bounds by how much a deadline may come earlier, and by how much
// later, than asked for. They differ: a lock that ends early has two holders, one
// that ends late keeps somebody waiting.
type TimeError struct{ Early, Late Slack }

// Slack is a fixed time, and a share of the time to live for clocks that do not
// run alike.
type Slack struct {
	Fixed time.Duration
	Share float64
}

// Of returns the slack of a time to live.
func (s Slack) Of(live time.Duration) time.Duration {
	return s.Fixed + time.Duration(s.Share*float64(live))
}

// deadline is a string that may be due: not before earliest, surely at latest.
type deadline struct {
	text
	earliest, latest time.Duration
}

const forever = time.Duration(math.MaxInt64)

// window is when an operation takes effect: at some moment between two.
type window struct{ from, to time.Duration }

func windowOf(op *Op) window {
	if op.Outcome == Unknown {
		return window{op.At, forever}
	}
	return window{op.At, op.Until}
}

// live gives a key so many milliseconds.
func (e TimeError) live(s deadline, w window, ms string) (_ deadline, ok bool) {
	n, err := strconv.ParseInt(ms, 10, 32)
	d := time.Duration(n) * time.Millisecond
	s.earliest, s.latest = w.from+d-e.Early.Of(d), forever
	if w.to != forever {
		s.latest = w.to + d + e.Late.Of(d)
	}
	return s, err == nil && n > 0
}

// remaining returns the reply itself if it is a right one to PTTL. A deadline
// that has passed within the bounds may still read 0.
func (s deadline) remaining(w window, reply Reply) Reply {
	least, most := s.earliest-w.to, s.latest-w.from
	got := time.Duration(reply.Int) * time.Millisecond
	switch {
	case !s.set:
		return integer(-2)
	case s.earliest == forever:
		return integer(-1)
	case reply.Kind == KindInt && got >= max(0, least-time.Millisecond) && (s.latest == forever || got <= most+time.Millisecond):
		return reply
	}
	return integer(int64(max(0, least) / time.Millisecond))
}

// timed is a model in which a key may or may not have expired.
func timed(name string, e TimeError) Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{deadline{}} },
		Step: func(state, input, _ any) (next []any) {
			for _, s := range e.step(state.(deadline), input.(*Op)) {
				next = append(next, s)
			}
			return next
		},
		DescribeOperation: func(input, _ any) string { return input.(*Op).Describe() },
	}
	return Model{name: name, model: m.ToModel(), knows: func(args []string) bool {
		_, reply := e.run(deadline{}, window{}, args, integer(0))
		return reply.Kind != KindNone
	}}
}
