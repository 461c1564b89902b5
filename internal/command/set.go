package command

import (
	"bytes"
	"math"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

var setCommands = []Command{
	{Name: "sadd", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "set", Since: "1.0.0",
		Syntax: "key member [member ...]", Doc: "Adds members to a set.", Run: sadd},
	{Name: "srem", Arity: -3, Flags: Write | Fast, Keys: oneKey, Group: "set", Since: "1.0.0",
		Syntax: "key member [member ...]", Doc: "Removes members of a set.", Run: srem},
	{Name: "smembers", Arity: 2, Flags: ReadOnly, Keys: oneKey, Group: "set", Since: "1.0.0",
		Syntax: "key", Doc: "Returns all members of a set.", Run: smembers},
	{Name: "sismember", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey, Group: "set", Since: "1.0.0",
		Syntax: "key member", Doc: "Tells whether a set has a member.", Run: sismember},
	{Name: "smismember", Arity: -3, Flags: ReadOnly | Fast, Keys: oneKey, Group: "set", Since: "6.2.0",
		Syntax: "key member [member ...]", Doc: "Tells for each argument whether it is a member of a set.", Run: smismember},
	{Name: "scard", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "set", Since: "1.0.0",
		Syntax: "key", Doc: "Returns the number of members of a set.", Run: scard},
	{Name: "smove", Arity: 4, Flags: Write | Fast, Keys: twoKeys, Group: "set", Since: "1.0.0",
		Syntax: "source destination member", Doc: "Moves a member from one set to another.", Run: smove},
	{Name: "spop", Arity: -2, Flags: Write | Fast, Keys: oneKey, Group: "set", Since: "1.0.0",
		Syntax: "key [count]", Doc: "Removes and returns random members of a set.", Run: spop},
	{Name: "srandmember", Arity: -2, Flags: ReadOnly, Keys: oneKey, Group: "set", Since: "1.0.0",
		Syntax: "key [count]", Doc: "Returns random members of a set.", Run: srandmember},
	{Name: "sscan", Arity: -3, Flags: ReadOnly, Keys: oneKey, Group: "set", Since: "2.8.0",
		Syntax: "key cursor [MATCH pattern] [COUNT count]", Doc: "Iterates over the members of a set.", Run: sscan},
	{Name: "sinter", Arity: -2, Flags: ReadOnly, Keys: allKeys, Group: "set", Since: "1.0.0",
		Syntax: "key [key ...]", Doc: "Returns the intersection of sets.", Run: sinter},
	{Name: "sintercard", Arity: -3, Flags: ReadOnly | MovableKeys, Keys: numKeys(1), Group: "set", Since: "7.0.0",
		Syntax: "numkeys key [key ...] [LIMIT limit]", Doc: "Returns the size of the intersection of sets.", Run: sintercard},
	{Name: "sinterstore", Arity: -3, Flags: Write | DenyOOM, Keys: allKeys, Group: "set", Since: "1.0.0",
		Syntax: "destination key [key ...]", Doc: "Stores the intersection of sets in a key.", Run: sinterstore,
		Large: storeParts},
	{Name: "sunion", Arity: -2, Flags: ReadOnly, Keys: allKeys, Group: "set", Since: "1.0.0",
		Syntax: "key [key ...]", Doc: "Returns the union of sets.", Run: sunion},
	{Name: "sunionstore", Arity: -3, Flags: Write | DenyOOM, Keys: allKeys, Group: "set", Since: "1.0.0",
		Syntax: "destination key [key ...]", Doc: "Stores the union of sets in a key.", Run: sunionstore,
		Large: storeParts},
	{Name: "sdiff", Arity: -2, Flags: ReadOnly, Keys: allKeys, Group: "set", Since: "1.0.0",
		Syntax: "key [key ...]", Doc: "Returns the members of the first set that no other set has.", Run: sdiff},
	{Name: "sdiffstore", Arity: -3, Flags: Write | DenyOOM, Keys: allKeys, Group: "set", Since: "1.0.0",
		Syntax: "destination key [key ...]", Doc: "Stores the members of the first set that no other set has in a key.", Run: sdiffstore,
		Large: storeParts},
}

func sadd(c *Ctx) {
	o, ok := c.create(c.Args[1], keyspace.TypeSet)
	if !ok {
		return
	}
	added := 0
	for _, m := range c.Args[2:] {
		if o.PutField(m, nil) {
			added++
		}
	}
	if added > 0 {
		o.Save()
	}
	c.Int(int64(added))
}

func srem(c *Ctx)  { c.deleteFields(keyspace.TypeSet) }
func scard(c *Ctx) { c.size(keyspace.TypeSet) }

func smembers(c *Ctx) {
	if o, ok := c.open(c.Args[1], keyspace.TypeSet); ok {
		c.members(o)
	}
}

// members answers with all members of a set, which may be nil.
func (c *Ctx) members(o *keyspace.Object) {
	if o == nil {
		c.Set(0)
		return
	}
	c.Set(o.Len())
	o.EachField(func(m, _ []byte) bool {
		c.Bulk(m)
		return true
	})
}

func sismember(c *Ctx) {
	if o, ok := c.open(c.Args[1], keyspace.TypeSet); ok {
		c.Bool(o != nil && o.HasField(c.Args[2]))
	}
}

func smismember(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeSet)
	if !ok {
		return
	}
	c.Array(len(c.Args) - 2)
	for _, m := range c.Args[2:] {
		c.Bool(o != nil && o.HasField(m))
	}
}

func smove(c *Ctx) {
	src, ok := c.open(c.Args[1], keyspace.TypeSet)
	if !ok {
		return
	}
	if src == nil {
		c.Int(0)
		return
	}
	if bytes.Equal(c.Args[1], c.Args[2]) {
		c.Bool(src.HasField(c.Args[3]))
		return
	}
	dst, ok := c.create(c.Args[2], keyspace.TypeSet)
	if !ok {
		return
	}
	if !src.DeleteField(c.Args[3]) {
		c.Int(0)
		return
	}
	src.Save()
	if dst.PutField(c.Args[3], nil) {
		dst.Save()
	}
	c.Int(1)
}

func spop(c *Ctx) {
	if len(c.Args) > 3 {
		c.Error(TextSyntax)
		return
	}
	if len(c.Args) == 3 {
		c.popMembers()
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeSet)
	if !ok {
		return
	}
	if o == nil {
		c.Null()
		return
	}
	m, _ := o.RandomField()
	o.DeleteField(m)
	o.Save()
	c.Bulk(m)
}

// popMembers evaluates SPOP with a count.
func (c *Ctx) popMembers() {
	count, ok := c.intFrom(2, 0, errRange)
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeSet)
	switch {
	case !ok:
	case o == nil || count == 0:
		c.Set(0)
	case count >= int64(o.Len()):
		c.members(o)
		o.Delete()
	default:
		c.Set(int(count))
		for _, m := range c.distinctFields(o, int(count)) {
			c.Bulk(m.sub)
			o.DeleteField(m.sub)
		}
		keyspace.Thin(o, int(count))
		o.Save()
	}
}

func srandmember(c *Ctx) {
	if len(c.Args) > 3 {
		c.Error(TextSyntax)
		return
	}
	counted := len(c.Args) == 3
	var count int64
	if counted {
		var ok bool
		if count, ok = c.signedCount(2); !ok {
			return
		}
		if count < -randomCountMax {
			c.Error(errOutOfRange)
			return
		}
	}
	o, ok := c.open(c.Args[1], keyspace.TypeSet)
	switch {
	case !ok:
	case counted && (o == nil || count == 0):
		c.Array(0)
	case counted:
		c.Array(sampleLen(o, count))
		c.randomFields(o, count, func(m, _ []byte) { c.Bulk(m) })
	case o == nil:
		c.Null()
	default:
		m, _ := o.RandomField()
		c.Bulk(m)
	}
}

func sscan(c *Ctx) {
	c.scanFields(keyspace.TypeSet, func(dst, m, _ []byte) []byte { return resp.AppendBulk(dst, m) }, 1)
}

func sintercard(c *Ctx) {
	n, ok := c.intFrom(1, 1, "ERR numkeys should be greater than 0")
	if !ok {
		return
	}
	if n > int64(len(c.Args)-2) {
		c.Error("ERR Number of keys can't be greater than number of args")
		return
	}
	end, limit := 2+int(n), int64(0)
	for i := end; i < len(c.Args); i += 2 {
		if !c.is(i, "LIMIT") || i+1 == len(c.Args) {
			c.Error(TextSyntax)
			return
		}
		if limit, ok = c.intFrom(i+1, 0, "ERR LIMIT can't be negative"); !ok {
			return
		}
	}
	sets, ok := c.openSets(c.Args[2:end])
	if !ok {
		return
	}
	if limit == 0 {
		limit = math.MaxInt64
	}
	card := int64(0)
	eachCommon(sets, func([]byte) bool {
		card++
		return card < limit
	})
	c.Int(card)
}
