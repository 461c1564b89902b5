package keyspace

import "slices"

// A group has an object id of its own, below which lie its consumers, what they have
// not acknowledged, by id, and the same by consumer. So a group that is destroyed
// becomes garbage as a big collection does, and neither names of groups nor those of
// consumers stand in the keys of many rows.

// ReadUnknown says that nobody knows how many entries a group has read.
const ReadUnknown = -1

// Group is a consumer group of a stream. Its changes reach the transaction when the
// stream is saved.
type Group struct {
	s    *Stream
	Name []byte
	// Last is the id of the last entry that was delivered.
	Last StreamID
	// Read counts the entries from the first that ever was to Last, or is ReadUnknown.
	Read int64

	id        uint64
	pending   uint64
	consumers uint64
	made      uint64 // consumers that ever were, which gives them numbers
	changed   bool
	gone      bool
	open      []*Consumer // that were looked at
}

// Consumer is one who reads in a group.
type Consumer struct {
	Name []byte
	// Seen is when it last asked for something, in milliseconds of shard time.
	Seen int64
	// Active is when it last got something; 0: never.
	Active int64

	number  uint64
	pending uint64
	changed bool
	gone    bool
}

// PendingEntry is an entry that was delivered and not acknowledged.
type PendingEntry struct {
	ID        StreamID
	Consumer  []byte
	Delivered int64 // when last, in milliseconds of shard time
	Count     uint64
}

// Group returns a group, or nil.
func (s *Stream) Group(name []byte) *Group {
	for _, g := range s.open {
		if !g.gone && string(g.Name) == string(name) {
			return g
		}
	}
	if s.groups == 0 {
		return nil
	}
	val, ok := s.o.tx.Get(nameRow(nil, s.o.slot, s.o.id, name), nil)
	if !ok {
		return nil
	}
	g := s.decodeGroup(name, val)
	if g != nil {
		s.open = append(s.open, g)
	}
	return g
}

// decodeGroup reads the row of a group:
//
//	id:8 last read+1 pending consumers made
func (s *Stream) decodeGroup(name, val []byte) *Group {
	g := &Group{s: s, Name: name}
	v := values{b: val}
	g.id, g.Last, g.Read = v.fixed(), v.id(), v.time()-1
	g.pending, g.consumers, g.made = v.uint(), v.uint(), v.uint()
	if !v.whole() {
		s.o.damaged("group of %d bytes", len(val))
		return nil
	}
	return g
}

func (g *Group) encode(dst []byte) []byte {
	dst = appendID(be.AppendUint64(dst, g.id), g.Last)
	return appendUvarints(dst, uint64(g.Read+1), g.pending, g.consumers, g.made)
}

// save writes what has changed of a group and of its consumers.
func (g *Group) save() {
	t, slot := g.s.o.tx, g.s.o.slot
	for _, c := range g.open {
		if c.changed && !c.gone {
			c.changed = false
			t.buf, t.val = nameRow(t.buf[:0], slot, g.id, c.Name), c.encode(t.val[:0])
			t.Put(t.buf, t.val)
		}
	}
	if g.changed && !g.gone {
		g.changed = false
		t.buf, t.val = nameRow(t.buf[:0], slot, g.s.o.id, g.Name), g.encode(t.val[:0])
		t.Put(t.buf, t.val)
	}
}

// CreateGroup adds a group, which is not there yet.
func (s *Stream) CreateGroup(name []byte, last StreamID, read int64) *Group {
	g := &Group{s: s, Name: name, Last: last, Read: read, id: newID(s.o.tx), changed: true}
	s.groups++
	s.open = append(s.open, g)
	return g
}

// DestroyGroup removes a group with all that it knows.
func (s *Stream) DestroyGroup(g *Group) {
	g.drop()
	g.gone = true
	s.o.tx.Delete(nameRow(nil, s.o.slot, s.o.id, g.Name))
	s.groups--
	s.stirred = true
}

// drop removes the rows below the id of a group, or makes them garbage.
func (g *Group) drop() {
	t, slot := g.s.o.tx, g.s.o.slot
	if g.pending+g.consumers > trashMin {
		t.Put(trashRow(nil, slot, g.id), streamTrash(nil, trashWhole))
		return
	}
	for _, prefix := range [][]byte{subPrefix(nil, slot, g.id), scorePrefix(nil, slot, g.id), namePrefix(nil, slot, g.id)} {
		t.deletePrefix(prefix, -1)
	}
}

// EachGroup calls f for the groups, by name, until it returns false. f must not add or
// remove groups.
func (s *Stream) EachGroup(f func(g *Group) bool) {
	n := uint64(0)
	whole := eachName(s.o, s.o.id, func(name, val []byte) bool {
		n++
		g := s.decodeGroup(name, val)
		return g != nil && f(g)
	})
	if whole && n != s.groups {
		s.o.damaged("stream of %d groups, where %d are due", n, s.groups)
	}
}

// eachName calls f for the rows of names below an id, with copies that stay valid, and
// reports whether it saw all.
func eachName(o *Object, id uint64, f func(name, val []byte) bool) (whole bool) {
	prefix := namePrefix(nil, o.slot, id)
	it := o.tx.Iter(prefix, prefixEnd(nil, prefix))
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if !f(slices.Clone(it.Key()[len(prefix):]), slices.Clone(it.Value())) {
			return false
		}
	}
	return o.tx.err == nil
}

// Pending returns the number of entries that were delivered and not acknowledged.
func (g *Group) Pending() uint64 { return g.pending }

// Consumers returns the number of consumers.
func (g *Group) Consumers() uint64 { return g.consumers }

// Delivered moves the group on to an entry, of which it has read that many.
func (g *Group) Delivered(last StreamID, read int64) {
	g.Last, g.Read, g.changed = last, read, true
}

// Consumer returns a consumer, or nil.
func (g *Group) Consumer(name []byte) *Consumer {
	for _, c := range g.open {
		if !c.gone && string(c.Name) == string(name) {
			return c
		}
	}
	val, ok := g.s.o.tx.Get(nameRow(nil, g.s.o.slot, g.id, name), nil)
	if !ok {
		return nil
	}
	c := g.decodeConsumer(slices.Clone(name), val)
	if c != nil {
		g.open = append(g.open, c)
	}
	return c
}

// decodeConsumer reads the row of a consumer: number seen active pending.
func (g *Group) decodeConsumer(name, val []byte) *Consumer {
	c := &Consumer{Name: name}
	v := values{b: val}
	c.number, c.Seen, c.Active, c.pending = v.uint(), v.time(), v.time(), v.uint()
	if !v.whole() {
		g.s.o.damaged("consumer of %d bytes", len(val))
		return nil
	}
	return c
}

func (c *Consumer) encode(dst []byte) []byte {
	return appendUvarints(dst, c.number, uint64(c.Seen), uint64(c.Active), c.pending)
}

// Pending returns the number of entries that it has not acknowledged.
func (c *Consumer) Pending() uint64 { return c.pending }

// Saw notes that the consumer asked for something, and with active that it got it.
func (c *Consumer) Saw(now int64, active bool) {
	c.Seen, c.changed = max(now, 0), true
	if active {
		c.Active = max(now, 0)
	}
}

// CreateConsumer adds a consumer, which is not there yet.
func (g *Group) CreateConsumer(name []byte, now int64) *Consumer {
	g.made++
	g.consumers++
	g.changed = true
	c := &Consumer{Name: slices.Clone(name), Seen: max(now, 0), number: g.made, changed: true}
	g.open = append(g.open, c)
	return c
}

// EachConsumer calls f for the consumers, by name, until it returns false. f must not
// add or remove consumers.
func (g *Group) EachConsumer(f func(c *Consumer) bool) {
	n := uint64(0)
	whole := eachName(g.s.o, g.id, func(name, val []byte) bool {
		n++
		c := g.decodeConsumer(name, val)
		return c != nil && f(c)
	})
	if whole && n != g.consumers {
		g.s.o.damaged("group of %d consumers, where %d are due", n, g.consumers)
	}
}

// DeleteConsumer removes a consumer and what it has not acknowledged.
func (g *Group) DeleteConsumer(c *Consumer) {
	t, slot := g.s.o.tx, g.s.o.slot
	var ids []StreamID
	size := 0
	g.EachPendingOf(c, StreamID{}, StreamIDMax(), func(id StreamID) bool {
		ids = append(ids, id)
		size += g.pendingSize()
		return size <= WriteSetMax // the command fails anyway
	})
	for _, id := range ids {
		t.Delete(g.pendingRow(nil, id))
		t.Delete(g.ownedRow(nil, c, id))
	}
	t.Delete(nameRow(nil, slot, g.id, c.Name))
	g.pending -= min(c.pending, g.pending)
	g.consumers--
	g.changed, c.gone = true, true
}
