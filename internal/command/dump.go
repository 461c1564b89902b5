package command

import (
	"errors"
	"fmt"
	"math"

	"tutti/internal/keyspace"
	"tutti/internal/rdb"
)

var dumpCommands = []Command{
	{Name: "dump", Arity: 2, Flags: ReadOnly, Keys: oneKey, Group: "generic", Since: "2.6.0",
		Syntax: "key", Doc: "Returns the value of a key in Redis's serialized form.", Run: dump},
	{Name: "restore", Arity: -4, Flags: Write | DenyOOM, Keys: oneKey, Group: "generic", Categories: []string{"dangerous"}, Since: "2.6.0",
		Syntax: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
		Doc:    "Creates a key from what DUMP returned.", Run: restore,
		Large: restoreIn},
}

func dump(c *Ctx) {
	o := c.Tx.Open(c.DB, c.Args[1])
	if o == nil {
		c.Null()
		return
	}
	c.Bulk(rdb.AppendFooter(appendValue(nil, o)))
}

func appendValue(b []byte, o *keyspace.Object) []byte {
	switch o.Type {
	case keyspace.TypeString:
		return rdb.AppendString(b, o.Bytes())
	case keyspace.TypeList:
		b = rdb.AppendStart(b, rdb.List, o.Len())
		o.ListEach(0, false, func(val []byte) bool {
			b = rdb.AppendElement(b, val)
			return true
		})
	case keyspace.TypeSet:
		b = rdb.AppendStart(b, rdb.Set, o.Len())
		o.EachField(func(member, _ []byte) bool {
			b = rdb.AppendElement(b, member)
			return true
		})
	case keyspace.TypeHash:
		if keyspace.Timed(o) {
			if elems, deadlines := timedFields(o); deadlines != nil {
				return rdb.AppendTimedHash(b, elems, deadlines)
			}
		}
		b = rdb.AppendStart(b, rdb.Hash, o.Len())
		o.EachField(func(field, val []byte) bool {
			b = rdb.AppendElement(rdb.AppendElement(b, field), val)
			return true
		})
	case keyspace.TypeZSet:
		b = rdb.AppendStart(b, rdb.ZSet, o.Len())
		o.EachMember(keyspace.WholeZRange(), false, func(member []byte, score float64) bool {
			b = rdb.AppendMember(b, member, score)
			return true
		})
	case keyspace.TypeStream:
		return rdb.AppendStream(b, dumpStream(keyspace.StreamOf(o)))
	default:
		panic("command: dump of unknown type " + o.Type.String())
	}
	return b
}

type restoreOptions struct {
	replace, absolute bool
	idle, freq        bool // checked, but access times are not kept
}

func (c *Ctx) restoreOptions() (opt restoreOptions, ok bool) {
	for i := 4; i < len(c.Args); i++ {
		more := i+1 < len(c.Args)
		switch {
		case c.is(i, "REPLACE"):
			opt.replace = true
		case c.is(i, "ABSTTL"):
			opt.absolute = true
		case c.is(i, "IDLETIME") && more && !opt.freq:
			i++
			if opt.idle = c.intUpTo(i, math.MaxInt64, "ERR Invalid IDLETIME value, must be >= 0"); !opt.idle {
				return opt, false
			}
		case c.is(i, "FREQ") && more && !opt.idle:
			i++
			if opt.freq = c.intUpTo(i, 255, "ERR Invalid FREQ value, must be >= 0 and <= 255"); !opt.freq {
				return opt, false
			}
		default:
			c.Error(TextSyntax)
			return opt, false
		}
	}
	return opt, true
}

// intUpTo checks that argument i is a number from 0 to the limit, or answers
// text.
func (c *Ctx) intUpTo(i int, limit int64, text string) bool {
	n, ok := c.int(i)
	if ok && (n < 0 || n > limit) {
		c.Error(text)
		return false
	}
	return ok
}

func restore(c *Ctx) {
	opt, ok := c.restoreOptions()
	if !ok {
		return
	}
	key := c.Args[1]
	old := c.Tx.Open(c.DB, key)
	if old != nil && !opt.replace {
		c.Error("BUSYKEY Target key name already exists.")
		return
	}
	ttl, ok := c.int(2)
	if !ok {
		return
	}
	if ttl < 0 {
		c.Error("ERR Invalid TTL value, must be >= 0")
		return
	}
	v, err := rdb.Decode(c.Args[3])
	switch {
	case errors.Is(err, rdb.ErrVersionOrChecksum):
		c.Error("ERR DUMP payload version or checksum are wrong")
		return
	case err != nil:
		c.Error("ERR Bad data format")
		return
	}
	if ttl != 0 && !opt.absolute {
		if ttl, ok = c.absolute(ttl, inMilliseconds); !ok {
			return
		}
	}
	if old != nil {
		old.Delete()
	}
	if v.Kind == rdb.Stream && !keyspace.MayStream(c.Tx) {
		c.Error(errStreamFormat)
		return
	}
	if v.Deadlines != nil && !keyspace.MayTimeFields(c.Tx) {
		c.Error(errTimedFields)
		return
	}
	if ttl == 0 || ttl > c.Tx.Now {
		c.putValue(key, v, ttl)
	}
	c.OK()
}

// putValue makes an absent key the value v.
func (c *Ctx) putValue(key []byte, v rdb.Value, expire int64) {
	switch v.Kind {
	case rdb.String:
		c.putString(key, nil, v.Str, expire)
		return
	case rdb.Stream:
		putStream(c, key, v.Stream, expire)
		return
	}
	var o *keyspace.Object
	start := func(typ keyspace.Type) {
		o = c.Tx.New(c.DB, key, typ)
		o.Expire = expire
	}
	switch v.Kind {
	case rdb.List:
		start(keyspace.TypeList)
		for _, e := range v.Elems {
			o.PushTail(e)
		}
	case rdb.Set:
		start(keyspace.TypeSet)
		for _, e := range v.Elems {
			o.PutField(e, nil)
		}
	case rdb.Hash:
		start(keyspace.TypeHash)
		for i := 0; i < len(v.Elems); i += 2 {
			var at int64
			if v.Deadlines != nil {
				at = v.Deadlines[i/2]
			}
			if at != 0 && at <= c.Tx.Now {
				continue
			}
			if o.PutField(v.Elems[i], v.Elems[i+1]); at != 0 {
				keyspace.SetFieldDeadline(o, v.Elems[i], at)
			}
		}
	case rdb.ZSet:
		start(keyspace.TypeZSet)
		ms := make([]keyspace.ZMember, len(v.Members))
		for i, m := range v.Members {
			ms[i] = keyspace.ZMember{Member: m.Name, Score: m.Score}
		}
		o.FillMembers(ms)
	default:
		panic(fmt.Sprintf("command: restore of kind %d", v.Kind))
	}
	o.Save()
}
