package command

import (
	"math"
	"math/big"
	"strconv"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

var stringNumberCommands = []Command{
	{Name: "incr", Arity: 2, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "string", Since: "1.0.0",
		Syntax: "key", Doc: "Adds one to the integer value of a key.", Run: incr},
	{Name: "incrby", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "string", Since: "1.0.0",
		Syntax: "key increment", Doc: "Adds a number to the integer value of a key.", Run: incrby},
	{Name: "decr", Arity: 2, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "string", Since: "1.0.0",
		Syntax: "key", Doc: "Subtracts one from the integer value of a key.", Run: decr},
	{Name: "decrby", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "string", Since: "1.0.0",
		Syntax: "key decrement", Doc: "Subtracts a number from the integer value of a key.", Run: decrby},
	{Name: "incrbyfloat", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "string", Since: "2.6.0",
		Syntax: "key increment", Doc: "Adds a number to the floating point value of a key.", Run: incrbyfloat},
}

func incr(c *Ctx) { c.incrBy(1) }
func decr(c *Ctx) { c.incrBy(-1) }

func incrby(c *Ctx) {
	if by, ok := c.int(2); ok {
		c.incrBy(by)
	}
}

func decrby(c *Ctx) {
	by, ok := c.int(2)
	switch {
	case !ok:
	case by == math.MinInt64:
		c.Error("ERR decrement would overflow")
	default:
		c.incrBy(-by)
	}
}

func (c *Ctx) incrBy(by int64) {
	o, ok := c.open(c.Args[1], keyspace.TypeString)
	if !ok {
		return
	}
	var n, expire int64
	if o != nil {
		if n, ok = resp.ParseInt(o.Bytes()); !ok {
			c.Error(TextNotInt)
			return
		}
		expire = o.Expire
	}
	if by > 0 && n > math.MaxInt64-by || by < 0 && n < math.MinInt64-by {
		c.Error("ERR increment or decrement would overflow")
		return
	}
	n += by
	var buf [20]byte
	c.putString(c.Args[1], o, strconv.AppendInt(buf[:0], n, 10), expire)
	c.Int(n)
}

func incrbyfloat(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeString)
	if !ok {
		return
	}
	n, expire := new(big.Float), int64(0)
	if o != nil {
		if n, ok = parseLongDouble(o.Bytes()); !ok {
			c.Error(errNotFloat)
			return
		}
		expire = o.Expire
	}
	by, ok := parseLongDouble(c.Args[2])
	if !ok {
		c.Error(errNotFloat)
		return
	}
	if n, ok = addLongDouble(n, by); !ok {
		c.Error("ERR increment would produce NaN or Infinity")
		return
	}
	val := appendLongDouble(nil, n)
	c.putString(c.Args[1], o, val, expire)
	c.Bulk(val)
}
