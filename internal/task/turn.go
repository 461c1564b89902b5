package task

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
}
