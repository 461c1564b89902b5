package command

import (
	"math"

	"tutti/internal/glob"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

var scanCommands = []Command{
	{Name: "keys", Arity: 2, Flags: ReadOnly | WholeShard, Group: "generic", Categories: []string{"dangerous"}, Since: "1.0.0",
		Syntax: "pattern", Doc: "Returns all keys whose names match a pattern.", Run: keys},
	{Name: "scan", Arity: -2, Flags: ReadOnly | WholeShard, Group: "generic", Since: "2.8.0",
		Syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]", Doc: "Iterates over the keys of the database.", Run: scan},
	{Name: "randomkey", Arity: 1, Flags: ReadOnly | WholeShard, Group: "generic", Since: "1.0.0",
		Doc: "Returns a random key.", Run: randomkey},
	{Name: "dbsize", Arity: 1, Flags: ReadOnly | Fast | WholeShard, Group: "server", Categories: []string{"keyspace"}, Since: "1.0.0",
		Doc: "Returns the number of keys in the database.", Run: dbsize},
}

func keys(c *Ctx) {
	opt := scanOptions{count: math.MaxInt}
	if pattern := c.Args[1]; string(pattern) != "*" {
		opt.match = pattern
	}
	if opt.match != nil && glob.Literal(opt.match) {
		if c.Tx.Open(c.DB, opt.match) == nil {
			c.Array(0)
			return
		}
		c.Array(1)
		c.Bulk(opt.match)
		return
	}
	_, n, found := c.scanKeys(0, opt)
	c.Array(n)
	c.Out = append(c.Out, found...)
}

func scan(c *Ctx) {
	cursor, ok := c.scanCursor(1)
	if !ok {
		return
	}
	if opt, ok := c.scanOptions(2); ok {
		c.scanResult(c.scanKeys(cursor, opt))
	}
}

// scanKeys returns the next cursor, and the keys found from cursor on, as n encoded
// replies.
func (c *Ctx) scanKeys(cursor uint64, opt scanOptions) (next uint64, n int, found []byte) {
	next = c.Tx.ScanKeys(c.DB, 0, keyspace.Slots, cursor, opt.count, func(key []byte, typ keyspace.Type) {
		if opt.matches(key) && (!opt.typed || opt.typ == typ.String()) {
			found = resp.AppendBulk(found, key)
			n++
		}
	})
	return next, n, found
}

func randomkey(c *Ctx) {
	if key := c.Tx.RandomKey(c.DB, 0, keyspace.Slots); key != nil {
		c.Bulk(key)
	} else {
		c.Null()
	}
}

func dbsize(c *Ctx) { c.Int(c.Tx.KeyCount(c.DB)) }
