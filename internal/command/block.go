package command

import "tutti/internal/keyspace"

// The commands of lists and sorted sets that wait for an element. Without one they
// answer as those that do not wait, and say what they would wait for.

// waitForKeys lets the command wait for an element of one of the keys.
func waitForKeys(c *Ctx, keys ...[]byte) {
	topics := make([][]byte, len(keys))
	for i, key := range keys {
		topics[i] = keyspace.KeyTopic(c.DB, key)
	}
	c.Wait(topics...)
}

// source opens a key that is to be popped from.
func source(c *Ctx, key []byte, typ keyspace.Type) (o *keyspace.Object, ok bool) {
	if c.Waited {
		if o = c.Tx.Open(c.DB, key); o != nil && o.Type != typ {
			o = nil
		}
		return o, true
	}
	return c.open(key, typ)
}

func blpop(c *Ctx) { popFirst(c, listHead) }
func brpop(c *Ctx) { popFirst(c, listTail) }

// popFirst pops from the first of several lists that has an element.
func popFirst(c *Ctx, end listEnd) {
	last := len(c.Args) - 1
	if !timeout(c, last) {
		return
	}
	for _, key := range c.Args[1:last] {
		o, ok := source(c, key, keyspace.TypeList)
		if !ok {
			return
		}
		if o == nil {
			continue
		}
		c.Array(2)
		c.Bulk(key)
		c.Bulk(end.pop(o))
		o.Save()
		return
	}
	c.NullArray()
	waitForKeys(c, c.Args[1:last]...)
}

func blmpop(c *Ctx) {
	p, ok := c.listPop(2)
	if !ok || !timeout(c, 1) {
		return
	}
	if !popLists(c, p) {
		waitForKeys(c, p.keys...)
	}
}

func blmove(c *Ctx) {
	from, ok := c.listEnd(3)
	if !ok {
		return
	}
	to, ok := c.listEnd(4)
	if !ok || !timeout(c, 5) {
		return
	}
	if !c.moveElement(from, to) {
		waitForKeys(c, c.Args[1])
	}
}

func brpoplpush(c *Ctx) {
	if timeout(c, 3) && !c.moveElement(listTail, listHead) {
		waitForKeys(c, c.Args[1])
	}
}

func bzpopmin(c *Ctx) { zpopFirst(c, forward) }
func bzpopmax(c *Ctx) { zpopFirst(c, backward) }

// zpopFirst pops from the first of several sorted sets that has a member.
func zpopFirst(c *Ctx, dir direction) {
	last := len(c.Args) - 1
	if !timeout(c, last) {
		return
	}
	for _, key := range c.Args[1:last] {
		o, ok := source(c, key, keyspace.TypeZSet)
		if !ok {
			return
		}
		if o == nil {
			continue
		}
		m := o.PopMembers(1, dir == backward)[0]
		o.Save()
		c.Array(3)
		c.Bulk(key)
		c.Bulk(m.Member)
		c.Double(m.Score)
		return
	}
	c.NullArray()
	waitForKeys(c, c.Args[1:last]...)
}

func bzmpop(c *Ctx) {
	p, ok := c.popArgs(2, "MIN", "MAX")
	if ok && timeout(c, 1) && !popZSets(c, p) {
		waitForKeys(c, p.keys...)
	}
}
