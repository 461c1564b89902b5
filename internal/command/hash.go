package command

import (
	"math"
	"strconv"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

var hashCommands = []Command{
	{Name: "hset", Arity: -4, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key field value [field value ...]", Doc: "Sets fields of a hash.", Run: hset},
	{Name: "hmset", Arity: -4, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key field value [field value ...]", Doc: "Sets fields of a hash.", Run: hmset},
	{Name: "hsetnx", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key field value", Doc: "Sets a field of a hash that does not exist.", Run: hsetnx},
	{Name: "hget", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key field", Doc: "Returns the value of a field of a hash.", Run: hget},
	{Name: "hmget", Arity: -3, Flags: ReadOnly | Fast, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key field [field ...]", Doc: "Returns the values of fields of a hash.", Run: hmget},
	{Name: "hgetall", Arity: 2, Flags: ReadOnly, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key", Doc: "Returns all fields and values of a hash.", Run: hgetall},
	{Name: "hkeys", Arity: 2, Flags: ReadOnly, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key", Doc: "Returns all fields of a hash.", Run: hkeys},
	{Name: "hvals", Arity: 2, Flags: ReadOnly, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key", Doc: "Returns all values of a hash.", Run: hvals},
	{Name: "hdel", Arity: -3, Flags: Write | Fast, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key field [field ...]", Doc: "Removes fields of a hash.", Run: hdel},
	{Name: "hlen", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key", Doc: "Returns the number of fields of a hash.", Run: hlen},
	{Name: "hstrlen", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey, Group: "hash", Since: "3.2.0",
		Syntax: "key field", Doc: "Returns the length of the value of a field of a hash.", Run: hstrlen},
	{Name: "hexists", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key field", Doc: "Tells whether a hash has a field.", Run: hexists},
	{Name: "hincrby", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "2.0.0",
		Syntax: "key field increment", Doc: "Adds to the integer value of a field of a hash.", Run: hincrby},
	{Name: "hincrbyfloat", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "2.6.0",
		Syntax: "key field increment", Doc: "Adds to the floating point value of a field of a hash.", Run: hincrbyfloat},
	{Name: "hrandfield", Arity: -2, Flags: ReadOnly, Keys: oneKey, Group: "hash", Since: "6.2.0",
		Syntax: "key [count [WITHVALUES]]", Doc: "Returns random fields of a hash.", Run: hrandfield},
	{Name: "hscan", Arity: -3, Flags: ReadOnly, Keys: oneKey, Group: "hash", Since: "2.8.0",
		Syntax: "key cursor [MATCH pattern] [COUNT count]", Doc: "Iterates over fields and values of a hash.", Run: hscan},
}

func hset(c *Ctx) {
	if added, ok := c.putFields(); ok {
		c.Int(int64(added))
	}
}

func hmset(c *Ctx) {
	if _, ok := c.putFields(); ok {
		c.OK()
	}
}

// putFields sets the fields that the arguments from the third on name, and
// counts the new ones. ok is false if an error was answered.
func (c *Ctx) putFields() (added int, ok bool) {
	if len(c.Args)%2 != 0 {
		c.wrongArity()
		return 0, false
	}
	o, ok := c.create(c.Args[1], keyspace.TypeHash)
	if !ok {
		return 0, false
	}
	for i := 2; i < len(c.Args); i += 2 {
		if o.PutField(c.Args[i], c.Args[i+1]) {
			added++
		}
	}
	o.Save()
	return added, true
}

func hsetnx(c *Ctx) {
	o, ok := c.create(c.Args[1], keyspace.TypeHash)
	if !ok {
		return
	}
	if o.HasField(c.Args[2]) {
		c.Int(0)
		return
	}
	o.PutField(c.Args[2], c.Args[3])
	o.Save()
	c.Int(1)
}

func hget(c *Ctx) {
	if o, ok := c.open(c.Args[1], keyspace.TypeHash); ok {
		c.field(o, c.Args[2])
	}
}

func hmget(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeHash)
	if !ok {
		return
	}
	c.Array(len(c.Args) - 2)
	for _, sub := range c.Args[2:] {
		c.field(o, sub)
	}
}

// field answers with the value of a field, or null; o may be nil.
func (c *Ctx) field(o *keyspace.Object, sub []byte) {
	if o != nil {
		if val, ok := o.Field(sub, nil); ok {
			c.Bulk(val)
			return
		}
	}
	c.Null()
}

func hgetall(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeHash)
	switch {
	case !ok:
	case o == nil:
		c.Map(0)
	default:
		c.Map(o.Len())
		o.EachField(func(sub, val []byte) bool {
			c.Bulk(sub)
			c.Bulk(val)
			return true
		})
	}
}

func hkeys(c *Ctx) { c.eachOfHash(func(sub, _ []byte) { c.Bulk(sub) }) }
func hvals(c *Ctx) { c.eachOfHash(func(_, val []byte) { c.Bulk(val) }) }

// eachOfHash answers with an array to which f adds one reply per field.
func (c *Ctx) eachOfHash(f func(sub, val []byte)) {
	o, ok := c.open(c.Args[1], keyspace.TypeHash)
	switch {
	case !ok:
	case o == nil:
		c.Array(0)
	default:
		c.Array(o.Len())
		eachField(o, f)
	}
}

func hdel(c *Ctx) { c.deleteFields(keyspace.TypeHash) }

func hlen(c *Ctx) { c.size(keyspace.TypeHash) }

func hstrlen(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeHash)
	if !ok {
		return
	}
	var val []byte
	if o != nil {
		val, _ = o.Field(c.Args[2], nil)
	}
	c.Int(int64(len(val)))
}

func hexists(c *Ctx) {
	if o, ok := c.open(c.Args[1], keyspace.TypeHash); ok {
		c.Bool(o != nil && o.HasField(c.Args[2]))
	}
}

func hincrby(c *Ctx) {
	by, ok := c.int(3)
	if !ok {
		return
	}
	o, ok := c.create(c.Args[1], keyspace.TypeHash)
	if !ok {
		return
	}
	var n int64
	if val, exists := o.Field(c.Args[2], nil); exists {
		if n, ok = resp.ParseInt(val); !ok {
			c.Error("ERR hash value is not an integer")
			return
		}
	}
	if by > 0 && n > math.MaxInt64-by || by < 0 && n < math.MinInt64-by {
		c.Error("ERR increment or decrement would overflow")
		return
	}
	n += by
	keyspace.PutFieldValue(o, c.Args[2], strconv.AppendInt(nil, n, 10))
	o.Save()
	c.Int(n)
}

func hincrbyfloat(c *Ctx) {
	by, ok := parseLongDouble(c.Args[3])
	if !ok {
		c.Error(errNotFloat)
		return
	}
	if by.IsInf() {
		c.Error("ERR value is NaN or Infinity")
		return
	}
	o, ok := c.create(c.Args[1], keyspace.TypeHash)
	if !ok {
		return
	}
	sum := by
	if val, exists := o.Field(c.Args[2], nil); exists {
		old, ok := parseLongDouble(val)
		if !ok {
			c.Error("ERR hash value is not a float")
			return
		}
		if sum, ok = addLongDouble(old, by); !ok {
			c.Error("ERR increment would produce NaN or Infinity")
			return
		}
	}
	val := appendLongDouble(nil, sum)
	keyspace.PutFieldValue(o, c.Args[2], val)
	o.Save()
	c.Bulk(val)
}

func hrandfield(c *Ctx) {
	if len(c.Args) == 2 {
		o, ok := c.open(c.Args[1], keyspace.TypeHash)
		switch {
		case !ok:
		case o == nil:
			c.Null()
		default:
			sub, _ := o.RandomField()
			c.Bulk(sub)
		}
		return
	}
	count, ok := c.signedCount(2)
	if !ok {
		return
	}
	values := len(c.Args) == 4 && c.is(3, "WITHVALUES")
	if len(c.Args) > 3 && !values {
		c.Error(TextSyntax)
		return
	}
	if count < -randomCountMax || values && count > math.MaxInt64/2 {
		c.Error(errOutOfRange)
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeHash)
	switch {
	case !ok:
	case o == nil || count == 0:
		c.Array(0)
	default:
		c.randomPairs(o, count, values)
	}
}

// randomPairs answers with random fields. Values come in pairs with their
// fields, which only RESP3 shows.
func (c *Ctx) randomPairs(o *keyspace.Object, count int64, values bool) {
	n := sampleLen(o, count)
	pairs := values && c.Proto >= 3
	if values && !pairs {
		n *= 2
	}
	c.Array(n)
	c.randomFields(o, count, func(sub, val []byte) {
		if pairs {
			c.Array(2)
		}
		c.Bulk(sub)
		if values {
			c.Bulk(val)
		}
	})
}

func hscan(c *Ctx) {
	c.scanFields(keyspace.TypeHash, func(dst, sub, val []byte) []byte {
		return resp.AppendBulk(resp.AppendBulk(dst, sub), val)
	}, 2)
}
