package eval

import (
	"bytes"
	"slices"

	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// Clients that keep values need not be told of what they have changed themselves, if they
// say so. An entry holds changes of many, so who has changed what is found out here, for
// groups that ask (group.Own), and told with the reply. What is not told so is told to
// the client as old: what repetitions are answered from has no room for it.

// author is what a group that is number n of its batch signs with, if it asks.
func author(g *group.Group, n int) keyspace.Author {
	if !g.Own {
		return 0
	}
	return keyspace.Author(n + 1)
}

// waiterAuthor is what the command of a waiter signs with, if it asks: a number of its own
// each time that it is evaluated, as it may come to nothing.
func (b *Batch) waiterAuthor(g *group.Group) keyspace.Author {
	if !g.Own {
		return 0
	}
	b.asked++
	return keyspace.Author(-b.asked)
}

// asker returns the reply to who has signed, nil if that came to nothing.
func (b *Batch) asker(a keyspace.Author, wrote []bool) *group.Reply {
	if a > 0 {
		if n := int(a) - 1; wrote[n] {
			return &b.Replies[n]
		}
		return nil
	}
	if n := slices.IndexFunc(b.Late, func(l Late) bool { return l.author == a }); n >= 0 {
		return &b.Late[n].Reply
	}
	return nil
}

// nameOwn names to those who ask the keys of which the entry, which there is, holds no
// change but theirs.
func (b *Batch) nameOwn(wrote []bool) {
	var sizes map[keyspace.Author]int
	keyspace.Alone(b.tx, func(a keyspace.Author, key []byte) {
		r := b.asker(a, wrote)
		if r == nil {
			return
		}
		if sizes == nil {
			sizes = make(map[keyspace.Author]int)
		}
		if sizes[a] += len(key); sizes[a] > group.OwnMax {
			return // in doubt it is told
		}
		if r.Own == nil {
			r.Own = &group.Own{}
		}
		r.Own.Keys = append(r.Own.Keys, bytes.Clone(key))
	})
}
