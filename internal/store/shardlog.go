package store

import (
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
)

// cacheBytesMax bounds the newest entries of a shard kept in memory. Followers
// in step and the apply loop are served from there.
const cacheBytesMax = 4 << 20

// ShardLog is the log of one shard as raft sees it. It belongs to the shard's
// loop: what it answers changes only when the loop calls Appended, Truncated or
// Installed, that is, when raft learns of it too. (etcd raft's asynchronous
// storage has an ABA hole if storage runs ahead of what raft has been told.)
type ShardLog struct {
	log   *Log
	shard cluster.ShardID

	hard  *pb.HardState
	conf  *pb.ConfState
	front position // the last entry before the first
	last  uint64   // Invariant: last >= front.index
	// cache holds the newest entries, the last one being entry number last.
	cache      []*pb.Entry
	cacheBytes int
	// marks are how many bytes came before some of the entries, in order.
	marks  []mark
	pushed uint64 // bytes of entries since the log was opened

	// Snapshots makes the snapshot that raft wants to send. Set by the shard.
	Snapshots func() (*pb.Snapshot, error)
}

// mark says that the entries up to index, since the log was opened, had bytes.
type mark struct{ index, bytes uint64 }

// markEvery is about how far apart marks are: what Beyond says is as exact.
const markEvery = 4 << 20

// Shard opens the log of a shard. applied and conf come from the state store.
// It verifies every entry: a torn tail past the vow is cut off, anything wrong
// below it is ErrDamaged.
func (l *Log) Shard(shard cluster.ShardID, applied, appliedTerm uint64, conf *pb.ConfState) (*ShardLog, error) {
	s, err := l.verify(shard)
	if err != nil {
		return nil, fmt.Errorf("open log of shard %d: %w", shard, err)
	}
	s.conf = conf
	if applied < s.front.index {
		// The log is cut only up to what the state holds durably.
		return nil, fmt.Errorf("open log of shard %d: %w: it begins behind %d, but only %d is applied", shard, ErrDamaged, s.front.index, applied)
	}
	if s.last < applied {
		// The state is ahead of the log only if the log lost something that was
		// durable before it was applied.
		return nil, fmt.Errorf("open log of shard %d: %w: it ends at %d, but %d (term %d) is applied", shard, ErrDamaged, s.last, applied, appliedTerm)
	}
	s.hard.Commit = new(max(s.hard.GetCommit(), applied))
	if s.hard.GetCommit() > s.last {
		return nil, fmt.Errorf("open log of shard %d: %w: it ends at %d, but %d is committed", shard, ErrDamaged, s.last, s.hard.GetCommit())
	}
	return s, nil
}

// verify reads what the log holds of a shard and compares it with the vow.
func (l *Log) verify(shard cluster.ShardID) (*ShardLog, error) {
	hard, err := l.readHard(shard)
	if err != nil {
		return nil, err
	}
	front, _, err := l.readPosition(shard, rowFront)
	if err != nil {
		return nil, err
	}
	s := &ShardLog{log: l, shard: shard, hard: hard, front: front, last: front.index}
	if err := s.scan(); err != nil {
		return nil, err
	}
	return s, s.checkVow()
}

// scan reads all entries into place. It stops at the first that is missing or
// wrong; what stands behind it is deleted if the vow allows that.
func (s *ShardLog) scan() error {
	db, done := s.log.use()
	defer done()
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: entryRow(nil, s.shard, 0), UpperBound: entryRow(nil, s.shard, math.MaxUint64)})
	if err != nil {
		return err
	}
	defer it.Close()
	var bad error
	for ok := it.First(); ok; ok = it.Next() {
		index := be.Uint64(it.Key()[9:])
		if index <= s.front.index {
			continue
		}
		e, err := decodeEntry(index, it.Value())
		if err == nil && index != s.last+1 {
			err = fmt.Errorf("entry %d follows %d", index, s.last)
		}
		if err != nil {
			bad = err
			break
		}
		s.push(e)
	}
	if err := it.Error(); err != nil {
		return damage(err)
	}
	if bad == nil {
		return nil
	}
	if s.log.vow.index(s.shard) > s.last {
		return fmt.Errorf("%w (vow: %d): %w", ErrDamaged, s.log.vow.index(s.shard), bad)
	}
	return db.DeleteRange(entryRow(nil, s.shard, s.last+1), entryRow(nil, s.shard, math.MaxUint64), pebble.Sync)
}

// checkVow compares the log with what was promised about it and takes over a
// newer term and vote.
func (s *ShardLog) checkVow() error {
	p, ok := s.log.vow.get(s.shard)
	if !ok {
		return nil
	}
	if s.last < p.index {
		return fmt.Errorf("%w: it ends at %d, the vow says %d", ErrDamaged, s.last, p.index)
	}
	if p.index > s.front.index && p.term != 0 {
		if t, err := s.Term(p.index); err != nil || t != p.term {
			return fmt.Errorf("%w: entry %d has term %d, the vow says %d", ErrDamaged, p.index, t, p.term)
		}
	}
	if p.currentTerm > s.hard.GetTerm() || p.currentTerm == s.hard.GetTerm() && s.hard.GetVote() == 0 {
		s.hard.Term, s.hard.Vote = new(p.currentTerm), new(p.vote)
	}
	return nil
}

func (s *ShardLog) push(e *pb.Entry) {
	s.cache = append(s.cache, e)
	s.cacheBytes += len(e.GetData()) + 64
	s.last = e.GetIndex()
	s.pushed += uint64(len(e.GetData())) + 64
	if n := len(s.marks); n == 0 || s.pushed-s.marks[n-1].bytes >= markEvery {
		s.marks = append(s.marks, mark{s.last, s.pushed})
	}
	drop := 0
	for s.cacheBytes > cacheBytesMax && drop < len(s.cache)-1 {
		s.cacheBytes -= len(s.cache[drop].GetData()) + 64
		drop++
	}
	if drop > 0 {
		// Shifting the slice keeps the dropped entries reachable until append
		// moves it; the bound is small enough for that.
		s.cache = s.cache[drop:]
	}
}

// Appended takes over entries that have become durable.
func (s *ShardLog) Appended(entries []*pb.Entry) {
	if len(entries) == 0 {
		return
	}
	first := entries[0].GetIndex()
	if first > s.last+1 || first <= s.front.index {
		panic(fmt.Sprintf("store: shard %d: append of %d to a log of (%d, %d]", s.shard, first, s.front.index, s.last))
	}
	counted := first >= s.cacheFirst()
	for len(s.cache) > 0 && s.cache[len(s.cache)-1].GetIndex() >= first {
		n := len(s.cache) - 1
		s.cacheBytes -= len(s.cache[n].GetData()) + 64
		s.pushed -= uint64(len(s.cache[n].GetData())) + 64
		s.cache = s.cache[:n:n]
	}
	for n := len(s.marks); n > 0 && s.marks[n-1].index >= first; n-- {
		s.marks = s.marks[:n-1]
	}
	if n := len(s.marks); !counted && n > 0 {
		// Nobody knows how long those were that are replaced: what is left between the
		// mark and them goes uncounted, so that no more is cut than asked for.
		s.pushed = s.marks[n-1].bytes
	}
	for _, e := range entries {
		s.push(e)
	}
}

// Taken returns how many bytes of entries it has taken since it was opened, but for those
// that were replaced.
func (s *ShardLog) Taken() uint64 { return s.pushed }

// Beyond returns the last entry, to about markEvery, that more than so many bytes of
// others follow; 0: there is none.
func (s *ShardLog) Beyond(bytes uint64) (index uint64) {
	for _, m := range s.marks {
		if s.pushed-m.bytes <= bytes {
			break
		}
		index = m.index
	}
	return index
}

// Truncate removes entries up to and including index, which the state store
// must hold durably.
func (s *ShardLog) Truncate(index uint64) error {
	if index <= s.front.index {
		return nil
	}
	term, err := s.Term(index)
	if err != nil {
		return err
	}
	s.front = position{index, term}
	gone := 0
	for gone < len(s.marks) && s.marks[gone].index <= index {
		gone++
	}
	s.marks = slices.Delete(s.marks, 0, gone)
	drop := 0
	for drop < len(s.cache) && s.cache[drop].GetIndex() <= index {
		s.cacheBytes -= len(s.cache[drop].GetData()) + 64
		drop++
	}
	s.cache = s.cache[drop:]
	s.log.Append(&Append{Shard: s.shard, Truncate: index, TruncateTerm: term})
	return nil
}

// InitialState implements raft.Storage.
func (s *ShardLog) InitialState() (*pb.HardState, *pb.ConfState, error) { return s.hard, s.conf, nil }

// FirstIndex implements raft.Storage.
func (s *ShardLog) FirstIndex() (uint64, error) { return s.front.index + 1, nil }

// LastIndex implements raft.Storage.
func (s *ShardLog) LastIndex() (uint64, error) { return s.last, nil }

func (s *ShardLog) cacheFirst() uint64 { return s.last + 1 - uint64(len(s.cache)) }

// Term implements raft.Storage.
func (s *ShardLog) Term(i uint64) (uint64, error) {
	switch {
	case i == s.front.index:
		return s.front.term, nil
	case i < s.front.index:
		return 0, raft.ErrCompacted
	case i > s.last:
		return 0, raft.ErrUnavailable
	case i >= s.cacheFirst():
		return s.cache[i-s.cacheFirst()].GetTerm(), nil
	}
	e, err := s.entry(i)
	if err != nil {
		return 0, err
	}
	return e.GetTerm(), nil
}

func (s *ShardLog) entry(i uint64) (*pb.Entry, error) {
	db, done := s.log.use()
	defer done()
	v, closer, err := db.Get(entryRow(nil, s.shard, i))
	if err != nil {
		return nil, fmt.Errorf("read entry %d of shard %d: %w", i, s.shard, err)
	}
	defer closer.Close()
	e, err := decodeEntry(i, v)
	if err != nil {
		// It was right when the log was opened. raft knows no such error.
		s.log.cfg.Fatal(fmt.Errorf("shard %d: %w: %w", s.shard, ErrDamaged, err))
	}
	return e, err
}

// Entries implements raft.Storage.
func (s *ShardLog) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo <= s.front.index {
		return nil, raft.ErrCompacted
	}
	if hi > s.last+1 {
		return nil, raft.ErrUnavailable
	}
	var out []*pb.Entry
	size := uint64(0)
	for i := lo; i < hi; i++ {
		var e *pb.Entry
		if i >= s.cacheFirst() {
			e = s.cache[i-s.cacheFirst()]
		} else {
			var err error
			if e, err = s.entry(i); err != nil {
				return nil, err
			}
		}
		size += uint64(len(e.GetData())) + 16
		if size > maxSize && len(out) > 0 {
			break
		}
		out = append(out, e)
	}
	return out, nil
}

// Snapshot implements raft.Storage.
func (s *ShardLog) Snapshot() (*pb.Snapshot, error) {
	if s.Snapshots == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return s.Snapshots()
}

// StartInstall makes the marker "installing the snapshot at index" durable.
// From here on until Installed the state of the shard may be half of the old
// and half of the new; opening finishes what it finds marked.
func (s *ShardLog) StartInstall(index, term uint64) {
	s.log.do(&Append{Shard: s.shard, mark: &position{index, term}})
}

// Installed resets the log to start behind the snapshot and clears the marker,
// durably.
func (s *ShardLog) Installed(index, term uint64, hard *pb.HardState) {
	s.front, s.last = position{index, term}, index
	s.cache, s.cacheBytes, s.marks = nil, 0, nil
	s.log.do(&Append{Shard: s.shard, reset: &position{index, term}, Hard: hard})
}

// FinishInstall finishes an installation that a crash interrupted: if the state
// already holds the snapshot (applied is at or past it) the log is reset, else
// the marker is dropped and the old state, untouched by the single ingest,
// goes on.
func (l *Log) FinishInstall(shard cluster.ShardID, applied, appliedTerm uint64) error {
	p, ok, err := l.readPosition(shard, rowInstall)
	if err != nil || !ok {
		return err
	}
	if p.index == 0 || applied < p.index {
		db, done := l.use()
		defer done()
		return db.Delete(logRow(nil, shard, rowInstall), pebble.Sync)
	}
	// The log to be dropped must be whole: a marker that has been cleared comes
	// back, too, if the disk loses the newest part of the log.
	s, err := l.verify(shard)
	if err != nil {
		return fmt.Errorf("finish the snapshot of shard %d: %w", shard, err)
	}
	hs := s.hard
	hs.Commit = new(max(hs.GetCommit(), applied))
	if hs.GetTerm() < appliedTerm { // the term came with the snapshot
		hs.Term, hs.Vote = new(appliedTerm), new(uint64(0))
	}
	l.do(&Append{Shard: shard, reset: &position{applied, appliedTerm}, Hard: hs})
	return nil
}
