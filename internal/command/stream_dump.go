package command

import (
	"tutti/internal/keyspace"
	"tutti/internal/rdb"
)

// Streams in Redis's serialized form.

// dumpStream returns the value of a stream.
func dumpStream(s *keyspace.Stream) *rdb.StreamValue {
	v := &rdb.StreamValue{Last: rdb.ID(s.Last), MaxDeleted: rdb.ID(s.MaxDeleted), Added: s.Added}
	s.Each(s.First, s.Last, false, func(id keyspace.StreamID, fields [][]byte) bool {
		own := make([][]byte, len(fields))
		for i, f := range fields {
			own[i] = append([]byte{}, f...)
		}
		v.Entries = append(v.Entries, rdb.Entry{ID: rdb.ID(id), Fields: own})
		return true
	})
	s.EachGroup(func(g *keyspace.Group) bool {
		v.Groups = append(v.Groups, dumpGroup(g))
		return true
	})
	return v
}

func dumpGroup(g *keyspace.Group) rdb.Group {
	v := rdb.Group{Name: g.Name, Last: rdb.ID(g.Last), Read: g.Read}
	at := map[string]int{}
	g.EachConsumer(func(x *keyspace.Consumer) bool {
		at[string(x.Name)] = len(v.Consumers)
		v.Consumers = append(v.Consumers, rdb.Consumer{Name: x.Name, Seen: x.Seen, Active: activeTime(x)})
		return true
	})
	g.EachPending(keyspace.StreamID{}, keyspace.StreamIDMax(), false, func(p keyspace.PendingEntry) bool {
		of, ok := at[string(p.Consumer)]
		if ok { // else the row is damaged, and the command fails
			v.Pending = append(v.Pending, rdb.Pending{ID: rdb.ID(p.ID), Delivered: p.Delivered, Count: p.Count, Consumer: of})
		}
		return ok
	})
	return v
}

// putStream makes an absent key the stream v.
func putStream(c *Ctx, key []byte, v *rdb.StreamValue, expire int64) {
	s := keyspace.NewStream(c.Tx, c.DB, key)
	s.Object().Expire = expire
	for _, e := range v.Entries {
		s.Append(keyspace.StreamID(e.ID), e.Fields)
	}
	s.Last, s.MaxDeleted, s.Added = keyspace.StreamID(v.Last), keyspace.StreamID(v.MaxDeleted), v.Added
	for i := range v.Groups {
		putGroup(s, &v.Groups[i])
	}
	s.Stir()
	s.Save()
}

func putGroup(s *keyspace.Stream, v *rdb.Group) {
	g := s.CreateGroup(v.Name, keyspace.StreamID(v.Last), v.Read)
	if v.Read == rdb.NotCounted {
		g.Read = distance(s, g.Last)
	}
	consumers := make([]*keyspace.Consumer, len(v.Consumers))
	for i, x := range v.Consumers {
		consumers[i] = g.CreateConsumer(x.Name, x.Seen)
		if x.Active >= 0 {
			consumers[i].Active = x.Active
		}
	}
	for _, p := range v.Pending {
		g.Deliver(keyspace.StreamID(p.ID), consumers[p.Consumer], p.Delivered, p.Count)
	}
}
