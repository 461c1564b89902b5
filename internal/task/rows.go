package task

import "tutti/internal/keyspace"

// rows writes and reads rows of tasks in a transaction.
type rows struct {
	tx       *keyspace.Tx
	row, val []byte // scratch
}

// save writes the state of a task.
func (w *rows) save(t *Task) {
	w.row = numberRow(w.row[:0], kindState, t.Ref)
	w.val = t.Append(w.val[:0])
	w.tx.Put(w.row, w.val)
}

func (w *rows) putRef(row []byte, ref Ref) {
	w.row, w.val = row, refValue(w.val[:0], ref)
	w.tx.Put(w.row, w.val)
}

func (w *rows) delete(row []byte) {
	w.row = row
	w.tx.Delete(row)
}

func (w *rows) startTimer(t *Task, due int64, kind byte) {
	w.row = timerRow(w.row[:0], t.Ref, due, kind)
	w.tx.Put(w.row, []byte{version})
}

func (w *rows) stopTimer(t *Task, due int64, kind byte) {
	w.delete(timerRow(w.row[:0], t.Ref, due, kind))
}

// erase removes the record of a task.
func (w *rows) erase(t *Task) {
	w.delete(numberRow(w.row[:0], kindHead, t.Ref))
	w.delete(numberRow(w.row[:0], kindState, t.Ref))
	if t.Slot != homeSlot(t.Queue) {
		w.delete(nearRow(w.row[:0], t.Queue, t.Ref))
	}
}

// unique finds the task that has a unique key.
func (w *rows) unique(queue, key []byte) (ref Ref, ok bool) {
	w.row = uniqueRow(w.row[:0], queue, key)
	val, ok := w.tx.Get(w.row, nil)
	if !ok {
		return Ref{}, false
	}
	return w.refIn(val)
}

func (w *rows) refIn(val []byte) (ref Ref, ok bool) {
	ref, err := refIn(val)
	if err != nil {
		w.tx.Refuse(err)
	}
	return ref, err == nil
}

func (w *rows) turns(t *Task) turns {
	w.row = groupRow(w.row[:0], t.Queue, t.Key)
	val, ok := w.tx.Get(w.row, nil)
	if !ok {
		return turns{}
	}
	g, err := decodeTurns(val)
	if err != nil {
		w.tx.Refuse(err)
	}
	return g
}

func (w *rows) saveTurns(t *Task, g turns) {
	w.row = groupRow(w.row[:0], t.Queue, t.Key)
	if g.admitted == 0 && g.waiting == 0 {
		w.tx.Delete(w.row)
		return
	}
	w.val = g.append(w.val[:0])
	w.tx.Put(w.row, w.val)
}

// nextTurns takes those that waited longest out of the list.
func (w *rows) nextTurns(t *Task, g *turns, n uint64) (next []*Task) {
	lower := turnRow(nil, t.Queue, t.Key, g.first)
	it := w.tx.Iter(lower, keyspace.PrefixEnd(nil, lower[:len(lower)-8]))
	var orders []uint64
	var refs []Ref
	for ok := it.First(); ok && len(refs) < int(min(n, turnsMax)); ok = it.Next() {
		if ref, ok := w.refIn(it.Value()); ok {
			orders, refs = append(orders, be.Uint64(it.Key()[len(it.Key())-8:])), append(refs, ref)
		}
	}
	it.Close()
	for i, ref := range refs {
		g.waiting--
		g.first = orders[i] + 1
		w.delete(turnRow(w.row[:0], t.Queue, t.Key, orders[i]))
		if n := loadTask(w.tx, ref, t.Queue); n != nil {
			next = append(next, n)
		}
	}
	return next
}
