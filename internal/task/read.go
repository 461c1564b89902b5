package task

import (
	"tutti/internal/glob"
	"tutti/internal/keyspace"
)

// Get reads a task and its payload; nil: there is none.
func Get(tx *keyspace.Tx, queue []byte, ref Ref) (*Task, []byte) {
	t := loadTask(tx, ref, queue)
	if t == nil {
		return nil, nil
	}
	payload, _ := loadPayload(tx, ref)
	return t, payload
}

// LoadQueue reads a queue; one that does not exist is empty. nil: the transaction
// has failed.
func LoadQueue(tx *keyspace.Tx, name []byte) *Queue {
	q, _ := loadQueue(tx, name)
	return q
}

// Cursor is where a walk over the tasks of a queue goes on. 0 begins, and at its end
// it is 0 again.
type Cursor struct {
	Near bool // it is at those that lie elsewhere than the queue
	Ref
}

// List returns tasks of a queue, about n, and where to go on; state 0: of all
// states. It looks at up to ten times as many.
func List(tx *keyspace.Tx, queue []byte, state State, from Cursor, n int) (list []*Task, next Cursor) {
	home := homeSlot(queue)
	if !tx.Owned(home) {
		return nil, Cursor{}
	}
	looked, most := 0, 10*n
	full := func() bool { return len(list) >= n || looked >= most || tx.Err() != nil }
	take := func(t *Task) {
		if t != nil && string(t.Queue) == string(queue) && (state == 0 || t.State == state) {
			list = append(list, t)
		}
	}
	if !from.Near {
		lower := prefix(nil, home, kindState)
		it := tx.Iter(be.AppendUint64(lower, from.Number), keyspace.PrefixEnd(nil, lower))
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			if len(it.Key()) != numberRowLen {
				continue
			}
			ref := Ref{home, be.Uint64(it.Key()[prefixLen:])}
			if full() {
				return list, Cursor{Ref: ref}
			}
			looked++
			t, err := DecodeTask(ref, append([]byte(nil), it.Value()...))
			if err != nil {
				tx.ReportRow(err)
				continue
			}
			take(t)
		}
		from = Cursor{Near: true}
	}
	lower := ofQueue(nil, kindNear, queue)
	it := tx.Iter(appendRef(lower, from.Ref), keyspace.PrefixEnd(nil, lower))
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if len(it.Key()) != len(lower)+refLen {
			continue
		}
		ref := refOf(it.Key()[len(lower):])
		if full() {
			return list, Cursor{Near: true, Ref: ref}
		}
		looked++
		take(loadTask(tx, ref, queue))
	}
	return list, Cursor{}
}

// Queues returns the names of the queues in the slots [first, end), at most n, that a
// pattern matches; nil: all.
func Queues(tx *keyspace.Tx, first, end int, pattern []byte, n int) (names [][]byte) {
	it := tx.Iter(keyspace.SlotPrefix(nil, first), keyspace.SlotPrefix(nil, end))
	defer it.Close()
	for ok := it.First(); ok && len(names) < n; {
		slot := be.Uint16(it.Key()[1:])
		for ok = it.SeekGE(prefix(nil, slot, kindQueue)); ok && len(names) < n && isKind(it.Key(), slot, kindQueue); ok = it.Next() {
			name := it.Key()[prefixLen:]
			if pattern == nil || glob.Match(pattern, name) {
				names = append(names, append([]byte(nil), name...))
			}
		}
		ok = ok && it.SeekGE(keyspace.SlotPrefix(nil, int(slot)+1))
	}
	return names
}
