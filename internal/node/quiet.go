package node

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/cluster"
)

const (
	// quietAfter is how long little must have been written before the node rests.
	quietAfter = 10 * time.Second
	// quietBytes is little: about what the removal of many keys writes, which goes on
	// for a while after a database was emptied; stillBytes is next to nothing, what a
	// node writes by itself.
	quietBytes = 2 << 20
	stillBytes = 64 << 10
	// restlessMax is how often, after a first cut, memory is given back bit by bit while
	// more than that is written: for as long as the removal of many keys may take.
	restlessMax = 3
	// crowdMin is how many clients must have come for the memory that their beginning took
	// to be worth giving back: stacks and buffers of those who rest or wait since.
	crowdMin = 1000
	// quietTurns is how many nodes take turns in giving back, within quietAfter.
	quietTurns = 3
)

// quiet has the node give back memory and disk when much was written and nobody
// writes any more: a node that was emptied after a flood would keep hundreds of MiB.
// It gives back memory when many clients have come.
type quiet struct {
	n      *Node
	asked  chan chan<- error
	came   atomic.Int64  // clients, since the node serves
	crowd  chan struct{} // has something when crowdMin more have come
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newQuiet(n *Node) *quiet {
	ctx, cancel := context.WithCancel(context.Background())
	return &quiet{n: n, asked: make(chan chan<- error), crowd: make(chan struct{}, 1), ctx: ctx, cancel: cancel}
}

func (q *quiet) run() {
	if q.n.cfg.Memory.Busy != nil {
		q.wg.Go(q.watch)
	}
	q.wg.Go(func() {
		for {
			select {
			case <-q.ctx.Done():
				return
			case answer := <-q.asked:
				answer <- q.rest()
			case <-q.n.state.Stir().Stirred():
				q.settle()
			case <-q.crowd:
				q.disperse()
			}
		}
	})
}

// arrivals tell of each client that comes.
type arrivals struct {
	net.Listener
	came func()
}

func (a arrivals) Accept() (net.Conn, error) {
	conn, err := a.Listener.Accept()
	if err == nil {
		a.came()
	}
	return conn, err
}

func (q *quiet) arrived() {
	if q.came.Add(1)%crowdMin != 0 {
		return
	}
	select {
	case q.crowd <- struct{}{}:
	default:
	}
}

// disperse gives memory back once no crowd comes any more, at once if hardly anybody is
// there who writes and would wait. While they go on coming there is another signal.
func (q *quiet) disperse() {
	came, wrote := q.came.Load(), q.n.state.Stir().Written()
	t := time.NewTimer(q.after())
	defer t.Stop()
	select {
	case <-q.ctx.Done():
	case answer := <-q.asked:
		answer <- q.rest()
	case <-t.C:
		if q.came.Load()-came < crowdMin {
			q.freeMemory(q.n.state.Stir().Written()-wrote <= stillBytes)
		}
	}
}

// watch tells when somebody begins to write, and when nobody does any more.
func (q *quiet) watch() {
	for {
		select {
		case <-q.ctx.Done():
			return
		case <-q.n.state.Stir().Woken():
		}
		q.n.cfg.Memory.Busy(true)
		for wrote := int64(-1); q.n.state.Stir().Written()-wrote > stillBytes; {
			wrote = q.n.state.Stir().Written()
			select {
			case <-q.ctx.Done():
				return
			case <-time.After(q.after()):
			}
		}
		q.n.cfg.Memory.Busy(false)
		q.n.state.Stir().Sleep()
	}
}

// settle cuts when it is quiet, and rests when it is still: then what was left of
// the removal of keys is gone, and hardly anybody has to wait for the log. What is
// left of memory is given back last.
func (q *quiet) settle() {
	t := time.NewTimer(turn(q.n.maps.Map().Members, q.n.self.Node, q.after()) + q.after())
	defer t.Stop()
	var had given
	for wrote := q.n.state.Stir().Written(); ; t.Reset(q.after()) {
		select {
		case <-q.ctx.Done():
			return
		case answer := <-q.asked:
			answer <- q.rest()
			return
		case <-t.C:
		}
		now, moves := q.n.state.Stir().Written(), q.n.host.Moves()
		switch had.next(now-wrote, moves.Sending+moves.Receiving > 0) {
		case giveRest:
			q.freeMemory(true)
			return
		case giveAll:
			_ = q.gaveBack(q.n.host.Rest(q.ctx), false)
		case giveCut:
			_ = q.gaveBack(q.n.host.Cut(q.ctx), false)
		case giveMemory:
			q.freeMemory(false)
		case giveNothing:
		}
		wrote = now
	}
}

// given is what was given back since much was written.
type given struct {
	cut, all bool
	restless int // how often memory alone
}

// giving is what is given back at a time.
type giving int

const (
	giveNothing giving = iota
	giveMemory
	giveCut
	giveAll
	giveRest // of memory, which was given back bit by bit since
)

// next says what to give back after a span in which so much was written. While a replica
// is copied to or from here it is nothing: that takes the disk already, and needs the log.
// While somebody writes it is nothing that he would have to wait for, however long that
// goes on: the log is opened anew, which takes some 200 ms on a good disk, and the last
// memory is given back at once, when hardly anybody is left to notice.
func (g *given) next(wrote int64, copying bool) giving {
	switch {
	case copying:
		return giveNothing
	case wrote > quietBytes:
		*g = given{}
		return giveNothing
	case wrote <= stillBytes && g.all:
		return giveRest
	case wrote <= stillBytes:
		g.cut, g.all = true, true
		return giveAll
	case !g.cut:
		g.cut = true
		return giveCut
	case g.restless < restlessMax:
		g.restless++
		return giveMemory
	}
	return giveNothing
}

func (q *quiet) after() time.Duration { return cmp.Or(q.n.cfg.QuietAfter, quietAfter) }

// turn is how much later than others a node looks. All nodes apply the same, so they
// would all give back at the same moment, and clients would wait for the disks of all:
// of three in a row one does at a time, and the other two go on.
func turn(members []cluster.Member, self cluster.NodeID, after time.Duration) time.Duration {
	at := slices.IndexFunc(members, func(m cluster.Member) bool { return m.ID == self })
	return after * time.Duration(max(at, 0)%quietTurns) / quietTurns
}

// rest gives back what it can, at once.
func (q *quiet) rest() error { return q.gaveBack(q.n.host.Rest(q.ctx), true) }

// gaveBack gives memory back, too, and logs what could not be given back.
func (q *quiet) gaveBack(err error, atOnce bool) error {
	if err != nil && q.ctx.Err() == nil {
		q.n.cfg.Logger.Warn("give back memory and disk", slog.Any("error", err))
	}
	q.freeMemory(atOnce)
	return err
}

func (q *quiet) freeMemory(atOnce bool) {
	if q.n.cfg.Memory.Free != nil {
		q.n.cfg.Memory.Free(atOnce)
	}
}

// ask has the node rest at once, and returns when it has.
func (q *quiet) ask(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case q.asked <- answer:
	case <-ctx.Done():
		return ctx.Err()
	case <-q.ctx.Done():
		return errStopping
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-q.ctx.Done():
		return errStopping
	}
}

var errStopping = errors.New("the node stops")

// close ends it, and returns when nothing is given back any more.
func (q *quiet) close() {
	q.cancel()
	q.wg.Wait()
}
