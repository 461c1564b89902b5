package tracking

// A command that waits at its shard may do so for ever, so its client is told meanwhile
// what others change. What the command changes itself once it is served is heard of with
// the entry, which says who was served: from there on what the client is to be told waits
// for the answer again, which is on its way. If the node can't hear any more it waits no
// longer.

// Waiter names a command that waits: by the session of its node with the shard, and the
// sequence of the group that it came in.
type Waiter struct{ Session, Seq uint64 }

// waits is the command of a client that waits. The table's mutex guards it.
type waits struct {
	turn   uint64 // counts what it has begun to execute
	waiter Waiter // zero: none
	served bool   // it was, and the answer is to come
}

// Turn names what the client has begun to execute last, for Waits.
func (c *Client) Turn() uint64 {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.turn
}

// Waits says, on any goroutine, that a command waits at its shard by now: the one that
// the client has begun to execute at a turn. What has gathered is told.
func (c *Client) Waits(turn uint64, w Waiter) {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.left || c.turn != turn || !c.executes || c.served {
		return // it is over, or was said before
	}
	c.executes, c.waiter = false, w
	t.waiters[w] = c
	t.settle(c, nil)
}

// serve notes that a command was served.
func (k *known) serve(w Waiter) {
	if c := k.waiters[w]; c != nil {
		delete(k.waiters, w)
		c.executes, c.served = true, true
	}
}

// wakes notes that nothing waits any more.
func (k *known) wakes(c *Client) {
	delete(k.waiters, c.waiter)
	c.turn++
	c.waits = waits{turn: c.turn}
}
