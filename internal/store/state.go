package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"tutti/internal/cluster"
	"tutti/internal/durable"
	"tutti/internal/keyspace"
	"tutti/internal/rowcache"
)

// State is the state store of a node: the applied state of all its shards. It
// has no write-ahead log; what a crash takes from it is replayed from the Log.
type State struct {
	cfg   Config
	db    *pebble.DB
	cache *pebble.Cache
	// bytes of entries whose rows were committed since the last forced flush, for
	// FlushIfLarge.
	unflushed atomic.Int64
	reclaimer reclaimer
	stir      Stir
	stalls    *stalls
	commits   commits
	hot       hotRows
	late      layers
	known     knownRows
}

// Applied is how far a shard has come.
type Applied struct {
	Index, Term uint64
	Time        int64  // shard time in milliseconds
	Hash        uint64 // chained hash of all write sets, equal on all replicas
}

// OpenState opens or creates the state store below cfg.Dir.
func OpenState(cfg Config) (*State, error) {
	cfg.fill()
	p := cfg.profile()
	dir := cfg.FS.PathJoin(cfg.Dir, "state")
	cache := pebble.NewCache(p.cache)
	opts := cfg.options("state", p.stateMemtable, p.stateWaiting, cache)
	opts.DisableWAL = true
	stalled := new(stalls)
	stalled.watch(opts, cfg.Spikes)
	db, err := openPebble(dir, opts)
	if err != nil {
		cache.Unref()
		return nil, fmt.Errorf("open state store %s: %w", dir, err)
	}
	if err := durable.SyncDir(cfg.FS, cfg.Dir); err != nil {
		db.Close()
		cache.Unref()
		return nil, err
	}
	s := &State{cfg: cfg, db: db, cache: cache, stir: newStir(p.logMemtable), stalls: stalled, commits: newCommits(), reclaimer: newReclaimer(), hot: hotRows{shard: make(map[cluster.ShardID]*rowcache.Rows)},
		late:  layers{max: cfg.layerBytes(), wide: wideLayers * cfg.layerBytes(), back: p.backLimits(), shard: make(map[cluster.ShardID]*lateShard)},
		known: knownRows{shard: make(map[cluster.ShardID]*known)}}
	if cfg.RowBytes > 0 {
		s.hot.cache = rowcache.New(cfg.RowBytes, keyspace.IsObject)
	}
	if err := s.dropIncoming(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.reclaimer.start(s)
	return s, nil
}

// Close flushes what is in memory, so that the next start replays little, and
// closes the store. All views must have been released.
func (s *State) Close() (err error) {
	s.reclaimer.stop()
	err = flushLast(s)
	s.late.forgetAll()
	err = errors.Join(err, s.db.Close())
	s.cache.Unref()
	s.hot.close()
	return err
}

// flushLast flushes, unless the disk can't: it would never end, and the next start has the
// log.
func flushLast(s *State) error {
	if s.cfg.Space.Full() {
		return nil
	}
	if err := settleAll(s); err != nil {
		return err
	}
	done, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	look := time.NewTicker(closeLook)
	defer look.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-look.C:
			if s.cfg.Space.Full() || s.cfg.Space.failed() {
				return nil
			}
		}
	}
}

// closeLook is how often Close looks whether the disk has become full.
const closeLook = 100 * time.Millisecond

// UsersEpoch reads the epoch in a shard's users row, 0 if there is none.
func UsersEpoch(r keyspace.Reader, shard cluster.ShardID) (uint64, error) {
	val, ok, err := r.Get(UsersRow(shard), nil)
	if err != nil || !ok {
		return 0, err
	}
	epoch, ok := keyspace.DecodeUsersEpoch(val)
	if !ok {
		return 0, fmt.Errorf("users row %x: %w", val, ErrFormat)
	}
	return epoch, nil
}

// Starts returns, for each node that has opened a session with a shard, the
// newest of its starts that did.
func (s *State) Starts(shard cluster.ShardID) (map[cluster.NodeID]uint64, error) {
	lower := localRow(shard, localNode)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: localRow(shard, localNode+1)})
	if err != nil {
		return nil, damage(err)
	}
	defer it.Close()
	counts := make(map[cluster.NodeID]uint64)
	for ok := it.First(); ok; ok = it.Next() {
		if len(it.Key()) != len(lower)+8 || len(it.Value()) != 8 {
			return nil, fmt.Errorf("starts of nodes, row %x: %w", it.Key(), ErrFormat)
		}
		counts[cluster.NodeID(be.Uint64(it.Key()[len(lower):]))] = be.Uint64(it.Value())
	}
	return counts, damage(it.Error())
}

// encode returns the value of the applied row.
func (a Applied) encode() []byte {
	b := make([]byte, 0, 32)
	for _, n := range [...]uint64{a.Index, a.Term, uint64(a.Time), a.Hash} {
		b = be.AppendUint64(b, n)
	}
	return b
}

func decodeApplied(b []byte) (Applied, error) {
	if len(b) != 32 {
		return Applied{}, fmt.Errorf("applied row of %d bytes: %w", len(b), ErrFormat)
	}
	return Applied{be.Uint64(b), be.Uint64(b[8:]), int64(be.Uint64(b[16:])), be.Uint64(b[24:])}, nil
}

// Read returns the row of a shard, nil if absent; durable restricts it to what
// a crash can't take away.
func (s *State) read(row []byte, durable bool) ([]byte, error) {
	if !durable {
		v, closer, err := s.db.Get(row)
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, damage(err)
		}
		defer closer.Close()
		return append([]byte{}, v...), nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{OnlyReadGuaranteedDurable: true, LowerBound: row, UpperBound: append(append([]byte{}, row...), 0)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	if !it.First() {
		return nil, damage(it.Error())
	}
	return append([]byte{}, it.Value()...), nil
}

// Applied returns how far a shard has been applied, zero for an unknown shard.
func (s *State) Applied(shard cluster.ShardID) (Applied, error) { return s.applied(shard, false) }

// DurablyApplied returns how far a shard would have been applied after a crash
// now. The log may be truncated up to there.
func (s *State) DurablyApplied(shard cluster.ShardID) (Applied, error) { return s.applied(shard, true) }

func (s *State) applied(shard cluster.ShardID, durable bool) (Applied, error) {
	b, err := s.read(AppliedRow(shard), durable)
	if b == nil || err != nil {
		return Applied{}, err
	}
	return decodeApplied(b)
}

// Conf returns the applied raft configuration of a shard.
func (s *State) Conf(shard cluster.ShardID) (*pb.ConfState, error) {
	b, err := s.read(localRow(shard, localConf), false)
	if err != nil {
		return nil, err
	}
	if b == nil { // an empty one would decide who votes
		return nil, fmt.Errorf("configuration of shard %d: %w", shard, ErrNoShard)
	}
	conf := &pb.ConfState{}
	if err := proto.Unmarshal(b, conf); err != nil {
		return nil, fmt.Errorf("configuration of shard %d: %w", shard, err)
	}
	return conf, nil
}

// ErrNoShard says that a store holds nothing of a shard.
var ErrNoShard = errors.New("no such shard here")

// Descriptor returns what a shard knows of itself.
func (s *State) Descriptor(shard cluster.ShardID) (cluster.Descriptor, error) {
	b, err := s.read(localRow(shard, localShard), false)
	if err != nil {
		return cluster.Descriptor{}, err
	}
	if b == nil {
		return cluster.Descriptor{}, fmt.Errorf("descriptor of shard %d: %w", shard, ErrNoShard)
	}
	d, err := cluster.DecodeDescriptor(b)
	if err == nil && d.ID != shard {
		err = fmt.Errorf("it is that of shard %d: %w", d.ID, ErrDamaged)
	}
	if err != nil {
		return d, fmt.Errorf("descriptor of shard %d: %w", shard, err)
	}
	return d, nil
}

// Shards lists the shards of which something has been applied.
func (s *State) Shards() (ids []cluster.ShardID, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{localPrefix}, UpperBound: []byte{localPrefix + 1}})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		if len(it.Key()) < localRowLen {
			return nil, fmt.Errorf("%w: row %x of the state", ErrDamaged, it.Key())
		}
		id := cluster.ShardID(be.Uint64(it.Key()[1:]))
		at, err := s.Applied(id)
		if err != nil {
			return nil, err
		}
		if at.Index > 0 {
			ids = append(ids, id)
		}
		_, next := localBounds(id)
		ok = it.SeekGE(next)
	}
	return ids, damage(it.Error())
}

// Row is a row of a store.
type Row struct{ Key, Val []byte }

// Create writes the state of a new replica: at a position that all replicas of
// the shard agree on, with the replicas of d as its members by conf, and rows.
// For one that joins a group the position is zero, and d names the shard only.
// It is durable on return.
func (s *State) Create(d cluster.Descriptor, at Applied, conf *pb.ConfState, rows ...Row) error {
	b := s.db.NewBatch()
	defer b.Close()
	enc, err := proto.Marshal(conf)
	if err != nil {
		return err
	}
	rows = append(slices.Clone(rows),
		Row{AppliedRow(d.ID), at.encode()}, Row{localRow(d.ID, localConf), enc},
		Row{localRow(d.ID, localShard), d.Encode(nil)}, Row{DatabasesRow(d.ID), keyspace.NewDatabases().Encode()})
	for _, r := range rows {
		if err := b.Set(r.Key, r.Val, nil); err != nil {
			return err
		}
	}
	defer s.late.forget(d.ID)
	return s.commitDurably(b)
}

// commitDurably commits b as one who does not apply entries.
func (s *State) commitDurably(b *pebble.Batch) error {
	var flushed <-chan struct{}
	err := s.commits.exclusive(func() (err error) {
		if err = b.Commit(pebble.NoSync); err != nil {
			return err
		}
		flushed, err = s.db.AsyncFlush()
		return err
	})
	if err != nil {
		return err
	}
	<-flushed
	return nil
}

// Rewrite puts rows and drops rows, all or nothing, beside what entries do. It is
// for a folder whose node does not run, and durable on return, as is all that was
// committed before.
func (s *State) Rewrite(put []Row, drop [][]byte) error {
	b := s.db.NewBatch()
	defer b.Close()
	for _, r := range put {
		if err := b.Set(r.Key, r.Val, nil); err != nil {
			return err
		}
	}
	for _, row := range drop {
		if err := b.Delete(row, nil); err != nil {
			return err
		}
	}
	defer s.hot.forgetAll()
	defer s.late.forgetAll()
	return s.commitDurably(b)
}

// Drop removes all rows of a shard that owns slots here, and gives the disk
// back. It is durable on return. No view of the shard may be open: excision
// would change what it shows.
func (s *State) Drop(shard cluster.ShardID, slots cluster.SlotRange) error {
	s.hot.forget(shard)
	s.late.forget(shard)
	s.known.set(shard, nil)
	lower, upper := localBounds(shard)
	spans := []pebble.KeyRange{{Start: lower, End: upper}}
	if !slots.Empty() {
		lower, upper = slotBounds(slots)
		spans = append(spans, pebble.KeyRange{Start: lower, End: upper})
	}
	for _, span := range spans {
		if err := s.commits.exclusive(func() error { return s.db.Excise(context.Background(), span) }); err != nil {
			return fmt.Errorf("drop the rows of shard %d: %w", shard, damage(err))
		}
	}
	return nil
}

// Batch collects what the entries of one cycle do to the state, over all
// shards. It is used by one goroutine.
type Batch struct {
	s *State
	b *pebble.Batch
	n int
	// Databases is set when a databases row was written.
	Databases bool
	// Users is set when a users row was written.
	Users bool
	// Scrub is set when the newest entry wrote a scrub row.
	Scrub bool
	// Slots is what the newest entry makes the shard own; nil: what it has.
	Slots *cluster.SlotRange
	// Meta is set when a row of the map was written.
	Meta bool
	// Effects is what the newest entry does.
	Effects Effects
	// Leads says that this node leads the shard whose entry is applied next, and so looks
	// up what commands take out of queues.
	Leads   bool
	entries []entry
	shards  []target
}

// NewBatch starts a batch.
func (s *State) NewBatch() *Batch { return &Batch{s: s, b: s.db.NewBatch()} }

// Apply adds a write set; at is the shard's position before, and the position
// after is returned. Empty data, as raft's own entries have, only advances it. The
// batch refers to data until it is committed.
func (b *Batch) Apply(shard cluster.ShardID, at Applied, index, term uint64, data []byte) (Applied, error) {
	if index != at.Index+1 {
		panic(fmt.Sprintf("store: shard %d: entry %d applied after %d", shard, index, at.Index))
	}
	at.Index, at.Term = index, term
	b.Scrub, b.Slots = false, nil
	seen := b.s.known.of(shard)
	var err error
	if b.Effects, err = seen.join(data); err != nil {
		return at, fmt.Errorf("apply entry %d of shard %d: %w", index, shard, err)
	}
	to := b.target(shard, &b.Effects)
	if len(data) > 0 {
		local, err := b.write(to, seen, index)
		if err != nil {
			return at, fmt.Errorf("apply entry %d of shard %d: %w", index, shard, err)
		}
		if local { // what a shard knows of itself is read from Pebble
			if err := to.settle(b.b); err != nil {
				return at, err
			}
		}
		if t := b.Effects.Time; t < at.Time {
			panic(fmt.Sprintf("store: shard %d: time goes back from %d to %d", shard, at.Time, t))
		}
		at.Time = b.Effects.Time
		at.Hash = chain(at.Hash, data)
		b.n += b.Effects.size
		if b.s.hot.cache != nil {
			b.entries = append(b.entries, entry{shard, index, b.Effects, b.Slots != nil, b.Leads})
		}
	}
	to.begin()
	defer to.end()
	return at, to.put(b.b, index, AppliedRow(shard), at.encode())
}

// write adds the rows of the newest entry, and reports whether there are some that are read
// otherwise than through views.
func (b *Batch) write(to *target, seen *known, index uint64) (local bool, err error) {
	learn := func(row, val []byte) error {
		local = local || !comesLate(row)
		seen.put(row, val)
		return b.learn(row, val)
	}
	forget := func(row []byte) error {
		local = local || !comesLate(row)
		seen.removed(row)
		b.Meta = b.Meta || keyspace.IsMetaRow(row)
		return nil
	}
	to.begin()
	defer to.end()
	rows := &b.Effects
	if to.wide != nil {
		for _, r := range slices.Backward(rows.before) {
			if err := r.each(r.ofNoKey(), learn, forget); err != nil {
				return local, err
			}
		}
		to.wide.lay(rows.before)
		rows = &Effects{rows: rows.rows}
	}
	err = rows.Each(
		func(row, val []byte) error {
			if ofNoKey(row) {
				if err := learn(row, val); err != nil {
					return err
				}
			}
			return to.put(b.b, index, row, val)
		},
		func(row []byte) error {
			if ofNoKey(row) {
				_ = forget(row)
			}
			return to.remove(b.b, index, row)
		},
	)
	return local, err
}

// learn takes note of what is in a row of a shard, or of the map.
func (b *Batch) learn(row, val []byte) error {
	b.Meta = b.Meta || keyspace.IsMetaRow(row)
	if len(row) != localRowLen {
		return nil
	}
	switch row[localRowLen-1] {
	case localDBs:
		b.Databases = true
	case localUsers:
		b.Users = true
	case localScrub:
		b.Scrub = true
	case localSlots:
		s, err := decodeSlots(val)
		if err != nil {
			return err
		}
		b.Slots = &s
	}
	return nil
}

func chain(hash uint64, data []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(hash)
	_, _ = d.Write(data)
	return d.Sum64()
}

// SetConf adds the configuration that a change at the entry just applied led
// to, and the descriptor that goes with it.
func (b *Batch) SetConf(d cluster.Descriptor, conf *pb.ConfState) error {
	enc, err := proto.Marshal(conf)
	if err != nil {
		return err
	}
	to := b.target(d.ID, &Effects{})
	return errors.Join(to.settle(b.b), b.b.Set(localRow(d.ID, localConf), enc, nil), b.b.Set(localRow(d.ID, localShard), d.Encode(nil), nil))
}

// Bytes returns how large the batch is.
func (b *Batch) Bytes() int { return b.b.Len() }

// Commit applies the batch; it is visible on return and durable some time later.
func (b *Batch) Commit() error {
	b.s.stir.add(int64(b.n))
	err := errors.Join(b.remember(), b.ready())
	if err == nil && !b.b.Empty() {
		err = b.s.commits.shared(func() error { return b.b.Commit(pebble.NoSync) })
	}
	if err == nil {
		for i := range b.shards {
			b.s.reclaimer.note(b.shards[i].deletes)
		}
		b.renew()
	}
	return errors.Join(err, b.b.Close())
}

// FlushIfLarge starts a flush if rows of more than max bytes of entries were committed to
// Pebble since the last one that was forced: what is flushed can leave the log. It does not
// wait for who commits rows of this or another shard.
func (s *State) FlushIfLarge(max int64) {
	if s.unflushed.Load() < max {
		return
	}
	s.commits.attempt(func() {
		s.unflushed.Store(0)
		if _, err := s.db.AsyncFlush(); err != nil {
			s.cfg.Logger.Warn("flush state store", slog.Any("error", err))
		}
	})
}

// Get implements keyspace.Reader on what is not late: all rows while no loop runs, and what
// a shard knows of itself, as its databases. See Newest for the others.
func (s *State) Get(row, dst []byte) ([]byte, bool, error) {
	val, ok, err := get(s.db, row, dst)
	noticed(&s.cfg, err)
	return val, ok, err
}

// Iter implements keyspace.Reader; see Get.
func (s *State) Iter(lower, upper []byte) (keyspace.Iterator, error) {
	return iter(&s.cfg, s.db, &s.reclaimer, lower, upper)
}

func get(r pebble.Reader, row, dst []byte) ([]byte, bool, error) {
	val, _, ok, err := source{base: r}.get(row, dst, taking{})
	return val, ok, err
}

// Disk returns the bytes that log and state take on disk.
func (s *State) Disk() uint64 { return s.db.Metrics().DiskSpaceUsage() }
