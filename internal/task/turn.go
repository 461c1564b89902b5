package task

import "tutti/internal/keyspace"

// Tasks of one KEY run one after the other, in the order in which they came to be
// due; or so many at once as the queue's KEYLIMIT says. One that has its turn keeps
// it until it ends, also while it waits for its next attempt: so none overtakes it.

// turnsMax bounds how many tasks one end gives their turn to: more than one only
// after KEYLIMIT was raised.
const turnsMax = 16

// takeTurn gives a task its turn, or puts it behind those that wait for theirs.
func (c *Change) takeTurn(t *Task, q *Queue) bool {
	g := c.turns(t)
	if g.waiting == 0 && g.admitted < q.keyLimit() {
		g.admitted++
		t.Admitted = true
	} else {
		t.Order = c.lead.order(c.tx)
		c.putRef(turnRow(c.row[:0], t.Queue, t.Key, t.Order), t.Ref)
		if g.waiting++; g.waiting == 1 {
			g.first = t.Order
		}
	}
	c.saveTurns(t, g)
	return t.Admitted
}

// giveUpTurn takes a task out of those that wait for their turn.
func (c *Change) giveUpTurn(t *Task) {
	g := c.turns(t)
	c.delete(turnRow(c.row[:0], t.Queue, t.Key, t.Order))
	g.waiting--
	c.saveTurns(t, g)
}

// passTurn gives the turn of a task that ends to the next ones.
func (c *Change) passTurn(t *Task, q *Queue) {
	g := c.turns(t)
	g.admitted--
	fillTurns(c, t, q, g)
}

// fillTurns gives the turns of a KEY that nobody has to those that wait for one, and
// saves who has them. It reports whether there are others to be given still.
func fillTurns(c *Change, t *Task, q *Queue, g turns) (more bool) {
	var next []*Task
	if g.waiting > 0 && g.admitted < q.keyLimit() {
		next = c.nextTurns(t, &g, q.keyLimit()-g.admitted)
	}
	g.admitted += uint64(len(next))
	c.saveTurns(t, g)
	for _, n := range next {
		n.Order, n.Admitted = 0, true
		q.Now[Waiting]--
		c.ready(n, q)
		c.save(n)
	}
	return len(next) > 0 && g.waiting > 0 && g.admitted < q.keyLimit()
}

// raise is a queue whose KEYLIMIT may have been raised: those that wait get the turns
// that there are now, KEY after KEY, in steps of the background.
type raise struct {
	queue string
	from  []byte // the row of the KEY to go on with; nil: the first
}

// raised notes that a queue is to be gone through. That is never wrong: where all turns
// are taken nothing happens.
func (l *Lead) raised(queue []byte) {
	for i := range l.raises {
		if l.raises[i].queue == string(queue) {
			l.raises[i].from = nil
			return
		}
	}
	l.raises = append(l.raises, raise{queue: string(queue)})
}

// raisedLimits goes on with a queue whose KEYLIMIT was raised.
func (c step) raisedLimits() {
	if len(c.lead.raises) == 0 {
		return
	}
	r := &c.lead.raises[0]
	name := []byte(r.queue)
	q, _ := loadQueue(c.tx, name)
	if q == nil || q.Now[Waiting] == 0 || !c.fillSome(r, name) {
		c.lead.raises = c.lead.raises[1:]
	}
	c.tx.TakeForeign() // the slots of the queue are another shard's now
}

// fillSome goes on with some of the KEYs of a queue, and reports whether there are more.
func (c step) fillSome(r *raise, queue []byte) (more bool) {
	lower := ofQueue(nil, kindGroup, queue)
	upper := keyspace.PrefixEnd(nil, lower)
	var rows [][]byte
	it := c.tx.Iter(append(lower, r.from...), upper)
	for ok := it.First(); ok && len(rows) < stepMax; ok = it.Next() {
		rows = append(rows, append([]byte(nil), it.Key()[len(lower):]...))
	}
	it.Close()
	for i, row := range rows {
		if r.from = row; len(row) < 2 {
			continue
		}
		again := false
		c.guarded(func() {
			t := &Task{Queue: queue, Options: Options{Key: row[2:]}}
			q := c.queue(queue)
			if g := c.turns(t); q != nil && g.waiting > 0 && g.admitted < q.keyLimit() {
				again = fillTurns(c.Change, t, q, g)
			}
		}, func() {})
		if again {
			return true // of this KEY
		}
		if i == len(rows)-1 {
			r.from = append(row, 0)
		}
	}
	return len(rows) == stepMax
}
