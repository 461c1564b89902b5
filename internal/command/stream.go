package command

import (
	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// Streams without their groups.

const (
	errStreamFormat  = "NEEDVERSION streams need nodes of cluster version 2, and not all are. Not applied. Upgrade the others."
	errStreamFull    = "ERR The stream has exhausted the last possible ID, unable to add more items"
	errStreamTop     = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
	errStreamZero    = "ERR The ID specified in XADD must be greater than 0-0"
	errAddedNegative = "ERR entries_added must be positive"
)

// stream returns the stream at key, nil if there is none, or answers WRONGTYPE.
func stream(c *Ctx, key []byte) (s *keyspace.Stream, ok bool) {
	o, ok := c.open(key, keyspace.TypeStream)
	if o == nil {
		return nil, ok
	}
	return keyspace.StreamOf(o), true
}

// newStream returns a new stream, or answers that it can't be.
func newStream(c *Ctx, key []byte) (s *keyspace.Stream, ok bool) {
	if !keyspace.MayStream(c.Tx) {
		c.Error(errStreamFormat)
		return nil, false
	}
	return keyspace.NewStream(c.Tx, c.DB, key), true
}

func xadd(c *Ctx) {
	a, at, ok := addArgs(c)
	if !ok {
		return
	}
	fields := c.Args[min(at+1, len(c.Args)):]
	switch {
	case len(fields) < 2 || len(fields)%2 != 0:
		c.wrongArity()
		return
	case a.given && !a.auto && a.id == keyspace.StreamID{}:
		c.Error(errStreamZero)
		return
	}
	s, ok := stream(c, c.Args[1])
	if !ok {
		return
	}
	if s == nil && a.noMake {
		c.Null()
		return
	}
	if s == nil {
		if s, ok = newStream(c, c.Args[1]); !ok {
			return
		}
	}
	id, fault := a.next(s.Last, c.Tx.Now)
	if fault != "" {
		c.Error(fault)
		return
	}
	s.Append(id, fields)
	if a.trims {
		c.trimmed = s.Trim(a.trim) > 0
	}
	s.Save()
	writeID(c, id)
}

// next returns the id of a new entry, which is higher than the last, or an error. The
// time in ids is that of the shard, which never goes back and is the same for all
// who could evaluate the command.
func (a *addition) next(last keyspace.StreamID, now int64) (id keyspace.StreamID, fault string) {
	if last == keyspace.StreamIDMax() {
		return id, errStreamFull
	}
	switch {
	case !a.given:
		id = keyspace.StreamID{Ms: uint64(max(now, 0))}
		if id.Compare(last) <= 0 {
			id, _ = last.Next()
		}
		if id == (keyspace.StreamID{}) {
			id.Seq = 1
		}
	case a.auto && a.id.Ms == last.Ms:
		if id, _ = last.Next(); id.Ms != last.Ms {
			return id, errStreamTop
		}
	default:
		id = a.id
	}
	if id.Compare(last) <= 0 {
		return id, errStreamTop
	}
	return id, ""
}

func xlen(c *Ctx) {
	s, ok := stream(c, c.Args[1])
	switch {
	case !ok:
	case s == nil:
		c.Int(0)
	default:
		c.Int(int64(s.Len()))
	}
}

func xrange(c *Ctx)    { entriesBetween(c, 2, 3, forward) }
func xrevrange(c *Ctx) { entriesBetween(c, 3, 2, backward) }

// entriesBetween answers with the entries between two arguments.
func entriesBetween(c *Ctx, start, end int, dir direction) {
	from, ok := startID(c, start)
	if !ok {
		return
	}
	to, ok := endID(c, end)
	if !ok {
		return
	}
	count := int64(-1)
	for i := 4; i < len(c.Args); i += 2 {
		if !c.is(i, "COUNT") || i+1 == len(c.Args) {
			c.Error(TextSyntax)
			return
		}
		if count, ok = c.int(i + 1); !ok {
			return
		}
		count = max(count, 0)
	}
	s, ok := stream(c, c.Args[1])
	switch {
	case !ok:
	case s == nil:
		c.Array(0)
	case count == 0:
		c.NullArray()
	default:
		n, found := entriesOf(s, from, to, uint64(max(count, 0)), dir)
		c.Array(n)
		c.Out = append(c.Out, found...)
	}
}

// entriesOf returns up to count entries, 0: all, as n encoded replies.
func entriesOf(s *keyspace.Stream, from, to keyspace.StreamID, count uint64, dir direction) (n int, found []byte) {
	s.Each(from, to, dir == backward, func(id keyspace.StreamID, fields [][]byte) bool {
		found = appendEntry(found, id, fields)
		n++
		return uint64(n) != count
	})
	return n, found
}

// appendEntry appends the reply for an entry.
func appendEntry(dst []byte, id keyspace.StreamID, fields [][]byte) []byte {
	var room [48]byte
	dst = resp.AppendBulk(resp.AppendArray(dst, 2), id.Append(room[:0]))
	dst = resp.AppendArray(dst, len(fields))
	for _, f := range fields {
		dst = resp.AppendBulk(dst, f)
	}
	return dst
}

func xdel(c *Ctx) {
	s, ok := stream(c, c.Args[1])
	if !ok {
		return
	}
	if s == nil {
		c.Int(0)
		return
	}
	ids, ok := streamIDs(c, 2)
	if !ok {
		return
	}
	gone := 0
	for _, id := range ids {
		if s.Delete(id) {
			gone++
		}
	}
	if gone > 0 {
		s.Save()
	}
	c.Int(int64(gone))
}

func xsetid(c *Ctx) {
	last, ok := streamID(c, 2)
	if !ok {
		return
	}
	added, deleted := int64(-1), keyspace.StreamID{}
	for i := 3; i < len(c.Args); i += 2 {
		switch more := i+1 < len(c.Args); {
		case more && c.is(i, "ENTRIESADDED"):
			if added, ok = c.int(i + 1); !ok {
				return
			}
			if added < 0 {
				c.Error(errAddedNegative)
				return
			}
		case more && c.is(i, "MAXDELETEDID"):
			if deleted, ok = streamID(c, i+1); !ok {
				return
			}
			if last.Compare(deleted) < 0 {
				c.Error("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
				return
			}
		default:
			c.Error(TextSyntax)
			return
		}
	}
	s, ok := stream(c, c.Args[1])
	switch {
	case !ok:
	case s == nil:
		c.Error(errNoKey)
	case last.Compare(s.MaxDeleted) < 0:
		c.Error("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
	case last.Compare(topEntry(s)) < 0:
		c.Error("ERR The ID specified in XSETID is smaller than the target stream top item")
	case added >= 0 && s.Len() > uint64(added):
		c.Error("ERR The entries_added specified in XSETID is smaller than the target stream length")
	default:
		s.SetLast(last)
		if added >= 0 {
			s.Added = uint64(added)
		}
		if deleted != (keyspace.StreamID{}) {
			s.MaxDeleted = deleted
		}
		s.Save()
		c.OK()
	}
}

// topEntry returns the id of the last entry that is there, 0-0 without one.
func topEntry(s *keyspace.Stream) (top keyspace.StreamID) {
	s.Each(s.First, s.Last, true, func(id keyspace.StreamID, _ [][]byte) bool {
		top = id
		return false
	})
	return top
}
