package command

import (
	"bytes"
	"math"
	"slices"

	"tutti/internal/keyspace"
)

var genericCommands = slices.Concat([]Command{
	{Name: "del", Arity: -2, Flags: Write, Keys: allKeys, Group: "generic", Since: "1.0.0",
		Syntax: "key [key ...]", Doc: "Deletes keys.", Run: del},
	{Name: "unlink", Arity: -2, Flags: Write | Fast, Keys: allKeys, Group: "generic", Since: "4.0.0",
		Syntax: "key [key ...]", Doc: "Deletes keys; big values are always removed in the background.", Run: del},
	{Name: "exists", Arity: -2, Flags: ReadOnly | Fast, Keys: allKeys, Group: "generic", Since: "1.0.0",
		Syntax: "key [key ...]", Doc: "Counts which of the keys exist.", Run: exists},
	{Name: "touch", Arity: -2, Flags: ReadOnly | Fast, Keys: allKeys, Group: "generic", Since: "3.2.1",
		Syntax: "key [key ...]", Doc: "Counts which of the keys exist; access times are not kept.", Run: exists},
	{Name: "type", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "generic", Since: "1.0.0",
		Syntax: "key", Doc: "Returns the type of the value of a key.", Run: typeOf},
	{Name: "rename", Arity: 3, Flags: Write, Keys: twoKeys, Group: "generic", Since: "1.0.0",
		Syntax: "key newkey", Doc: "Renames a key and overwrites what had the new name.", Run: rename,
		Large: oneSlot},
	{Name: "renamenx", Arity: 3, Flags: Write | Fast, Keys: twoKeys, Group: "generic", Since: "1.0.0",
		Syntax: "key newkey", Doc: "Renames a key if the new name is free.", Run: renamenx,
		Large: oneSlot},
	{Name: "copy", Arity: -3, Flags: Write | DenyOOM, Keys: twoKeys, Group: "generic", Since: "6.2.0",
		Syntax: "source destination [DB destination-db] [REPLACE]", Doc: "Copies a key with its time to live.", Run: copyKey,
		Large: inParts},
	{Name: "move", Arity: 3, Flags: Write | Fast, Keys: oneKey, Group: "generic", Since: "1.0.0",
		Syntax: "key db", Doc: "Moves a key to another database.", Run: move},
}, expireCommands, scanCommands, sortCommands, objectCommands, flushCommands, dumpCommands)

const (
	errDBRange    = "ERR DB index is out of range"
	errSameObject = "ERR source and destination objects are the same"
)

func del(c *Ctx) {
	var n int64
	for _, key := range c.Args[1:] {
		if o := c.Tx.Open(c.DB, key); o != nil {
			o.Delete()
			n++
		}
	}
	c.Int(n)
}

func exists(c *Ctx) {
	var n int64
	for _, key := range c.Args[1:] {
		if c.Tx.Open(c.DB, key) != nil {
			n++
		}
	}
	c.Int(n)
}

func typeOf(c *Ctx) {
	if o := c.Tx.Open(c.DB, c.Args[1]); o != nil {
		c.Simple(o.Type.String())
	} else {
		c.Simple("none")
	}
}

func rename(c *Ctx) {
	if _, found := renameKey(c, true); found {
		c.OK()
	}
}

func renamenx(c *Ctx) {
	if renamed, found := renameKey(c, false); found {
		c.Bool(renamed)
	}
}

// renameKey renames a key, replacing another if replace is set, or answers that
// there is no such key. A key renamed to itself stays as it is.
func renameKey(c *Ctx, replace bool) (renamed, found bool) {
	from, to := c.Args[1], c.Args[2]
	o := c.Tx.Open(c.DB, from)
	if o == nil {
		c.Error(errNoKey)
		return false, false
	}
	if bytes.Equal(from, to) {
		return false, true
	}
	if old := c.Tx.Open(c.DB, to); old != nil {
		if !replace {
			return false, true
		}
		old.Delete()
	}
	o.Rename(to)
	return true, true
}

// database parses argument i as the number of a database.
func (c *Ctx) database(i int) (db uint8, ok bool) {
	n, ok := c.int32(i)
	if !ok {
		return 0, false
	}
	if n < 0 || n >= keyspace.LogicalDatabases {
		c.Error(errDBRange)
		return 0, false
	}
	return uint8(n), true
}

// int32 parses argument i as what C calls an int.
func (c *Ctx) int32(i int) (n int64, ok bool) {
	if n, ok = c.int(i); ok && (n < math.MinInt32 || n > math.MaxInt32) {
		c.Error("ERR value is out of range, value must between -2147483648 and 2147483647")
		return 0, false
	}
	return n, ok
}

func move(c *Ctx) {
	db, ok := c.database(2)
	if !ok {
		return
	}
	if db == c.DB {
		c.Error(errSameObject)
		return
	}
	o := c.Tx.Open(c.DB, c.Args[1])
	if o == nil || c.Tx.Open(db, c.Args[1]) != nil {
		c.Int(0)
		return
	}
	o.MoveTo(db)
	c.Int(1)
}

func copyKey(c *Ctx) {
	db, replace := c.DB, false
	for i := 3; i < len(c.Args); i++ {
		switch {
		case c.is(i, "REPLACE"):
			replace = true
		case c.is(i, "DB") && i+1 < len(c.Args):
			i++
			var ok bool
			if db, ok = c.database(i); !ok {
				return
			}
		default:
			c.Error(TextSyntax)
			return
		}
	}
	from, to := c.Args[1], c.Args[2]
	if db == c.DB && bytes.Equal(from, to) {
		c.Error(errSameObject)
		return
	}
	o := c.Tx.Open(c.DB, from)
	if o == nil {
		c.Int(0)
		return
	}
	if old := c.Tx.Open(db, to); old != nil {
		if !replace {
			c.Int(0)
			return
		}
		old.Delete()
	}
	o.CopyTo(db, to)
	c.Int(1)
}
