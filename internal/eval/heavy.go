package eval

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// Heavy groups. What takes more steps than a batch may is evaluated beside the
// loop, over a view, while the loop goes on with others. The evaluation notes
// which keys it looked at. Its result comes back to the head of the queue, and
// becomes an entry of its own if none of those keys has changed since: then it
// is what an evaluation in the loop would have given. Otherwise it is evaluated
// again. Among clients that never rest that would never end, so after heavyTriesMax
// times what would change those keys waits until it is through (Holds), and others go
// on. What comes too late even so is evaluated in the loop, whatever that takes: it looked
// at other keys this time, or there is a shortage, which the loop finds out.

const (
	// heavyTriesMax is how often a result may come too late.
	heavyTriesMax = 3
	// heldTriesMax is heavyTriesMax with the time for which others wait, once: they were
	// promised an answer, too.
	heldTriesMax = heavyTriesMax + 1
	// heavyArgs is how many arguments make a command heavy without a trial: each of
	// them is likely to be looked for, which would take the loop 20 ms and more to
	// find out.
	heavyArgs = 4096
	// heavyStepsMax bounds one evaluation, to a few seconds: its view keeps
	// what it shows from being compacted away.
	heavyStepsMax = 10_000_000
)

// HeavyTimeMax bounds how long a group that runs no script may be set aside, with what
// it waits there for others: less than clients are let wait, so that they hear what
// became of it.
const HeavyTimeMax = 4 * time.Second

var errHeavyTime = fmt.Sprintf("ERR the command, with others before it that take long, took more than %v. Not applied. Split it into smaller ones.", HeavyTimeMax)

var errTooHeavy = fmt.Sprintf("ERR the command touches more than %d rows. Not applied. Split it into smaller ones.", heavyStepsMax)

// Prepared is the outcome of an evaluation over a view.
type Prepared struct {
	// void says that there is none: the group is to be refused, which the loop finds out by
	// itself, or, if it strayed, knows by this.
	void, strayed bool

	tx      *keyspace.Tx
	replies [][]byte
	unfit   group.Unfit
	undone  bool // a transaction of which nothing is to stay
	dbs     *keyspace.Databases
	index   uint64              // of the state it was evaluated over
	keys    map[uint64]struct{} // that it looked at: hashes of their rows
	until   int64               // when the first of them expires
	walked  bool                // it depends on which keys there are
	usedNow bool                // whether watched keys are there depends on a time that is not recorded
	rows    *rows               // its effects; nil: they are not encoded yet
}

// Ending ends an evaluation beside the loop. It is safe for concurrent use.
type Ending struct{ stop, late, waited atomic.Bool }

// Drop has it end without a result: nobody waits for one any more.
func (e *Ending) Drop() { e.stop.Store(true) }

// Late has it end, and its group be told that it has taken too long.
func (e *Ending) Late() {
	e.late.Store(true)
	e.stop.Store(true)
}

// Waited is Late for a group that has waited for as long for others.
func (e *Ending) Waited() {
	e.waited.Store(true)
	e.Late()
}

// last reports whether it is to be evaluated in the loop now.
func (g *Waiting) last() bool {
	return g.tries >= heldTriesMax || g.tries >= heavyTriesMax && g.Holds == nil
}

// Touches reports whether a group may change one of the keys, which are known by their
// hashes as those of Holds. What it changes without naming it is found later.
func (c *Core) Touches(keys map[uint64]struct{}, g *group.Group, dbs *keyspace.Databases) bool {
	tx := keyspace.NewReadTx(nil, keyspace.Env{Databases: dbs})
	var at [16]int
	for _, cmd := range g.Cmds {
		row, _ := c.cfg.Table.Lookup(cmd.Args)
		if row == nil || !row.Changes() {
			continue
		}
		for _, i := range row.KeyArgs(at[:0], cmd.Args) {
			if _, held := keys[tx.KeyHash(cmd.DB, cmd.Args[i])]; held {
				return true
			}
		}
	}
	return false
}

// manyArgs reports whether a group has a command with so many arguments that it is heavy
// without a trial.
func manyArgs(g *group.Group) bool {
	return slices.ContainsFunc(g.Cmds, func(c group.Command) bool { return len(c.Args) > heavyArgs })
}

// stepsMax is how many steps a group may take in the loop.
func (g *Waiting) stepsMax() int {
	switch {
	case g.tasks == tasksWide:
		return tasksStepsMax
	case g.script == scriptInLoop && g.last():
		return tasksStepsMax
	case g.last(), g.Wait != nil: // who waits is not looked for beside the loop
		return 0
	}
	return batchStepsMax
}

// Prepare evaluates a group over a view. It runs beside the loop and uses of
// the core only what never changes. With an error, or nil, nothing came of it. A group
// whose watched keys have changed, or whose slots are not the shard's, is for the loop to
// refuse.
func (c *Core) Prepare(v *store.View, now int64, g *group.Group, end *Ending) (*Prepared, error) {
	env := keyspace.Env{Now: now, Applied: v.Time, Databases: v.Databases, Keys: v.Keys, NewID: c.cfg.NewID, Rand: c.cfg.Rand,
		// The index of the entry is not known yet. Versions are only compared for
		// being equal, and an object id equals no index: ids begin at 1<<48.
		Index:   c.cfg.NewID(),
		Touched: make(map[keyspace.Touched]struct{}), Stop: &end.stop, Unreadable: c.cfg.Unreadable, Owns: owner(v.Owned.Slots), Events: c.cfg.events(), Format: c.cfg.format()}
	p := &Prepared{dbs: v.Databases, index: v.Index, until: math.MaxInt64, tx: keyspace.NewTx(v, env)}
	look := keyspace.NewReadTx(v, keyspace.Env{Now: now, Applied: v.Time, Databases: v.Databases})
	if !v.Owned.Slots.Covers(g.Claim.Slots) || !allUnchanged(v.Owned.Slots, look, g.Watches) {
		return &Prepared{void: true}, look.Err()
	}
	p.tx.Allow(heavyStepsMax)
	keyspace.Sign(p.tx, author(g, 0))
	var strayed bool
	scripts := c.scripting()
	scripts.User = new(rights).user(c.cfg.Table.Catalog(), g.User)
	ctx := &command.Ctx{Tx: p.tx, Users: c.userRules(), Office: command.Office{Scripts: scripts}}
	mark := p.tx.Mark()
	p.replies, p.unfit, strayed = c.commands(ctx, g, &v.Owned, Shortage{}, manner{})
	if p.undone = g.Atomic && !strayed && p.tx.Err() == nil && undone(ctx, g, p.replies, p.unfit, false); p.undone {
		if p.tx.Rollback(mark); p.unfit.Need > 0 {
			p.replies = [][]byte{noReply()}
		}
	}
	p.tx.Release(mark)
	switch err := p.tx.Err(); {
	case strayed:
		return &Prepared{void: true, strayed: true}, nil
	case errors.Is(err, keyspace.ErrStopped) && end.late.Load():
		p.refuse(v, env, len(g.Cmds), c.tooLate(g, end))
		return p, nil
	case errors.Is(err, keyspace.ErrStopped):
		return nil, nil
	case errors.Is(err, keyspace.ErrHeavy):
		p.refuse(v, env, len(g.Cmds), c.tooHeavy(g))
		return p, nil
	case err != nil:
		return nil, err
	}
	for _, w := range g.Watches {
		env.Touched[keyspace.Touched{DB: w.DB, Key: string(w.Key)}] = struct{}{}
	}
	p.keys = make(map[uint64]struct{}, len(env.Touched))
	for k := range env.Touched { // one of another shard too: its row never changes here
		p.keys[look.KeyHash(k.DB, []byte(k.Key))] = struct{}{}
	}
	p.until = min(p.tx.FoundUntil(), look.FoundUntil())
	p.usedNow, p.walked = look.UsedNow(), p.tx.Walked()
	p.rows = &rows{set: store.NewWriteSet(0, p.tx.Size()), keys: new(changed)}
	p.rows.add(p.tx) // here and not in the loop
	return p, look.Err()
}

// refuse makes the outcome of n commands an error that depends on nothing.
func (p *Prepared) refuse(v *store.View, env keyspace.Env, n int, text string) {
	p.tx = keyspace.NewTx(v, env)
	p.rows, p.unfit, p.undone, p.replies = nil, group.Unfit{}, false, make([][]byte, n)
	for i := range p.replies {
		var c command.Ctx
		c.Error(text)
		p.replies[i] = c.Out
	}
}

// take makes a batch of a group that was evaluated beside the loop. It returns none if what
// that saw does not hold any more, or with ErrPieces if its effects are too large for one.
func (c *Core) take(in Input, g *Waiting) (*Batch, error) {
	p := g.Prepared
	if p.void {
		g.Prepared, g.refused, g.strayed = nil, true, g.strayed || p.strayed
		c.Changes.Unfollow()
		return nil, nil
	}
	holds := stillHolds(c, in, g)
	if holds && c.Pieces.Wants(p) {
		g.Holds = p.keys
		return nil, ErrPieces
	}
	g.Prepared = nil
	g.tries++
	c.Changes.Unfollow()
	if !holds || p.tx.Recount(in.Keys) != nil { // evaluated again, it finds out itself
		if p == c.Pieces.p {
			c.Pieces.giveUp()
		}
		return nil, nil
	}
	b := &Batch{Index: in.Index, Term: in.Term, Time: in.Now, tx: p.tx, rows: p.rows, Groups: []*group.Group{g.Group}}
	b.Replies = []group.Reply{{Session: g.Session, Seq: g.Seq, Attempt: g.Attempt, Term: b.Term, Index: b.Index, Time: b.Time, Replies: p.replies, Unfit: p.unfit}}
	if p.undone {
		b.Replies[0].Status = group.Undone
	}
	in.Tick = in.Tick || p.usedNow
	// What it has brought to others is not known here, so all look, in the next batch.
	c.waiting.due = append(c.waiting.due, dueLines(c.waiting.registry.Topics(func(string) bool { return true }))...)
	c.finish(b, in, []bool{!p.tx.Empty()})
	return b, nil
}

// stillHolds reports whether what an evaluation beside the loop saw still is so.
func stillHolds(c *Core, in Input, g *Waiting) bool {
	p := g.Prepared
	switch {
	case g.Claim.Users != 0 && g.Claim.Users < in.Users, in.Full || in.Tight || p.dbs != in.Databases || c.ended(new(Batch), g.Group):
		return false
	case p.walked && c.Changes.any(p.index), c.Changes.own > p.index:
		return false // all others would have to be held back
	case !in.Owned.Slots.Covers(g.Claim.Slots) || in.Now >= p.until || c.Changes.touched(p.keys, p.index):
		if g.tries+1 >= heavyTriesMax {
			g.Holds = p.keys
		}
		return false
	}
	return true
}
