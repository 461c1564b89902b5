package keyspace

// What a group has delivered and nobody has acknowledged is two rows: one by id, which
// says whose it is, and one by consumer.

func (g *Group) pendingRow(dst []byte, id StreamID) []byte {
	return appendRowID(subPrefix(dst, g.s.o.slot, g.id), id)
}

func (g *Group) ownedPrefix(dst []byte, c *Consumer) []byte {
	return be.AppendUint64(scorePrefix(dst, g.s.o.slot, g.id), c.number)
}

func (g *Group) ownedRow(dst []byte, c *Consumer, id StreamID) []byte {
	return appendRowID(g.ownedPrefix(dst, c), id)
}

// pendingSize is about what the keys of the two rows take.
func (g *Group) pendingSize() int { return 2*(scorePrefixLen+rowIDLen) + 8 }

// Find returns what is known of a delivered entry that is not acknowledged.
func (g *Group) Find(id StreamID) (p PendingEntry, ok bool) {
	t := g.s.o.tx
	t.buf = g.pendingRow(t.buf[:0], id)
	val, ok := t.Get(t.buf, nil)
	if !ok {
		return p, false
	}
	return g.decodePending(id, val)
}

// decodePending reads the row of an entry that is not acknowledged:
//
//	delivered count consumer
func (g *Group) decodePending(id StreamID, val []byte) (p PendingEntry, ok bool) {
	v := values{b: val}
	p = PendingEntry{ID: id, Delivered: v.time(), Count: v.uint(), Consumer: v.bytes()}
	if !v.whole() {
		return p, g.s.o.damaged("delivered entry of %d bytes", len(val))
	}
	return p, true
}

// Deliver gives an entry to a consumer, whoever had it before.
func (g *Group) Deliver(id StreamID, c *Consumer, at int64, count uint64) {
	t := g.s.o.tx
	was, known := g.Find(id)
	if known && string(was.Consumer) != string(c.Name) {
		if !g.take(was) {
			return
		}
		known = false
	}
	if !known {
		t.buf = g.ownedRow(t.buf[:0], c, id)
		t.Put(t.buf, nil)
		c.pending++
		g.pending++
		g.changed, c.changed = true, true
	}
	t.buf = g.pendingRow(t.buf[:0], id)
	t.val = appendPending(t.val[:0], at, count, c.Name)
	t.Put(t.buf, t.val)
}

func appendPending(dst []byte, at int64, count uint64, consumer []byte) []byte {
	return appendBytes(appendUvarints(dst, uint64(max(at, 0)), count), consumer)
}

// Acknowledge forgets a delivered entry and reports whether it was known.
func (g *Group) Acknowledge(id StreamID) bool {
	p, ok := g.Find(id)
	if !ok || !g.take(p) {
		return false
	}
	t := g.s.o.tx
	t.buf = g.pendingRow(t.buf[:0], id)
	t.Delete(t.buf)
	return true
}

// take takes an entry from the consumer who has it.
func (g *Group) take(p PendingEntry) bool {
	c := g.Consumer(p.Consumer)
	if c == nil || c.pending == 0 || g.pending == 0 {
		return g.s.o.damaged("delivered entry of a consumer who does not have it, %d bytes", len(p.Consumer))
	}
	t := g.s.o.tx
	t.buf = g.ownedRow(t.buf[:0], c, p.ID)
	t.Delete(t.buf)
	c.pending--
	g.pending--
	g.changed, c.changed = true, true
	return true
}

// EachPending calls f for the delivered entries with from <= id <= to, or with reverse
// from the last of them on, until it returns false. What it gets is valid during the
// call only; f must not change the group.
func (g *Group) EachPending(from, to StreamID, reverse bool, f func(p PendingEntry) bool) {
	if g.pending == 0 || from.Compare(to) > 0 {
		return
	}
	n := eachID(rowsOfIDs(g.s.o.tx, subPrefix(nil, g.s.o.slot, g.id), from, to), g.s.o, reverse, func(id StreamID, row Iterator) bool {
		p, ok := g.decodePending(id, row.Value())
		return ok && f(p)
	})
	if n >= 0 && from == (StreamID{}) && to == StreamIDMax() && uint64(n) != g.pending {
		g.s.o.damaged("group with %d delivered entries, where %d are due", n, g.pending)
	}
}

// EachPendingOf is EachPending for the ids of those that a consumer has.
func (g *Group) EachPendingOf(c *Consumer, from, to StreamID, f func(id StreamID) bool) {
	if c.pending == 0 || from.Compare(to) > 0 {
		return
	}
	n := eachID(rowsOfIDs(g.s.o.tx, g.ownedPrefix(nil, c), from, to), g.s.o, false, func(id StreamID, _ Iterator) bool { return f(id) })
	if n >= 0 && from == (StreamID{}) && to == StreamIDMax() && uint64(n) != c.pending {
		g.s.o.damaged("consumer with %d delivered entries, where %d are due", n, c.pending)
	}
}

// copyTo writes a copy of a group to another stream.
func (g *Group) copyTo(to *Stream) {
	from, t, slot := g.s.o.slot, to.o.tx, to.o.slot
	c := *g
	c.s, c.id, c.open = to, newID(t), nil
	t.Put(nameRow(nil, slot, to.o.id, c.Name), c.encode(nil))
	t.copyPrefix(subPrefix(nil, from, g.id), subPrefix(nil, slot, c.id))
	t.copyPrefix(scorePrefix(nil, from, g.id), scorePrefix(nil, slot, c.id))
	t.copyPrefix(namePrefix(nil, from, g.id), namePrefix(nil, slot, c.id))
}
