package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// Whoever begins to lead a shard needs the rows of its sessions at once: nobody is
// answered until then. Nearly every entry writes a row of replies and removes one, and
// writes a session's row again, so an iterator over them would pass by all that was
// there since the last flush and more: 7 ms after 10,000 entries, of a hand-over that is
// to take 10. Hence where rows of replies are is known while entries are applied, and
// older forms of a row are leapt over.

// replyRows is where the rows of replies of one shard are: the indexes of each session's,
// ascending. It belongs to the goroutine that applies the shard's entries.
type replyRows map[uint64][]uint64

// isReplies reports whether row is one of replies, and whose.
func isReplies(row []byte) (session, index uint64, is bool) {
	if len(row) != localRowLen+16 || row[0] != localPrefix || row[localRowLen-1] != localReplies {
		return 0, 0, false
	}
	return be.Uint64(row[localRowLen:]), be.Uint64(row[localRowLen+8:]), true
}

func (r replyRows) put(row []byte) {
	session, index, is := isReplies(row)
	if !is || r == nil {
		return
	}
	if at, has := slices.BinarySearch(r[session], index); !has {
		r[session] = slices.Insert(r[session], at, index)
	}
}

func (r replyRows) removed(row []byte) {
	session, index, is := isReplies(row)
	if !is || r == nil {
		return
	}
	if at, has := slices.BinarySearch(r[session], index); has {
		r[session] = slices.Delete(r[session], at, at+1)
	}
	if len(r[session]) == 0 {
		delete(r, session)
	}
}

// known is what is known of the rows of a shard while its entries are applied. It belongs to
// the goroutine that applies them.
type known struct {
	replies replyRows
	pieces  pieces
}

// put takes note of a row that an entry puts, which it keeps. Nil: of a shard that was not
// looked through.
func (k *known) put(row, val []byte) {
	if k != nil {
		k.replies.put(row)
		k.pieces.put(row, val)
	}
}

// removed takes note of a row that an entry removes.
func (k *known) removed(row []byte) {
	if k != nil {
		k.replies.removed(row)
		k.pieces.removed(row)
	}
}

// join returns what an entry does whose write set is w.
func (k *known) join(w WriteSet) (Effects, error) {
	if k == nil {
		return new(pieces).join(w)
	}
	return k.pieces.join(w)
}

// knownRows is what is known of all shards that were looked through.
type knownRows struct {
	mu    sync.Mutex // guards shard
	shard map[cluster.ShardID]*known
}

// of returns what is known of a shard, nil if it was not looked through.
func (k *knownRows) of(shard cluster.ShardID) *known {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.shard[shard]
}

// repliesOf returns where the rows of replies of a shard are, nil if it was not looked
// through.
func (k *knownRows) repliesOf(shard cluster.ShardID) replyRows {
	if x := k.of(shard); x != nil {
		return x.replies
	}
	return nil
}

func (k *knownRows) set(shard cluster.ShardID, rows *known) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if rows == nil {
		delete(k.shard, shard)
		return
	}
	k.shard[shard] = rows
}

// LookThrough looks through a shard for rows of replies, for View.SessionRows to find them,
// and for pieces of a write set, while nothing of it is late. What makes its state otherwise
// than by entries has it done again.
func (s *State) LookThrough(shard cluster.ShardID) error {
	x := &known{replies: make(replyRows)}
	for _, kind := range []byte{localReplies, localPiece} {
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: localRow(shard, kind), UpperBound: localRow(shard, kind+1)})
		if err != nil {
			return damage(err)
		}
		err = eachLocal(it, false, func(row, val []byte) error {
			if x.replies.put(row); kind == localPiece {
				x.pieces.put(slices.Clone(row), slices.Clone(val))
			}
			return nil
		})
		if err := errors.Join(err, damage(it.Close())); err != nil {
			return err
		}
	}
	s.known.set(shard, x)
	return nil
}

// SessionRows calls f with what the shard keeps of its sessions, and of commands that
// wait: the kind of each row, what follows it in the key, and the value. It is for the
// goroutine that applies, with the newest view.
func (v *View) SessionRows(f func(kind byte, key, val []byte) error) error {
	_, err := v.sessionRows(f)
	return err
}

// sessionRows says how many entries of memtables and tables it has passed, too.
func (v *View) sessionRows(f func(kind byte, key, val []byte) error) (passed int, err error) {
	call := func(row, val []byte) error { return f(row[localRowLen-1], row[localRowLen:], val) }
	for _, kind := range []byte{localNode, localSession, localWaiter, localReplies} {
		if kind == localReplies && v.replies != nil {
			break
		}
		lower, upper := localRow(v.Shard, kind), localRow(v.Shard, kind+1)
		base, err := read(&v.reclaimer.state.cfg, v.top.base, lower, upper)
		if err != nil {
			return passed, err
		}
		it := v.top.over(v.Index, base, lower, upper)
		err = eachLocal(it, kind != localWaiter && kind != localReplies, call)
		passed += base.Stats().ForwardStepCount[pebble.InternalIterCall]
		if err := errors.Join(err, damage(it.Close())); err != nil {
			return passed, err
		}
	}
	for session, list := range v.replies {
		for _, index := range list {
			row := RepliesRow(v.Shard, session, index)
			val, ok, err := v.Get(row, nil)
			if err == nil && !ok {
				err = errors.New("there is no such row")
			}
			if err != nil {
				return passed, fmt.Errorf("replies of entry %d for session %x: %w", index, session, err)
			}
			if err := call(row, val); err != nil {
				return passed, err
			}
		}
	}
	return passed, nil
}

// eachLocal calls f with all rows of an iterator, in order. often: they are few, and
// written again and again.
func eachLocal(it keyspace.Iterator, often bool, f func(row, val []byte) error) error {
	for ok := it.First(); ok; {
		if err := f(it.Key(), it.Value()); err != nil {
			return err
		}
		if often {
			ok = it.SeekGE(append(slices.Clone(it.Key()), 0))
		} else {
			ok = it.Next()
		}
	}
	return nil
}
