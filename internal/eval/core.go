package eval

import (
	"encoding/binary"
	"errors"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/store"
	"tutti/internal/task"
)

var be = binary.BigEndian

// Budgets of one batch.
const (
	batchStepsMax = 20_000  // rows touched: about 5 ms
	batchBytesMax = 1 << 20 // of effects, unless one command has more
)

const errTight = "NOSPACE the disk of the leader or of too many other nodes is full to the last reserve. Not applied. Reads still work; make room on the disks."

// Batch is groups that were evaluated together: what they are answered, and the
// entry that makes it true.
type Batch struct {
	Index   uint64 // of the entry
	Term    uint64
	Time    int64          // shard time of the evaluation
	Data    store.WriteSet // nil: no effects, so no entry
	Groups  []*group.Group
	Replies []group.Reply // one per group

	dbs      *keyspace.Databases // nil: unchanged
	opened   []uint64            // sessions opened
	floors   map[uint64]uint64   // session -> floor raised to
	recorded map[uint64]replyRow // session -> the row of this entry
	rows     *rows               // its effects as they are in Data
	tx       *keyspace.Tx        // what has its effects
	got      int                 // answers to waiters whose rows it removes
	asked    int                 // waiters that ask, see waiterAuthor

	Late []Late // answers to waiters
	// Events are what it does to keys, for those who want to be told.
	Events []keyspace.Event
}

// Waiting is a group that waits for its evaluation.
type Waiting struct {
	*group.Group
	// Prepared is its evaluation beside the loop, if it was too much for a batch.
	Prepared *Prepared
	// Aside is when it was first found to be too much; zero: never.
	Aside time.Time
	// Holds are hashes of the keys that it looks at, if they have changed each time: who
	// would change them is to wait while it is evaluated once more. Nil: nobody waits.
	Holds   map[uint64]struct{}
	tries   int  // how often that came too late
	strayed bool // it came to a key of another shard, which its sender could not know
	refused bool // it was found beside the loop that it is to be refused
	tasks   tasksBudget
	script  scriptBudget
}

// Config is what the evaluation of a shard's groups depends on beside its state
// and the time.
type Config struct {
	Shard cluster.ShardID
	Table *command.Table
	// Known remembers keys that exist or do not.
	Known *keyspace.Known
	NewID func() uint64
	Rand  func(n uint64) uint64
	// Format returns the newest format of rows that may be written. Nil: the newest
	// there is.
	Format func() byte
	// Unreadable takes note of rows that can't be read. Nil: nobody does.
	Unreadable func(err *keyspace.RowError)
	// Found takes note of what commands found. Nil: nobody does.
	Found func(keyspace.Finds)
	// TaskTimes is told how long tasks took. Nil: nobody is.
	TaskTimes *task.Meter
	// Began is when the leader began to lead, by the clock of Input.Mono.
	Began time.Duration
	// Events says which events of keys somebody wants to be told of. Safe for concurrent
	// use. Nil: none.
	Events func() keyspace.Classes
	// PiecesFrom is how many bytes effects have that go in pieces. 0: 2 MiB.
	PiecesFrom int
}

// Core evaluates. It has no goroutine, clock or I/O of its own: the state it
// reads, the time and the randomness are given to it, so a recorded input
// replays exactly. It lasts for one term of a leader.
type Core struct {
	// Changes is what evaluations beside the loop are compared with. It belongs to the
	// loop.
	Changes  Changes
	Pieces   Pieces
	cfg      Config
	sessions *sessions
	tasks    *task.Lead
	tx       *keyspace.Tx // its memory is used again for every batch
	out      int          // bytes of replies of the last batch, the guess for the next
	rights
	waiting
	awaited func(topic []byte) bool // of waiting
	waiters func(topic []byte) int  // of waiting
	ahead   ahead
}

// New returns the core of a new leader, whose applied state is what v shows.
func New(cfg Config, v *store.View) (*Core, error) {
	c := &Core{cfg: cfg, waiting: newWaiting(), tasks: task.NewLead(cfg.TaskTimes)}
	c.awaited = c.waiting.registry.Awaited
	c.waiters = c.waiting.registry.Waiting
	var err error
	if c.sessions, err = loadSessions(cfg.Shard, v, c.waiting.load); err != nil {
		return nil, err
	}
	c.Pieces.cfg = &c.cfg
	c.Pieces.left, err = v.Pieces() // of an earlier leader
	return c, err
}

func (c *Config) events() keyspace.Classes {
	if c.Events == nil {
		return 0
	}
	return c.Events()
}

func (c *Config) format() byte {
	if c.Format == nil {
		return keyspace.Format
	}
	return c.Format()
}

func (c *Core) userRules() command.UserRules {
	return command.UserRules{Catalog: c.cfg.Table.Catalog(), Row: store.UsersRow(c.cfg.Shard)}
}

// Shortage is what the disks allow.
type Shortage struct {
	Full  bool // what needs room is refused
	Tight bool // every write is refused
}

// Input is everything that the evaluation of a batch depends on beside the core
// and the groups.
type Input struct {
	State     keyspace.Reader
	Owned     cluster.Descriptor // what the shard owns; groups for others are refused
	Keys      func(pdb uint32) (int64, error)
	Databases *keyspace.Databases
	Users     uint64 // epoch of the users by whose rights commands must have been let in
	Applied   int64  // applied shard time
	Now       int64
	Mono      time.Duration // of the leader's monotonic clock
	Index     uint64
	Term      uint64
	Sweep     func(tx *keyspace.Tx) // background work of the keyspace; nil: none
	Tick      bool                  // the time must be recorded though nothing else is
	Scrub     bool                  // the scrub row must be written
	From      []byte                // with this value
	Give      *cluster.SlotRange    // the shard owns these slots from here on; nil: what it has
	Piece     int                   // bytes at most of the effects that go in pieces; 0: none
	Shortage                        // of room on the disks
}

// Evaluate runs as many of groups as the budget allows and returns the batch
// and how many it took. With keyspace.ErrHeavy, the group of that number is too
// much for the loop: it is to be evaluated beside it, see Prepare. With ErrPieces the
// effects of the first one are to go in pieces.
func (c *Core) Evaluate(in Input, groups []Waiting) (*Batch, int, error) {
	env := keyspace.Env{Now: in.Now, Applied: in.Applied, Index: in.Index,
		Databases: in.Databases, Keys: in.Keys, NewID: c.cfg.NewID, Rand: c.cfg.Rand, Known: c.cfg.Known, Unreadable: c.cfg.Unreadable,
		Owns: owner(in.Owned.Slots), Awaited: c.awaited, Events: c.cfg.events(), Format: c.cfg.format()}
	c.waiting.begin()
	c.Pieces.begin()
	if c.tx == nil {
		c.tx = keyspace.NewTx(in.State, env)
	} else {
		c.tx.Reset(in.State, env)
	}
	tx := c.tx
	c.ahead.begin(c, in)
	c.tasks.Batch(in.State, in.Term, in.Mono)
	if len(groups) > 0 && groups[0].Prepared != nil {
		if b, err := c.take(in, &groups[0]); err != nil {
			return nil, 0, err
		} else if b != nil {
			return b, 1, nil
		}
	}
	b := &Batch{Index: in.Index, Term: in.Term, Time: in.Now, tx: tx}
	ctx := command.Ctx{Tx: tx, Users: c.userRules(), Office: command.Office{Scripts: c.scripting(), Tasks: c.tasks, Term: in.Term, Led: in.Mono - c.cfg.Began, Waiters: c.waiters}}
	if in.Full || in.Tight {
		ctx.Scripts.Refuse = in.Shortage.refuses
	}
	ctx.Out = make([]byte, 0, c.out+256)
	c.serve(b, in, 0)
	n := 0
	wrote := make([]bool, 0, len(groups))
	for ; n < len(groups); n++ {
		if n > 0 && (tx.Steps() > batchStepsMax || tx.Size() > batchBytesMax || len(ctx.Out) > batchBytesMax || groups[n].Prepared != nil) {
			break
		}
		if in.Shortage == (Shortage{}) && c.cfg.obvious(&groups[n]) { // without room the loop refuses most at once
			return nil, n, keyspace.ErrHeavy
		}
		c.ahead.coming = groups[n+1:]
		before := tx.Writes()
		tx.Allow(groups[n].stepsMax())
		keyspace.AllowBytes(tx, c.cfg.bytesMax(&groups[n]))
		keyspace.Sign(tx, author(groups[n].Group, n))
		b.Replies = append(b.Replies, c.group(&ctx, b, &groups[n], in))
		if groups[n].strayed && b.Replies[n].Status != group.Moved {
			return c.Evaluate(in, groups) // without what the group has done
		}
		wrote = append(wrote, tx.Writes() != before && b.Replies[n].Status == group.OK)
		b.Groups = append(b.Groups, groups[n].Group)
		if errors.Is(tx.Err(), keyspace.ErrHeavy) {
			if changesTasks(c.cfg.Table, groups[n].Group) {
				groups[n].tasks++
				return c.Evaluate(in, groups)
			}
			if groups[n].rescript(c.cfg.Table) {
				return c.Evaluate(in, groups)
			}
			c.waiting.begin()
			return nil, n, keyspace.ErrHeavy
		}
	}
	tx.Allow(0)
	keyspace.AllowBytes(tx, 0)
	keyspace.Sign(tx, 0)
	if in.Sweep != nil && !in.Tight && tx.Steps() <= batchStepsMax {
		mark := tx.Mark()
		in.Sweep(tx)
		if bad := tx.TakeRowError(); bad != nil {
			tx.Rollback(mark)
			tx.ReportRow(bad)
		}
		tx.Release(mark)
		c.serve(b, in, 0)
	}
	if err := tx.Err(); err != nil {
		return nil, 0, err
	}
	c.out = min(len(ctx.Out), batchBytesMax)
	c.finish(b, in, wrote)
	return b, n, nil
}

// group evaluates one group. The sessions have already been asked whether it
// is a repetition.
func (c *Core) group(ctx *command.Ctx, b *Batch, g *Waiting, in Input) group.Reply {
	r := group.Reply{Session: g.Session, Seq: g.Seq, Attempt: g.Attempt, Term: b.Term, Index: b.Index, Time: b.Time}
	if c.ended(b, g.Group) {
		r.Status = group.NoSession
		return r
	}
	if g.Open {
		b.opened = append(b.opened, g.Session)
		return r
	}
	if g.Wait != nil && c.waiting.answered(b, g.Group, &r) {
		return r
	}
	if g.Claim.Users != 0 && g.Claim.Users < in.Users {
		r.Status, r.Users = group.UsersChanged, in.Users
		return r
	}
	if g.strayed || !in.Owned.Slots.Covers(g.Claim.Slots) {
		// The attempts before this one had no effects: what an earlier leader had
		// applied of them the sessions would have found. Those after it are answered
		// as this one. A shard that takes slots over with their rows, instead of
		// being handed them empty, must take these rows of the sessions too, and ask
		// them first, or an attempt that its parent applied would be executed again.
		r.Status, r.Owned = group.Moved, &in.Owned
		return r
	}
	if !allUnchanged(in.Owned.Slots, ctx.Tx, g.Watches) {
		r.Status = group.WatchFailed
		return r
	}
	if g.Atomic && c.refused(g.Group, in.Shortage) {
		r.Status = group.NoSpace
		return r
	}
	ctx.Scripts.User = c.rights.user(c.cfg.Table.Catalog(), g.User)
	how := manner{ahead: &c.ahead}
	if c.waiting.registry.Len() > 0 || g.Wait != nil {
		how.serve = func() { c.serve(b, in, g.stepsMax()) }
	}
	if g.Wait != nil {
		how.wait = func(topics [][]byte) {
			x := c.waiting.park(g.Group, kindOf(c.cfg.Table, g.Cmds[0].Args), b.Term, topics)
			r.Status, r.Order = group.Parked, x.Order
		}
	}
	if g.tasks == tasksRefused {
		refuse(ctx, g.Group, &r, errTasksHeavy)
		return r
	}
	if g.script == scriptRefused {
		refuse(ctx, g.Group, &r, errScriptLater)
		return r
	}
	if g.Atomic {
		g.strayed = allOrNothing(c, ctx, g.Group, in, &r, how)
		return r
	}
	r.Replies, r.Unfit, g.strayed = c.commands(ctx, g.Group, &in.Owned, in.Shortage, how)
	switch {
	case r.Status == group.Parked:
		r.Replies = nil
	case g.Wait != nil:
		c.waiting.left(g.Group)
	}
	return r
}

// manner is how commands are evaluated.
type manner struct {
	// wait lets a command wait that found nothing. Nil: it is answered so.
	wait func(topics [][]byte)
	// serve gives what a command has brought to those who wait for it, if anybody can.
	serve func()
	// ahead is told before each command. Nil: nobody is.
	ahead *ahead
}

// finish seals a batch if anything of it must be replicated.
func (c *Core) finish(b *Batch, in Input, wrote []bool) {
	tx := b.tx
	if c.cfg.Found != nil {
		c.cfg.Found(tx.Finds())
	}
	pieces := c.Pieces.next(in, b)
	if tx.Empty() && !tx.Eventful() && !tx.UsedNow() && !in.Tick && !in.Scrub && in.Give == nil && len(b.opened) == 0 && !pieces {
		return
	}
	c.seal(b, tx, in.Databases, wrote)
	c.Pieces.add(&b.Data)
	b.Events = tx.TakeEvents()
	b.nameOwn(wrote)
	if in.Scrub {
		b.Data.Put(store.ScrubRow(c.cfg.Shard), in.From)
	}
	if in.Give != nil {
		b.Data.Put(store.SlotsRow(c.cfg.Shard), store.EncodeSlots(*in.Give))
	}
}

// commands evaluates the commands of a group and returns their replies; none if
// the group strayed: nothing that it did counts. Of a transaction that is to be undone it
// returns one, which says why.
func (c *Core) commands(ctx *command.Ctx, g *group.Group, owned *cluster.Descriptor, short Shortage, how manner) (replies [][]byte, unfit group.Unfit, strayed bool) {
	ctx.Proto = int(g.Proto)
	defer command.Bound(ctx, 0, 0)
	began, steps := len(ctx.Out), ctx.Tx.Steps()
	replies = make([][]byte, len(g.Cmds))
	for i, cmd := range g.Cmds {
		at := len(ctx.Out)
		how.ahead.step(g.Cmds[i:])
		ctx.DB, ctx.Args = cmd.DB, cmd.Args
		switch row, text := c.cfg.Table.Lookup(cmd.Args); {
		case row == nil || row.Run == nil:
			ctx.Error("ERR the leader does not know this command (" + text + "). Not applied.")
		case len(ctx.Out)-began > group.RepliesMax && !(g.Atomic && row.Flags&command.Write != 0):
			ctx.Error(group.TextReplies) // a transaction is not left half done
		case short.refuses(row) != "":
			ctx.Error(short.refuses(row))
		case !g.Atomic && row.Flags&command.Tasks != 0 && ctx.Tx.Steps()-steps > batchStepsMax:
			ctx.Error(errTasksLater)
		default:
			command.Bound(ctx, began+repliesMost(g), at+group.RepliesEnd)
			ctx.Run(row)
			if ctx.Foreign() && g.Claim.Generation < owned.Generation {
				return nil, unfit, true // with a newer map the sender may know better
			}
			if topics := ctx.Waits(); topics != nil && how.wait != nil {
				how.wait(topics)
			}
			if unfit = tooMuch(ctx, g, row, i); unfit.Need > 0 {
				return leaveOut(replies, i, ctx.Out[at:len(ctx.Out):len(ctx.Out)]), unfit, false
			}
			if g.Atomic && ctx.Failed() && (row.Flags&command.Tasks != 0 || command.TooMuch(ctx) > 0) {
				return [][]byte{ctx.Out[at:len(ctx.Out):len(ctx.Out)]}, unfit, false // see allOrNothing
			}
		}
		replies[i] = ctx.Out[at:len(ctx.Out):len(ctx.Out)]
		if how.serve != nil && (!g.Atomic || i == len(g.Cmds)-1) {
			how.serve()
		}
	}
	return replies, tooMany(g, len(ctx.Out)-began), false
}

// refused reports whether there is no room for some command of a transaction,
// which is all or nothing.
func (c *Core) refused(g *group.Group, short Shortage) bool {
	var flags command.Flags
	if short.Full {
		flags = command.DenyOOM
	}
	if short.Tight {
		flags |= command.Write
	}
	if flags == 0 {
		return false
	}
	for _, cmd := range g.Cmds {
		if row, _ := c.cfg.Table.Lookup(cmd.Args); row != nil && row.Flags&flags != 0 {
			return true
		}
	}
	return false
}

// ended reports whether a newer incarnation of its entry node has taken the
// session of a group away while the group waited, in this batch even.
func (c *Core) ended(b *Batch, g *group.Group) bool {
	for _, id := range b.opened {
		if group.SessionNode(id) == group.SessionNode(g.Session) && group.SessionIncarnation(id) > group.SessionIncarnation(g.Session) {
			return true
		}
	}
	return !g.Open && c.sessions.byID[g.Session] == nil
}
