package task

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

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

// Queues returns the names of up to n queues that a pattern matches; nil: all.
func Queues(tx *keyspace.Tx, pattern []byte, n int) (names [][]byte) {
	it := tx.Iter(keyspace.SlotPrefix(nil, 0), keyspace.SlotPrefix(nil, keyspace.Slots))
	defer it.Close()
	for ok := it.First(); ok && len(names) < n; {
		slot := be.Uint16(it.Key()[1:])
		owned := tx.Owns == nil || tx.Owns(slot)
		for ok = it.SeekGE(prefix(nil, slot, kindQueue)); ok && owned && len(names) < n && isKind(it.Key(), slot, kindQueue); ok = it.Next() {
			name := it.Key()[prefixLen:]
			if pattern == nil || glob.Match(pattern, name) {
				names = append(names, append([]byte(nil), name...))
			}
		}
		ok = ok && it.SeekGE(keyspace.SlotPrefix(nil, int(slot)+1))
	}
	return names
}

// String is the cursor as clients see it.
func (c Cursor) String() string {
	switch {
	case c.Near:
		return fmt.Sprintf("n%d-%d", c.Slot, c.Number)
	case c.Number != 0:
		return strconv.FormatUint(c.Number, 10)
	}
	return "0"
}

// ParseCursor reads what String wrote.
func ParseCursor(text []byte) (c Cursor, ok bool) {
	near, isNear := bytes.CutPrefix(text, []byte("n"))
	if !isNear {
		n, err := strconv.ParseUint(string(text), 10, 64)
		return Cursor{Ref: Ref{Number: n}}, err == nil
	}
	slot, number, cut := strings.Cut(string(near), "-")
	s, err := strconv.ParseUint(slot, 10, 16)
	n, err2 := strconv.ParseUint(number, 10, 64)
	return Cursor{Near: true, Ref: Ref{uint16(s), n}}, cut && err == nil && err2 == nil
}

// Since is when a task came into the state that it is in, as far as that is recorded.
func (t *Task) Since() int64 {
	switch {
	case t.State.Ended():
		return t.Ended
	case t.State == Running:
		return t.Started
	}
	return t.Added
}
