package shard

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"tutti/internal/command"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// Heavy groups. What takes more steps than a batch may is evaluated beside the
// loop, over a view, while the loop goes on with others. The evaluation notes
// which keys it looked at. Its result comes back to the head of the queue, and
// becomes an entry of its own if none of those keys has changed since: then it
// is what an evaluation in the loop would have given. Otherwise it is evaluated
// again, and after heavyTriesMax times in the loop, whatever that takes: among
// clients that never rest it would never end.
//
// Until it is answered the group stays in Replica.pending, so a repetition finds
// it there and a lost leadership answers it.

const (
	// heavyTriesMax is how often a result may come too late.
	heavyTriesMax = 3
	// heavyStepsMax bounds one evaluation, to a few seconds: its view keeps
	// what it shows from being compacted away.
	heavyStepsMax = 10_000_000
)

var errTooHeavy = fmt.Sprintf("ERR the command touches more than %d rows. Not applied. Split it into smaller ones.", heavyStepsMax)

// prepared is the outcome of an evaluation over a view.
type prepared struct {
	tx      *keyspace.Tx
	replies [][]byte
	dbs     *keyspace.Databases
	reads   []Watch // the keys it looked at, as it found them
}

// heavy is the heavy groups of a replica: one is evaluated at a time.
type heavy struct {
	stop *atomic.Bool // of the evaluation under way; nil: there is none
	next []*Group     // oldest first
}

// evaluated brings a group back that was evaluated beside the loop.
type evaluated struct {
	r    *Replica
	stop *atomic.Bool // which evaluation
	g    *Group
	p    *prepared // nil: it has to be evaluated again
	err  error
}

// stepsMax is how many steps a group may take in the loop.
func (g *Group) stepsMax() int {
	if g.tries >= heavyTriesMax {
		return 0
	}
	return batchStepsMax
}

// setAside takes group n out of the queue to evaluate it beside the loop.
func (r *Replica) setAside(n int) {
	g := r.queue[n]
	r.queue = slices.Delete(r.queue, n, n+1)
	r.heavy.next = append(r.heavy.next, g)
	r.startHeavy()
	r.loop.touch(r)
}

// startHeavy starts the next evaluation unless one is under way.
func (r *Replica) startHeavy() {
	if r.heavy.stop != nil || len(r.heavy.next) == 0 {
		return
	}
	g, stop := r.heavy.next[0], new(atomic.Bool)
	r.heavy.next = slices.Delete(r.heavy.next, 0, 1)
	r.heavy.stop = stop
	now, _ := r.clock.now() // known, or nothing would have been evaluated before
	now = max(now, r.applied.Time)
	v := r.view.Acquire()
	r.loop.wg.Go(func() {
		defer v.Release()
		p, err := r.core.prepare(v, now, g, stop)
		r.loop.post(evaluated{r, stop, g, p, err})
	})
}

// evaluatedHeavy takes the result of an evaluation, which may belong to a role
// that this replica has lost.
func (r *Replica) evaluatedHeavy(e evaluated) {
	if e.stop != r.heavy.stop {
		return
	}
	r.heavy.stop = nil
	if e.err != nil {
		r.host.fatal(fmt.Errorf("evaluate a group of shard %d: %w", r.id, e.err))
		return
	}
	e.g.prepared = e.p
	r.queue = slices.Insert(r.queue, 0, e.g)
	r.startHeavy()
	r.loop.touch(r)
}

// dropHeavy forgets all heavy groups; what waits for them has been answered.
func (r *Replica) dropHeavy() {
	if r.heavy.stop != nil {
		r.heavy.stop.Store(true)
	}
	r.heavy = heavy{}
}

// prepare evaluates a group over a view. It runs beside the loop and uses of
// the core only what never changes. With an error nothing came of it; a group
// whose watched keys have changed has no result either, which the loop finds
// out by itself.
func (c *core) prepare(v *store.View, now int64, g *Group, stop *atomic.Bool) (*prepared, error) {
	env := keyspace.Env{Now: now, Applied: v.Time, Databases: v.Databases, Keys: v.Keys, NewID: c.newID, Rand: c.rand,
		// The index of the entry is not known yet. Versions are only compared for
		// being equal, and an object id equals no index: ids begin at 1<<48.
		Index:   c.newID(),
		Touched: make(map[keyspace.Touched]struct{}), Stop: stop, Unreadable: c.unreadable}
	p := &prepared{dbs: v.Databases, tx: keyspace.NewTx(v, env)}
	look := keyspace.NewReadTx(v, keyspace.Env{Now: now, Applied: v.Time, Databases: v.Databases})
	if !unchanged(look, g.Watches) {
		return nil, look.Err()
	}
	p.tx.Allow(heavyStepsMax)
	p.replies = c.commands(&command.Ctx{Tx: p.tx}, g, shortage{})
	switch err := p.tx.Err(); {
	case errors.Is(err, keyspace.ErrStopped):
		return nil, nil
	case errors.Is(err, keyspace.ErrHeavy):
		p.refuse(v, env)
		return p, nil
	case err != nil:
		return nil, err
	}
	p.reads = slices.Clone(g.Watches)
	for k := range env.Touched {
		w := Watch{DB: k.DB, Key: []byte(k.Key)}
		w.Version, w.Exists = look.KeyVersion(w.DB, w.Key)
		p.reads = append(p.reads, w)
	}
	p.tx.Effects(func(_, _ []byte) {}, func([]byte) {}) // sorts them, here and not in the loop
	return p, look.Err()
}

// refuse makes the outcome an error that depends on nothing.
func (p *prepared) refuse(v *store.View, env keyspace.Env) {
	p.tx = keyspace.NewTx(v, env)
	for i := range p.replies {
		var c command.Ctx
		c.Error(errTooHeavy)
		p.replies[i] = c.Out
	}
}

// unchanged reports whether all keys are as they were when their versions were
// taken.
func unchanged(tx *keyspace.Tx, keys []Watch) bool {
	for _, w := range keys {
		if v, exists := tx.KeyVersion(w.DB, w.Key); v != w.Version || exists != w.Exists {
			return false
		}
	}
	return true
}

// take makes a batch of a group that was evaluated beside the loop, if what it
// saw still holds.
func (c *core) take(in input, g *Group) (*batch, bool) {
	p := g.prepared
	g.prepared = nil
	g.tries++
	b := &batch{index: in.index, term: in.term, time: in.now, tx: p.tx, groups: []*Group{g}}
	now := keyspace.NewReadTx(in.state, keyspace.Env{Now: in.now, Applied: in.applied, Databases: in.databases})
	if in.full || in.tight || p.dbs != in.databases || c.ended(b, g) || !unchanged(now, p.reads) || now.Err() != nil {
		return nil, false
	}
	if p.tx.Recount(in.keys) != nil {
		return nil, false // evaluated again, it finds out itself
	}
	b.replies = []Reply{{Session: g.Session, Seq: g.Seq, Attempt: g.Attempt, Term: b.term, Index: b.index, Time: b.time, Replies: p.replies}}
	in.tick = in.tick || now.UsedNow()
	c.finish(b, in, []bool{!p.tx.Empty()})
	return b, true
}
