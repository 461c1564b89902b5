package command

import (
	"fmt"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// Groups of streams: who reads what, XGROUP.

const errGroupKey = "ERR The XGROUP subcommand requires the key to exist. " +
	"Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically."

// readGroup adds what a consumer gets of a stream: of ">" what the group has not had,
// else what the consumer has not acknowledged. The consumer exists from then on,
// unless it waits already: who waits for long does not write all the time.
func readGroup(c *Ctx, r *reading, x *streamSource, found *readings) {
	if x.again {
		if x.s = again(c, x, r); x.g == nil {
			return
		}
	}
	g, now := x.g, c.Tx.Now
	nothing := x.fresh && g.Last.Compare(x.s.Last) >= 0
	if nothing && c.Waited {
		return
	}
	consumer := g.Consumer(r.consumer)
	if consumer == nil {
		consumer = newConsumer(c, g, x.key, r.consumer)
	}
	if x.fresh {
		n, entries := deliver(c, r, x, consumer)
		consumer.Saw(now, n > 0)
		found.add(x.key, n, entries, false)
	} else {
		n, entries := undone(c, r, x, consumer)
		consumer.Saw(now, false)
		found.add(x.key, n, entries, true)
	}
	x.s.Save()
}

// newConsumer makes a consumer who was not asked for, which those who watch the stream
// are told all the same.
func newConsumer(c *Ctx, g *keyspace.Group, key, name []byte) *keyspace.Consumer {
	c.Tx.Notify(keyspace.EventStream, "xgroup-createconsumer", c.DB, key)
	return g.CreateConsumer(name, c.Tx.Now)
}

// again opens a stream once more that was read before, where one key is named twice.
func again(c *Ctx, x *streamSource, r *reading) *keyspace.Stream {
	o := c.Tx.Open(c.DB, x.key)
	if o == nil || o.Type != keyspace.TypeStream {
		x.g = nil
		return nil
	}
	s := keyspace.StreamOf(o)
	x.g = s.Group(r.group)
	return s
}

// deliver gives a consumer the entries that its group has not had.
func deliver(c *Ctx, r *reading, x *streamSource, consumer *keyspace.Consumer) (n int, entries []byte) {
	from, ok := x.g.Last.Next()
	if !ok {
		return 0, nil
	}
	var ids []keyspace.StreamID
	size := 0
	x.s.Each(from, keyspace.StreamIDMax(), false, func(id keyspace.StreamID, fields [][]byte) bool {
		entries = appendEntry(entries, id, fields)
		ids = append(ids, id)
		if !r.noAck {
			size += deliveredSize + len(r.consumer)
		}
		return uint64(len(ids)) != r.count && size <= keyspace.WriteSetMax/2 && len(entries) <= deliveredMax
	})
	for _, id := range ids {
		x.g.Delivered(id, readUpTo(x.s, x.g, id))
		if !r.noAck {
			x.g.Deliver(id, consumer, c.Tx.Now, 1)
		}
	}
	return len(ids), entries
}

// deliveredSize is about what is written for each entry that is delivered, and
// deliveredMax bounds the entries of one reply: the rest comes with the next.
const (
	deliveredSize = 96
	deliveredMax  = 8 << 20
)

// undone returns what a consumer has not acknowledged, and notes that it had it once
// more. An entry that is gone is shown without fields.
func undone(c *Ctx, r *reading, x *streamSource, consumer *keyspace.Consumer) (n int, entries []byte) {
	from, ok := x.after.Next()
	if !ok {
		return 0, nil
	}
	var ids []keyspace.StreamID
	x.g.EachPendingOf(consumer, from, keyspace.StreamIDMax(), func(id keyspace.StreamID) bool {
		ids = append(ids, id)
		return uint64(len(ids)) != r.count
	})
	for _, id := range ids {
		if c.Tx.Err() != nil || c.Tx.Written() > keyspace.WriteSetMax {
			break
		}
		fields, ok := x.s.Entry(id)
		if !ok {
			entries = resp.AppendNullArray(resp.AppendBulk(resp.AppendArray(entries, 2), id.Append(nil)), c.Proto)
			continue
		}
		entries = appendEntry(entries, id, fields)
		if p, ok := x.g.Find(id); ok {
			x.g.Deliver(id, consumer, c.Tx.Now, p.Count+1)
		}
	}
	return len(ids), entries
}

// readUpTo says how many entries a group has read that comes to an entry.
func readUpTo(s *keyspace.Stream, g *keyspace.Group, id keyspace.StreamID) int64 {
	if g.Read != keyspace.ReadUnknown && !deletedFrom(s, id) {
		return g.Read + 1
	}
	if s.Added > 0 {
		return distance(s, id)
	}
	return g.Read
}

// deletedFrom reports whether an entry of that id or a higher one may have been deleted,
// behind the first that is there.
func deletedFrom(s *keyspace.Stream, id keyspace.StreamID) bool {
	return s.Len() > 0 && s.First.Compare(s.MaxDeleted) <= 0 && id.Compare(s.MaxDeleted) <= 0
}

// distance counts the entries from the first that ever was to id, or is ReadUnknown.
func distance(s *keyspace.Stream, id keyspace.StreamID) int64 {
	switch {
	case s.Added == 0:
		return 0
	case s.Len() == 0 && id.Compare(s.Last) < 1:
		return int64(s.Added)
	case id == s.Last:
		return int64(s.Added)
	case id.Compare(s.Last) > 0:
		return keyspace.ReadUnknown
	case s.MaxDeleted.Compare(s.First) >= 0:
		return keyspace.ReadUnknown
	case id.Compare(s.First) < 0:
		return int64(s.Added - s.Len())
	case id == s.First:
		return int64(s.Added - s.Len() + 1)
	}
	return keyspace.ReadUnknown
}

// noGroup answers that there is no such group.
func noGroup(c *Ctx, key, group []byte) {
	c.Error("NOGROUP No such consumer group '" + string(group) + "' for key name '" + string(key) + "'")
}

// group opens the stream and the group that arguments 2 and 3 name, or answers the
// error of XGROUP.
func group(c *Ctx) (s *keyspace.Stream, g *keyspace.Group, ok bool) {
	if s, ok = stream(c, c.Args[2]); !ok {
		return nil, nil, false
	}
	if s == nil {
		c.Error(errGroupKey)
		return nil, nil, false
	}
	if g = s.Group(c.Args[3]); g == nil {
		noGroup(c, c.Args[2], c.Args[3])
	}
	return s, g, g != nil
}

// groupOptions parses what follows the id of XGROUP CREATE and SETID.
func groupOptions(c *Ctx, create bool) (read int64, make, ok bool) {
	read = keyspace.ReadUnknown
	for i := 5; i < len(c.Args); i++ {
		switch {
		case create && c.is(i, "MKSTREAM"):
			make = true
		case c.is(i, "ENTRIESREAD") && i+1 < len(c.Args):
			i++
			if read, ok = c.int(i); !ok {
				return 0, false, false
			}
			if read < 0 && read != keyspace.ReadUnknown {
				c.Error("ERR value for ENTRIESREAD must be positive or -1")
				return 0, false, false
			}
		default:
			badSubcommand(c, "XGROUP")
			return 0, false, false
		}
	}
	return read, make, true
}

func badSubcommand(c *Ctx, container string) {
	c.Error(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%.128s'. Try %s HELP.", c.Args[1], container))
}

// groupID parses argument 4 as where a group is; "$" is behind all that is there.
func groupID(c *Ctx, s *keyspace.Stream, ends bool) (id keyspace.StreamID, ok bool) {
	switch word := string(c.Args[4]); {
	case word == "$" && s == nil:
		return id, true
	case word == "$":
		return s.Last, true
	case ends && word == "-":
		return id, true
	case ends && word == "+":
		return keyspace.StreamIDMax(), true
	}
	return streamID(c, 4)
}

func xgroupCreate(c *Ctx) {
	read, mk, ok := groupOptions(c, true)
	if !ok {
		return
	}
	s, ok := stream(c, c.Args[2])
	if !ok {
		return
	}
	if s == nil && !mk {
		c.Error(errGroupKey)
		return
	}
	id, ok := groupID(c, s, false)
	if !ok {
		return
	}
	if s == nil {
		if s, ok = newStream(c, c.Args[2]); !ok {
			return
		}
	} else if s.Group(c.Args[3]) != nil {
		c.Error("BUSYGROUP Consumer Group name already exists")
		return
	}
	s.CreateGroup(c.Args[3], id, read)
	s.Save()
	c.OK()
}

func xgroupSetID(c *Ctx) {
	read, _, ok := groupOptions(c, false)
	if !ok {
		return
	}
	s, g, ok := group(c)
	if !ok {
		return
	}
	id, ok := groupID(c, s, true)
	if !ok {
		return
	}
	g.Delivered(id, read)
	s.Save()
	c.OK()
}

func xgroupDestroy(c *Ctx) {
	s, ok := stream(c, c.Args[2])
	switch {
	case !ok:
		return
	case s == nil:
		c.Error(errGroupKey)
		return
	}
	g := s.Group(c.Args[3])
	if g != nil {
		s.DestroyGroup(g)
		s.Save()
	}
	c.Bool(g != nil)
}

func xgroupCreateConsumer(c *Ctx) {
	s, g, ok := group(c)
	if !ok {
		return
	}
	if g.Consumer(c.Args[4]) != nil {
		c.Int(0)
		return
	}
	g.CreateConsumer(c.Args[4], c.Tx.Now)
	s.Save()
	c.Int(1)
}

func xgroupDelConsumer(c *Ctx) {
	s, g, ok := group(c)
	if !ok {
		return
	}
	consumer := g.Consumer(c.Args[4])
	if consumer == nil {
		c.Int(0)
		return
	}
	pending := consumer.Pending()
	g.DeleteConsumer(consumer)
	s.Save()
	c.Int(int64(pending))
}

func xgroupHelp(c *Ctx) {
	c.Help("XGROUP", []string{"CREATE <key> <groupname> <id|$> [option]",
		"    Create a new consumer group. Options are:",
		"    * MKSTREAM",
		"      Create the empty stream if it does not exist.",
		"    * ENTRIESREAD entries_read",
		"      Set the group's entries_read counter (internal use).",
		"CREATECONSUMER <key> <groupname> <consumer>",
		"    Create a new consumer in the specified group.",
		"DELCONSUMER <key> <groupname> <consumer>",
		"    Remove the specified consumer.",
		"DESTROY <key> <groupname>",
		"    Remove the specified group.",
		"SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
		"    Set the current group ID and entries_read counter."})
}
