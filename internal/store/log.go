package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/durable"
	"tutti/internal/spike"
)

// Log is the log store of a node: raft entries and hard states of all shards.
//
// Appends of all shards go through one goroutine, which writes what has
// gathered as one batch with one fsync. Whatever waits while an fsync runs
// shares the next one.
type Log struct {
	cfg    Config // its FS is files
	files  *durable.Unwatched
	stalls *stalls
	vow    *vow
	opened

	mu      sync.Mutex // guards queue, closing
	queue   []*Append
	closing bool
	wake    chan struct{} // capacity 1: a signal, not a queue
	done    chan struct{}

	// The rest belongs to the writer goroutine after OpenLog.
	last map[cluster.ShardID]uint64        // shard -> index of its last entry on disk
	hard map[cluster.ShardID]*pb.HardState // commits not yet written, folded into the next append
	// unsynced says that something was written since the last fsync.
	unsynced bool
	shedder
}

// Append is one write to the log of a shard.
type Append struct {
	Shard   cluster.ShardID
	Entries []*pb.Entry   // contiguous; those already there from the first index on are replaced
	Hard    *pb.HardState // nil: unchanged
	// Truncate, if not 0, removes the entries up to and including it; its term
	// is TruncateTerm.
	Truncate, TruncateTerm uint64
	// Sync forces the write to disk although it carries nothing that raft's
	// contract wants durable.
	Sync bool
	// Done is called on the writer's goroutine once all is durable. It must not
	// block. Nil: nobody waits, and the write may share a later fsync.
	Done func()

	reset *position // snapshot installed: drop everything, start behind it
	mark  *position // marker "installing"; zero clears it
	// replica is who the log belongs to; with create it is a new one, with
	// dropping it is about to go, with dropped it is gone with all its rows.
	replica                   cluster.ReplicaID
	create, dropping, dropped bool
	rest                      bool // nothing of a shard: see Log.Rest
}

type position struct{ index, term uint64 }

const (
	rowEntry    = 'e'
	rowHard     = 'h'
	rowFront    = 't'
	rowInstall  = 'i'
	rowReplica  = 'r'
	rowDropping = 'd'
	rowGone     = 'g'
	entryHead   = 4 + 1 + 8
	appendQueue = 1 << 14 // more waiting appends than loops can produce
)

func logRow(dst []byte, shard cluster.ShardID, kind byte) []byte {
	return append(be.AppendUint64(dst, uint64(shard)), kind)
}

func entryRow(dst []byte, shard cluster.ShardID, index uint64) []byte {
	return be.AppendUint64(logRow(dst, shard, rowEntry), index)
}

// OpenLog opens or creates the log store below cfg.Dir and starts its writer.
func OpenLog(cfg Config) (*Log, error) {
	cfg.fill()
	files := durable.NewUnwatched(cfg.FS, categoryWAL)
	cfg.FS = files
	stalled := new(stalls)
	db, err := openLog(cfg, stalled)
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	var v *vow
	if err = durable.SyncDir(cfg.FS, cfg.Dir); err == nil {
		v, err = openVow(cfg.FS, cfg.FS.PathJoin(cfg.Dir, "vow"), cfg.Space, cfg.Fatal)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close(), files.Close())
	}
	l := &Log{cfg: cfg, files: files, opened: opened{db: db}, stalls: stalled, vow: v, wake: make(chan struct{}, 1), done: make(chan struct{}),
		last: make(map[cluster.ShardID]uint64), hard: make(map[cluster.ShardID]*pb.HardState)}
	go l.run()
	return l, nil
}

func openLog(cfg Config, stalled *stalls) (*pebble.DB, error) {
	dir := cfg.FS.PathJoin(cfg.Dir, "log")
	opts := cfg.options("log", cfg.profile().logMemtable, 3*cfg.profile().logMemtable, nil)
	opts.CacheSize = 8 << 20
	stalled.watch(opts, cfg.Spikes)
	db, err := openPebble(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open log store %s: %w", dir, err)
	}
	return db, nil
}

// keepsLeast is what the log keeps of entries in any case.
const keepsLeast = 8 << 20

// Keeps is how many bytes of entries that the state holds durably may stay in the log
// without most of it being written to tables: an eighth of what is in memory, as it takes
// twice to three times as much until the state is flushed.
func (l *Log) Keeps() uint64 {
	return uint64(max(l.cfg.profile().logMemtable/8, keepsLeast))
}

// MakeDir makes a folder and those above it, durably.
func MakeDir(fs vfs.FS, dir string) error {
	var parents []string // of those that are missing
	for d := dir; ; d = fs.PathDir(d) {
		if _, err := fs.Stat(d); err == nil || d == fs.PathDir(d) {
			break
		}
		parents = append(parents, fs.PathDir(d))
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make folder %s: %w", dir, err)
	}
	for _, p := range parents {
		if err := durable.SyncDir(fs, p); err != nil {
			return err
		}
	}
	return nil
}

// Append queues a write. It never blocks.
func (l *Log) Append(a *Append) {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return
	}
	if len(l.queue) > appendQueue {
		panic(fmt.Sprintf("store: %d appends wait", len(l.queue)))
	}
	l.queue = append(l.queue, a)
	l.mu.Unlock()
	if a.Done == nil && !a.Sync && len(a.Entries) == 0 && a.Truncate == 0 {
		return // a commit index alone goes with the next write
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// do queues a write and waits until it is durable.
func (l *Log) do(a *Append) {
	ch := make(chan struct{})
	a.Done = func() { close(ch) }
	l.Append(a)
	select {
	case <-ch:
	case <-l.done:
	}
}

// SyncCommit makes the hard state durable and returns then. It is called
// before a configuration change is applied: raft does not ask for a fsync of a
// commit index, but a configuration that was applied and is forgotten in a
// crash would let two majorities exist.
func (l *Log) SyncCommit(shard cluster.ShardID, hs *pb.HardState) {
	l.do(&Append{Shard: shard, Hard: hs, Sync: true})
}

// Close writes what waits, makes the vow final and closes the store.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	<-l.done
	err := l.vow.close()
	return errors.Join(err, l.db.Close(), l.files.Close())
}

func (l *Log) run() {
	defer close(l.done)
	var spare []*Append
	for range l.wake {
		l.mu.Lock()
		work, closing := l.queue, l.closing
		l.queue = spare[:0]
		l.mu.Unlock()
		if len(work) > 0 || closing {
			if err := l.write(work, closing); err != nil {
				l.cfg.Fatal(fmt.Errorf("write raft log: %w", err))
				return
			}
		}
		if closing {
			return
		}
		clear(work)
		spare = work
	}
}

// write makes all of work durable, in order, and reports it done.
func (l *Log) write(work []*Append, closing bool) error {
	b := l.db.NewBatch()
	defer b.Close()
	sync := closing
	for _, a := range work {
		if err := l.lowerVow(a); err != nil {
			return err
		}
		must, err := l.add(b, a)
		if err != nil {
			return err
		}
		sync = sync || must || a.Done != nil
	}
	if closing {
		for shard, hs := range l.hard {
			if err := b.Set(logRow(nil, shard, rowHard), encodeHard(hs), nil); err != nil {
				return err
			}
		}
	}
	if sync && l.unsynced && b.Empty() {
		// Somebody waits for what was written before without an fsync, as the
		// removal of a part of the log is.
		if err := b.LogData(nil, nil); err != nil {
			return err
		}
	}
	if !b.Empty() {
		opt := pebble.NoSync
		if sync {
			opt = pebble.Sync
		}
		began := time.Now()
		if err := b.Commit(opt); err != nil {
			return err
		}
		if l.unsynced = !sync; sync {
			l.cfg.Spikes.Note(spike.Fsync, time.Since(began))
		}
	}
	l.shed(work)
	if err := l.reopen(work); err != nil {
		return err
	}
	if err := l.raiseVow(work); err != nil {
		return err
	}
	for _, a := range work {
		if a.Done != nil {
			a.Done()
		}
	}
	return nil
}

// add puts one append into the batch and says whether it must be synced.
func (l *Log) add(b *pebble.Batch, a *Append) (sync bool, err error) {
	switch {
	case a.dropping:
		return true, b.Set(logRow(nil, a.Shard, rowDropping), encodeReplica(a.replica), nil)
	case a.dropped:
		return true, l.addDropped(b, a)
	case a.reset != nil:
		if err := l.addReset(b, a); err != nil {
			return false, err
		}
		if a.create {
			if err := b.Set(logRow(nil, a.Shard, rowReplica), encodeReplica(a.replica), nil); err != nil {
				return false, err
			}
		}
		sync = true
	case a.mark != nil:
		row := logRow(nil, a.Shard, rowInstall)
		if err := b.Set(row, encodePosition(*a.mark), nil); err != nil {
			return false, err
		}
		sync = true
	case len(a.Entries) > 0:
		if err := l.addEntries(b, a); err != nil {
			return false, err
		}
		sync = true
	}
	if a.Truncate != 0 {
		front := position{a.Truncate, a.TruncateTerm}
		if err := b.Set(logRow(nil, a.Shard, rowFront), encodePosition(front), nil); err != nil {
			return false, err
		}
		if err := b.DeleteRange(entryRow(nil, a.Shard, 0), entryRow(nil, a.Shard, a.Truncate+1), nil); err != nil {
			return false, err
		}
	}
	if hs := a.Hard; hs != nil {
		l.hard[a.Shard] = hs
		sync = sync || a.Sync || a.Done != nil
	}
	// A commit index alone may wait: losing it costs nothing but learning it again.
	if hs := l.hard[a.Shard]; sync && hs != nil {
		delete(l.hard, a.Shard)
		if err := b.Set(logRow(nil, a.Shard, rowHard), encodeHard(hs), nil); err != nil {
			return false, err
		}
	}
	return sync, nil
}

func (l *Log) addEntries(b *pebble.Batch, a *Append) error {
	first := a.Entries[0].GetIndex()
	// After a start the writer does not know yet where the log ends, and rows
	// behind the new entries would come back at the next one.
	if last, ok := l.last[a.Shard]; !ok || first <= last {
		if err := b.DeleteRange(entryRow(nil, a.Shard, first), entryRow(nil, a.Shard, math.MaxUint64), nil); err != nil {
			return err
		}
	}
	for _, e := range a.Entries {
		data := e.GetData()
		op := b.SetDeferred(8+1+8, entryHead+len(data))
		entryRow(op.Key[:0], a.Shard, e.GetIndex())
		encodeEntry(op.Value[:0], e)
		if err := op.Finish(); err != nil {
			return err
		}
		l.last[a.Shard] = e.GetIndex()
	}
	return nil
}

func (l *Log) addReset(b *pebble.Batch, a *Append) error {
	if err := b.DeleteRange(entryRow(nil, a.Shard, 0), entryRow(nil, a.Shard, math.MaxUint64), nil); err != nil {
		return err
	}
	if err := b.Set(logRow(nil, a.Shard, rowFront), encodePosition(*a.reset), nil); err != nil {
		return err
	}
	l.last[a.Shard] = a.reset.index
	return b.Delete(logRow(nil, a.Shard, rowInstall), nil)
}

// lowerVow makes a lowered vow durable before entries that were vowed for are
// replaced, or dropped for a snapshot: a new leader's shorter log is legitimate.
func (l *Log) lowerVow(a *Append) error {
	var keep uint64
	switch {
	case a.reset != nil:
		keep = a.reset.index
	case len(a.Entries) > 0:
		keep = a.Entries[0].GetIndex() - 1
	default:
		return nil
	}
	if keep >= l.vow.index(a.Shard) {
		return nil
	}
	return l.vow.lower(a.Shard, keep)
}

func (l *Log) raiseVow(work []*Append) error {
	urgent := false
	l.vow.mu.Lock()
	for _, a := range work {
		if a.dropping || a.dropped || a.rest {
			continue // forgotten by itself, in time, or nobody's
		}
		p := l.vow.promise(a.Shard)
		if n := len(a.Entries); n > 0 {
			p.index, p.term = a.Entries[n-1].GetIndex(), a.Entries[n-1].GetTerm()
		}
		if a.reset != nil {
			p.index, p.term = a.reset.index, a.reset.term
		}
		if hs := a.Hard; hs != nil && (hs.GetTerm() != p.currentTerm || hs.GetVote() != p.vote) {
			p.currentTerm, p.vote = hs.GetTerm(), hs.GetVote()
			urgent = true
		}
		l.vow.state[a.Shard] = p
	}
	l.vow.mu.Unlock()
	if urgent {
		// Term and vote are vowed before they are answered: a second copy that
		// keeps this replica from voting twice should the log store rot.
		return l.vow.write()
	}
	l.vow.signal()
	return nil
}

// encodeEntry appends the row value of e to dst.
func encodeEntry(dst []byte, e *pb.Entry) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, byte(e.GetType()))
	dst = be.AppendUint64(dst, e.GetTerm())
	dst = append(dst, e.GetData()...)
	be.PutUint32(dst[at:], entrySum(e.GetIndex(), dst[at+4:]))
	return dst
}

func entrySum(index uint64, body []byte) uint32 {
	var b [8]byte
	be.PutUint64(b[:], index)
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, body)
}

func decodeEntry(index uint64, val []byte) (*pb.Entry, error) {
	if len(val) < entryHead || be.Uint32(val) != entrySum(index, val[4:]) {
		return nil, fmt.Errorf("entry %d: wrong checksum", index)
	}
	typ := pb.EntryType(val[4])
	term := be.Uint64(val[5:])
	return &pb.Entry{Index: &index, Term: &term, Type: &typ, Data: append([]byte(nil), val[entryHead:]...)}, nil
}

func sealed(body []byte) []byte {
	return append(be.AppendUint32(nil, crc32.Checksum(body, castagnoli)), body...)
}

func unseal(val []byte, size int) ([]byte, error) {
	if len(val) != 4+size || be.Uint32(val) != crc32.Checksum(val[4:], castagnoli) {
		return nil, errors.New("wrong checksum")
	}
	return val[4:], nil
}

func encodeHard(hs *pb.HardState) []byte {
	b := be.AppendUint64(nil, hs.GetTerm())
	b = be.AppendUint64(b, hs.GetVote())
	return sealed(be.AppendUint64(b, hs.GetCommit()))
}

func encodePosition(p position) []byte {
	return sealed(be.AppendUint64(be.AppendUint64(nil, p.index), p.term))
}

func (l *Log) readHard(shard cluster.ShardID) (*pb.HardState, error) {
	b, err := l.read(logRow(nil, shard, rowHard), 24)
	if b == nil || err != nil {
		return &pb.HardState{}, err
	}
	return &pb.HardState{Term: new(be.Uint64(b)), Vote: new(be.Uint64(b[8:])), Commit: new(be.Uint64(b[16:]))}, nil
}

func (l *Log) readPosition(shard cluster.ShardID, kind byte) (position, bool, error) {
	b, err := l.read(logRow(nil, shard, kind), 16)
	if b == nil || err != nil {
		return position{}, false, err
	}
	return position{be.Uint64(b), be.Uint64(b[8:])}, true, nil
}

func (l *Log) read(row []byte, size int) ([]byte, error) {
	db, done := l.use()
	defer done()
	v, closer, err := db.Get(row)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, damage(err)
	}
	defer closer.Close()
	b, err := unseal(v, size)
	if err != nil {
		return nil, fmt.Errorf("%w: row %x: %w", ErrDamaged, row, err)
	}
	return append([]byte(nil), b...), nil
}

var _ raft.Storage = (*ShardLog)(nil)
