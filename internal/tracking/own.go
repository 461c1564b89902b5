package tracking

import (
	"slices"

	"tutti/internal/cluster"
)

// What clients with NOLOOP have changed themselves. An answer that says so may come before
// the node hears of the entry, or after: what is heard of while a client executes waits
// for the answer (dirty), and what is answered first waits here for the entry.

// entry is one of a shard's log.
type entry struct {
	shard cluster.ShardID
	index uint64
}

// written is keys that a client alone has changed in an entry.
type written struct {
	entry
	by   *Client
	keys map[string]struct{}
}

// of returns what was written in an entry.
func of(list []written, e entry) (same []written) {
	for i := range list {
		if list[i].entry == e {
			same = append(same, list[i])
		}
	}
	return same
}

// wrote reports whether c has written a key, by what was written in one entry.
func wrote(list []written, c *Client, key string) bool {
	return slices.ContainsFunc(list, func(w written) bool {
		_, has := w.keys[key]
		return has && w.by == c
	})
}

// own is what was answered of a shard and not heard of.
type own struct {
	heard   uint64 // index of the entry that was heard of last
	answers []written
}

// expect notes what will be heard of.
func (o *own) expect(w written) {
	if w.index <= o.heard {
		return // it was, while its client executed
	}
	if len(o.answers) >= ownMax {
		o.answers = slices.Delete(o.answers, 0, 1) // it is told
	}
	o.answers = append(o.answers, w)
}

// hear returns what was answered of an entry that is heard of now, and forgets what was of
// those before.
func (o *own) hear(e entry) []written {
	o.heard = max(o.heard, e.index)
	if len(o.answers) == 0 {
		return nil
	}
	o.answers = slices.DeleteFunc(o.answers, func(w written) bool { return w.index < e.index })
	return of(o.answers, e)
}

// expect notes what was answered and will be heard of.
func (t *Table) expect(list []written) {
	for _, w := range list {
		if s := t.sources[w.shard]; s != nil {
			s.own.expect(w)
		}
	}
}

// NoLoop reports whether the client does not want to be told of its own changes: then
// Wrote is of use.
func (c *Client) NoLoop() bool { return c.mode.NoLoop }

// Wrote says that of the keys that an entry of a shard has changed these were changed by
// commands that the client executes, and by nobody else. It comes between Begin and End.
func (c *Client) Wrote(shard cluster.ShardID, index uint64, keys [][]byte) {
	if !c.mode.NoLoop || len(keys) == 0 {
		return
	}
	names := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		names[string(key)] = struct{}{}
	}
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.wrote = append(c.wrote, written{entry{shard, index}, c, names})
}
