package peer

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"tutti/internal/cluster"
)

// Clocks of peers. A node asks each peer for its wall clock when a connection
// comes up and every second from then on, and whenever somebody calls AskClock.
// The answer was given between the question and its arrival, so it bounds what
// the peer's clock shows from both sides, however long frames or processes were
// held up; a ping or hello, which may lie in a socket for as long as this process
// is stopped, bounds it from below only.
//
//	clock ask   kind 3   asked:8 nonce:8           the asker's monotonic clock in ns, and its start
//	clock       kind 4   asked:8 nonce:8 wall:8    both again, and the wall clock in milliseconds
const (
	clockAskBytes = 16
	clockBytes    = 24
)

// driftDiv is how fast what is known of a clock gets old: by one part in
// driftDiv of the time since, more than what crystals are off by.
const driftDiv = 2000

// wallStep is how far a wall clock may be beyond the milliseconds that it shows.
const wallStep = time.Millisecond - 1

// unbounded is the upper bound of a clock that has never answered.
const unbounded = time.Duration(1 << 62)

// bounds are between which two values the wall clock of a peer is ahead of this
// node's monotonic clock. Not of its wall clock: should that jump, all peers
// would seem to have jumped with it until they are heard again.
type bounds struct {
	low, high time.Duration
	at        time.Duration // monotonic time as of which
}

func (b bounds) aged(now time.Duration) bounds {
	drift := max(now-b.at, 0) / driftDiv
	return bounds{b.low - drift, b.high + drift, now}
}

// and returns what is known after a newer sample. If the two can't both be true
// somebody has set the clock, and the newer one is right.
func (b bounds) and(s bounds) bounds {
	b = b.aged(s.at)
	both := bounds{max(b.low, s.low), min(b.high, s.high), s.at}
	if both.low > both.high {
		return s
	}
	return both
}

// clocks keeps what is known of the wall clocks of the peers. They are a hint
// for the pace of shard time, nothing more.
type clocks struct {
	mu    sync.Mutex // guards known
	known map[cluster.NodeID]bounds
}

func (c *clocks) sample(node cluster.NodeID, s bounds) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = make(map[cluster.NodeID]bounds)
	}
	if b, ok := c.known[node]; ok {
		s = b.and(s)
	}
	c.known[node] = s
}

func (c *clocks) forget(node cluster.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, node)
}

// AskClock asks a peer for its clock. MedianWall takes the answer into account
// once it is there.
func (l *Links) AskClock(node cluster.NodeID) {
	l.Send(node, Control, kindClockAsk, clockAsk{l.cfg.Mono(), l.cfg.Nonce}.encode)
}

// clockAsk is a question for a clock.
type clockAsk struct {
	asked time.Duration
	nonce uint64
}

func (q clockAsk) encode(dst []byte) []byte {
	return be.AppendUint64(be.AppendUint64(dst, uint64(q.asked)), q.nonce)
}

// answer returns the answer to a question.
func (q clockAsk) answer(wall int64) func(dst []byte) []byte {
	return func(dst []byte) []byte { return be.AppendUint64(q.encode(dst), uint64(wall)) }
}

func decodeClockAsk(b []byte) (clockAsk, error) {
	if len(b) != clockAskBytes {
		return clockAsk{}, fmt.Errorf("%w: a question for the clock of %d bytes", ErrFrame, len(b))
	}
	return clockAsk{time.Duration(be.Uint64(b)), be.Uint64(b[8:])}, nil
}

// clockAsked answers a peer that asks.
func (in *inbound) clockAsked(l *Links, b []byte) error {
	q, err := decodeClockAsk(b)
	if err != nil {
		return err
	}
	l.Send(in.from, Control, kindClock, q.answer(l.cfg.Wall()))
	return nil
}

// clockTold takes a peer's answer.
func (in *inbound) clockTold(l *Links, b []byte) error {
	if len(b) != clockBytes {
		return fmt.Errorf("%w: a clock of %d bytes", ErrFrame, len(b))
	}
	q, err := decodeClockAsk(b[:clockAskBytes])
	now := l.cfg.Mono()
	if err != nil || q.nonce != l.cfg.Nonce || q.asked < 0 || q.asked > now {
		return err // or an earlier start of this node has asked
	}
	if k := l.link(in.from); k != nil {
		k.tally.rtt.Store(int64(now - q.asked))
		k.trips.note(now, now-q.asked)
	}
	wall := time.Duration(be.Uint64(b[clockAskBytes:])) * time.Millisecond
	in.sample(l, bounds{low: wall - now, high: wall + wallStep - q.asked, at: now})
	return nil
}

// heardWall notes what the clock of a peer showed some time ago.
func (in *inbound) heardWall(l *Links, wall int64) {
	now := l.cfg.Mono()
	in.sample(l, bounds{low: time.Duration(wall)*time.Millisecond - now, high: unbounded, at: now})
}

// sample notes what the wall clock of a peer shows, unless the peer was
// forgotten meanwhile: nothing would take the sample away again.
func (in *inbound) sample(l *Links, s bounds) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !in.gone.Load() {
		l.clocks.sample(in.from, s)
	}
}

// MedianWall returns the wall time, now and in milliseconds, that the clocks of a
// majority of the members have reached: the median if all are known, of two
// middle ones the lower; a clock that is not known counts as one that has not.
// Of what a peer's clock may show the value next to this node's own is taken, so
// clocks that agree agree exactly. ok is false unless a majority of the members
// is known.
func (l *Links) MedianWall(members []cluster.NodeID) (wall int64, ok bool) {
	var known []time.Duration
	mono := l.cfg.Mono()
	own := time.Duration(l.cfg.Wall()) * time.Millisecond
	l.clocks.mu.Lock()
	for _, m := range members {
		if m == l.cfg.Node {
			known = append(known, own)
		} else if b, heard := l.clocks.known[m]; heard && b.high < unbounded/2 {
			b = b.aged(mono)
			known = append(known, min(max(own, mono+b.low), mono+b.high))
		}
	}
	l.clocks.mu.Unlock()
	at := len(known) - 1 - len(members)/2
	if at < 0 {
		return 0, false
	}
	slices.Sort(known)
	return known[at].Milliseconds(), true
}
