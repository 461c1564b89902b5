package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
)

// Counters is what a node must never count twice: its starts, the ids of
// objects it makes, and how often its data was made anew. File "counters", in
// two copies (see twice.go), version 1:
//
//	incarnation:8 ids:8 generation:8
type Counters struct {
	fs    vfs.FS
	dir   string
	log   *slog.Logger
	fatal func(error)

	// Incarnation is the number of starts, this one included.
	Incarnation uint64
	// Generation counts how often the data of the node was set aside and made
	// anew, see Mark. It is part of the ids of the node's replicas.
	Generation uint64

	mu    sync.Mutex // guards what follows
	node  cluster.NodeID
	next  uint64 // next id's counter
	limit uint64 // reserved on disk up to here
	// again is from which id on more are reserved.
	again uint64
	spent bool // see GiveUp
}

const (
	// CountersFile is the name of the file, of its first copy.
	CountersFile = "counters"
	// countersVersion is the version of the file's format.
	countersVersion = 1
	countersBytes   = 24
)

const (
	// idFirst is how many ids a start reserves, whether it needs them or not.
	idFirst = 1 << 16
	// idBlock is how many are reserved at once later: few fsyncs for a million of
	// them.
	idBlock = 1 << 20
	// idEarly is how many ids are left when more are reserved. A disk may be
	// full at that moment and not later, see reserve.
	idEarly = idBlock / 2
	// idRetry is after how many ids a reservation that failed is tried again.
	idRetry = 1 << 12
)

const (
	idCounterBits = 48
	// incarnationMax is what fits into the ids of sessions and rounds of reads.
	incarnationMax = 1<<32 - 1
)

// OpenCounters counts a start, durably. create makes the file of a new node;
// otherwise a missing file is an error: whoever lost it lost more. If both
// copies of the file are damaged the error is a LostError, see RenewCounters.
func OpenCounters(cfg Config, node cluster.NodeID, create bool) (*Counters, error) {
	cfg.fill()
	c := &Counters{fs: cfg.FS, dir: cfg.Dir, log: cfg.Logger, fatal: cfg.Fatal, node: node}
	if !create {
		if err := c.load(); err != nil {
			return nil, err
		}
		c.Incarnation++
	}
	c.next = c.limit
	c.limit += idFirst
	c.again = c.limit - idFirst/2
	if err := c.save(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Counters) load() error {
	t, err := ReadTwice(c.fs, c.dir, CountersFile, countersVersion)
	if err != nil {
		return err
	}
	b := t.Body
	if len(b) != countersBytes {
		return fmt.Errorf("counters of %d bytes: %w", len(b), ErrFormat)
	}
	c.Incarnation, c.limit, c.Generation = be.Uint64(b), be.Uint64(b[8:]), be.Uint64(b[16:])
	if c.Incarnation >= incarnationMax || c.limit >= 1<<idCounterBits-idBlock {
		return fmt.Errorf("start %d, id %d: %w", c.Incarnation, c.limit, ErrFormat)
	}
	return nil
}

// RaiseGeneration makes generation, if it is higher, the node's one, durably.
// It is called before anything else uses the counters.
func (c *Counters) RaiseGeneration(generation uint64) error {
	if generation <= c.Generation {
		return nil
	}
	c.Generation = generation
	return c.save()
}

func (c *Counters) save() error {
	if c.spent {
		return errors.New("the numbers of this node were given up")
	}
	body := be.AppendUint64(be.AppendUint64(nil, c.Incarnation), c.limit)
	return WriteTwice(c.fs, c.dir, CountersFile, countersVersion, be.AppendUint64(body, c.Generation))
}

// Known is what others still know of counters that are lost: each number was at
// least that.
type Known struct {
	Incarnation, Generation uint64
}

// Numbers that replace lost ones leave out so many that none comes twice, see
// docs/RATIONALE.md.
const (
	// lostIncarnation is more than a node starts in its life.
	lostIncarnation = 1 << 31
	// lostStarts is more than a node starts without anybody remembering one.
	lostStarts = 1 << 24
	// lostIDs are the ids of objects for each start that is left out. No start
	// takes more unless it makes objects.
	lostIDs = idFirst
	// lostGenerations is more than how often a node is made anew in its life.
	lostGenerations = 1 << 32
)

// RenewCounters replaces lost counters by higher ones, and marks the node's data
// as damaged: nobody can tell any more which of the node's promises it belongs
// to. The mark comes first; a crash in between leaves the counters lost.
func RenewCounters(cfg Config, node cluster.NodeID, known Known, rand func(n uint64) uint64, why error) error {
	cfg.fill()
	c := &Counters{fs: cfg.FS, dir: cfg.Dir, log: cfg.Logger, node: node}
	m, ok, err := ReadMark(cfg.FS, cfg.Dir)
	switch lost := (*LostError)(nil); {
	case err != nil && !errors.As(err, &lost):
		return err
	case ok:
		known.Generation = max(known.Generation, m.Generation)
	}
	c.Incarnation = max(known.Incarnation, lostIncarnation) + lostStarts + rand(lostStarts)
	c.limit = c.Incarnation * lostIDs
	c.Generation = known.Generation + lostGenerations + rand(lostGenerations)
	if c.Incarnation >= incarnationMax-lostStarts {
		return fmt.Errorf("%w, and too often: node %d can't go on, remove it and add a new one", why, node)
	}
	if m.Why == "" {
		m.Why = why.Error()
	}
	m.Generation = c.Generation
	if err := m.write(cfg.FS, cfg.Dir); err != nil {
		return err
	}
	return c.save()
}

// GiveUp does what RenewCounters does while the node runs: its folder is an old
// copy, whose numbers say only how far they had come when it was made. Nothing
// is counted with them any more: the node is about to end.
func (c *Counters) GiveUp(known Known, rand func(n uint64) uint64, why error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spent = true
	return RenewCounters(Config{FS: c.fs, Dir: c.dir, Logger: c.log}, c.node, known, rand, why)
}

// NewID returns an object id that no node ever returned before: node:16
// counter:48. It is safe for concurrent use.
func (c *Counters) NewID() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next >= c.again {
		c.reserve()
	}
	c.next++
	return uint64(c.node)<<idCounterBits | c.next
}

// reserve reserves more ids, while there still are some: that a disk is full now
// ends the node only if it stays so until all are used. c.mu is held.
func (c *Counters) reserve() {
	had := c.limit
	err := fmt.Errorf("node %d has made all its object ids", c.node)
	if c.limit += idBlock; c.limit < 1<<idCounterBits {
		err = c.save()
	}
	if err == nil {
		c.again = c.limit - idEarly
		return
	}
	c.limit = had
	if c.next == c.limit || !isFull(err) && c.limit+idBlock < 1<<idCounterBits {
		c.fatal(err)
		return
	}
	c.again = min(c.next+idRetry, c.limit)
	c.log.Warn("reserve object ids", slog.Any("error", err))
}
