package command

import (
	"strconv"

	"tutti/internal/keyspace"
)

// XINFO.

// infoCountDefault is how many entries XINFO STREAM FULL shows of each kind.
const infoCountDefault = 10

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// streamInfo opens the stream of XINFO, or answers that there is none.
func streamInfo(c *Ctx) (s *keyspace.Stream, ok bool) {
	if s, ok = stream(c, c.Args[2]); ok && s == nil {
		c.Error(errNoKey)
	}
	return s, ok && s != nil
}

func xinfoStream(c *Ctx) {
	full, count := len(c.Args) > 3, int64(infoCountDefault)
	s, ok := streamInfo(c)
	if !ok {
		return
	}
	n := len(c.Args)
	if full && (n != 4 && n != 6 || !c.is(3, "FULL") || n == 6 && !c.is(4, "COUNT")) {
		badSubcommand(c, "XINFO")
		return
	}
	if n == 6 {
		var ok bool
		if count, ok = c.int(5); !ok {
			return
		}
		if count < 0 {
			count = infoCountDefault
		}
	}
	if full {
		c.Map(9)
	} else {
		c.Map(10)
	}
	blocks := int64((s.Len() + streamBlock - 1) / streamBlock)
	pair(c, "length", int64(s.Len()))
	pair(c, "radix-tree-keys", blocks)
	pair(c, "radix-tree-nodes", blocks+1)
	idPair(c, "last-generated-id", s.Last)
	idPair(c, "max-deleted-entry-id", s.MaxDeleted)
	pair(c, "entries-added", int64(s.Added))
	idPair(c, "recorded-first-entry-id", s.First)
	if full {
		fullInfo(c, s, uint64(count))
		return
	}
	pair(c, "groups", int64(s.Groups()))
	for _, end := range []struct {
		name string
		dir  direction
	}{{"first-entry", forward}, {"last-entry", backward}} {
		c.BulkString(end.name)
		if n, entry := entriesOf(s, keyspace.StreamID{}, keyspace.StreamIDMax(), 1, end.dir); n > 0 {
			c.Out = append(c.Out, entry...)
		} else {
			c.Null()
		}
	}
}

// streamBlock is how many entries Redis has in a node of its tree by default.
const streamBlock = 100

func pair(c *Ctx, name string, n int64) {
	c.BulkString(name)
	c.Int(n)
}

func idPair(c *Ctx, name string, id keyspace.StreamID) {
	c.BulkString(name)
	writeID(c, id)
}

// fullInfo answers with entries, groups and consumers, up to count of each; 0: all.
func fullInfo(c *Ctx, s *keyspace.Stream, count uint64) {
	c.BulkString("entries")
	n, entries := entriesOf(s, keyspace.StreamID{}, keyspace.StreamIDMax(), count, forward)
	c.Array(n)
	c.Out = append(c.Out, entries...)
	c.BulkString("groups")
	listed(c, func(add func()) {
		s.EachGroup(func(g *keyspace.Group) bool {
			add()
			fullGroup(c, s, g, count)
			return true
		})
	})
}

// listed answers with an array of as many replies as write calls add before.
func listed(c *Ctx, write func(add func())) {
	n, before := 0, c.Out
	c.Out = nil
	write(func() { n++ })
	list := c.Out
	c.Out = before
	c.Array(n)
	c.Out = append(c.Out, list...)
}

func fullGroup(c *Ctx, s *keyspace.Stream, g *keyspace.Group, count uint64) {
	c.Map(7)
	c.BulkString("name")
	c.Bulk(g.Name)
	idPair(c, "last-delivered-id", g.Last)
	readAndLag(c, s, g)
	pair(c, "pel-count", int64(g.Pending()))
	c.BulkString("pending")
	listed(c, func(add func()) {
		n := uint64(0)
		g.EachPending(keyspace.StreamID{}, keyspace.StreamIDMax(), false, func(p keyspace.PendingEntry) bool {
			add()
			c.Array(4)
			writeID(c, p.ID)
			c.Bulk(p.Consumer)
			c.Int(p.Delivered)
			c.Int(int64(p.Count))
			n++
			return n != count
		})
	})
	c.BulkString("consumers")
	listed(c, func(add func()) {
		g.EachConsumer(func(x *keyspace.Consumer) bool {
			add()
			fullConsumer(c, g, x, count)
			return true
		})
	})
}

func fullConsumer(c *Ctx, g *keyspace.Group, x *keyspace.Consumer, count uint64) {
	c.Map(5)
	c.BulkString("name")
	c.Bulk(x.Name)
	pair(c, "seen-time", x.Seen)
	pair(c, "active-time", activeTime(x))
	pair(c, "pel-count", int64(x.Pending()))
	c.BulkString("pending")
	listed(c, func(add func()) {
		n := uint64(0)
		g.EachPendingOf(x, keyspace.StreamID{}, keyspace.StreamIDMax(), func(id keyspace.StreamID) bool {
			p, ok := g.Find(id)
			if !ok {
				return false
			}
			add()
			c.Array(3)
			writeID(c, id)
			c.Int(p.Delivered)
			c.Int(int64(p.Count))
			n++
			return n != count
		})
	})
}

func activeTime(x *keyspace.Consumer) int64 {
	if x.Active == 0 {
		return -1
	}
	return x.Active
}

// readAndLag answers how many entries a group has read and how many it has yet to, if
// that is known.
func readAndLag(c *Ctx, s *keyspace.Stream, g *keyspace.Group) {
	c.BulkString("entries-read")
	if g.Read != keyspace.ReadUnknown {
		c.Int(g.Read)
	} else {
		c.Null()
	}
	c.BulkString("lag")
	read := g.Read
	if s.Added > 0 && (read == keyspace.ReadUnknown || deletedFrom(s, g.Last)) {
		read = distance(s, g.Last)
	}
	switch {
	case s.Added == 0:
		c.Int(0)
	case read == keyspace.ReadUnknown:
		c.Null()
	default:
		c.Int(int64(s.Added) - read)
	}
}

func xinfoGroups(c *Ctx) {
	s, ok := streamInfo(c)
	if !ok {
		return
	}
	listed(c, func(add func()) {
		s.EachGroup(func(g *keyspace.Group) bool {
			add()
			c.Map(6)
			c.BulkString("name")
			c.Bulk(g.Name)
			pair(c, "consumers", int64(g.Consumers()))
			pair(c, "pending", int64(g.Pending()))
			idPair(c, "last-delivered-id", g.Last)
			readAndLag(c, s, g)
			return true
		})
	})
}

func xinfoConsumers(c *Ctx) {
	s, ok := streamInfo(c)
	if !ok {
		return
	}
	g := s.Group(c.Args[3])
	if g == nil {
		noGroup(c, c.Args[2], c.Args[3])
		return
	}
	listed(c, func(add func()) {
		g.EachConsumer(func(x *keyspace.Consumer) bool {
			add()
			c.Map(4)
			c.BulkString("name")
			c.Bulk(x.Name)
			pair(c, "pending", int64(x.Pending()))
			pair(c, "idle", max(c.Tx.Now-x.Seen, 0))
			inactive := int64(-1)
			if x.Active > 0 {
				inactive = max(c.Tx.Now-x.Active, 0)
			}
			pair(c, "inactive", inactive)
			return true
		})
	})
}

func xinfoHelp(c *Ctx) {
	c.Help("XINFO", []string{"CONSUMERS <key> <groupname>",
		"    Show consumers of <groupname>.",
		"GROUPS <key>",
		"    Show the stream consumer groups.",
		"STREAM <key> [FULL [COUNT <count>]",
		"    Show information about the stream."})
}
