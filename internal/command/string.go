package command

import (
	"math"
	"slices"

	"tutti/internal/keyspace"
)

var stringCommands = slices.Concat([]Command{
	{Name: "get", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "string", Since: "1.0.0",
		Syntax: "key", Doc: "Returns the string value of a key.", Run: get},
	{Name: "set", Arity: -3, Flags: Write | DenyOOM, Keys: oneKey, Group: "string", Since: "1.0.0",
		Syntax: "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
		Doc:    "Sets the string value of a key, whatever its type was.", Run: set},
	{Name: "setnx", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "string", Since: "1.0.0",
		Syntax: "key value", Doc: "Sets the string value of a key only if the key doesn't exist.", Run: setnx},
	{Name: "setex", Arity: 4, Flags: Write | DenyOOM, Keys: oneKey, Group: "string", Since: "2.0.0",
		Syntax: "key seconds value", Doc: "Sets the string value and the time to live of a key.", Run: setex},
	{Name: "psetex", Arity: 4, Flags: Write | DenyOOM, Keys: oneKey, Group: "string", Since: "2.6.0",
		Syntax: "key milliseconds value", Doc: "Sets the string value and the time to live of a key in milliseconds.", Run: psetex},
	{Name: "getset", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "string", Since: "1.0.0",
		Syntax: "key value", Doc: "Sets the string value of a key and returns the previous one.", Run: getset},
	{Name: "getdel", Arity: 2, Flags: Write | Fast, Keys: oneKey, Group: "string", Since: "6.2.0",
		Syntax: "key", Doc: "Returns the string value of a key and deletes the key.", Run: getdel},
	{Name: "getex", Arity: -2, Flags: Write | Fast, Keys: oneKey, Group: "string", Since: "6.2.0",
		Syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
		Doc:    "Returns the string value of a key and sets or removes its time to live.", Run: getex},
	{Name: "mget", Arity: -2, Flags: ReadOnly | Fast, Keys: allKeys, Group: "string", Since: "1.0.0",
		Syntax: "key [key ...]", Doc: "Returns the string values of several keys.", Run: mget},
	{Name: "mset", Arity: -3, Flags: Write | DenyOOM, Keys: keyPairs, Group: "string", Since: "1.0.1",
		Syntax: "key value [key value ...]", Doc: "Sets the string values of several keys, all at once.", Run: mset},
	{Name: "msetnx", Arity: -3, Flags: Write | DenyOOM, Keys: keyPairs, Group: "string", Since: "1.0.1",
		Syntax: "key value [key value ...]", Doc: "Sets the string values of several keys only if none of them exists.", Run: msetnx},
}, stringNumberCommands, stringRangeCommands, bitmapCommands)

func get(c *Ctx) { c.bulkAt(c.Args[1]) }

// bulkAt answers with the string at key and returns it, nil if it is absent;
// ok is false if the answer was WRONGTYPE.
func (c *Ctx) bulkAt(key []byte) (o *keyspace.Object, ok bool) {
	if o, ok = c.open(key, keyspace.TypeString); !ok {
		return nil, false
	}
	if o == nil {
		c.Null()
	} else {
		c.bulkOf(o)
	}
	return o, true
}

// bulkOf answers with the value of a string.
func (c *Ctx) bulkOf(o *keyspace.Object) {
	if keyspace.InParts(o) {
		c.BulkOf(o.Len(), func(dst []byte) []byte { return keyspace.AppendParts(o, dst) })
		return
	}
	c.Bulk(o.Bytes())
}

// timeForm is a way to write a time to live or a time in an argument.
type timeForm struct {
	unit     int64 // in milliseconds
	relative bool  // counted from now
}

var (
	inSeconds      = timeForm{1000, true}
	inMilliseconds = timeForm{1, true}
	atSecond       = timeForm{1000, false}
	atMillisecond  = timeForm{1, false}
)

// setOptions are what SET and GETEX take beside the key and the value.
type setOptions struct {
	nx, xx, get, keepTTL, persist bool

	timeAt int // position of the argument with the time, 0: none
	form   timeForm
}

// time takes the option at position i if it is EX, PX, EXAT or PXAT and fits
// to those before, and reports whether it did; the time is then at i+1.
func (o *setOptions) time(c *Ctx, i int) bool {
	var form timeForm
	switch {
	case c.is(i, "EX"):
		form = inSeconds
	case c.is(i, "PX"):
		form = inMilliseconds
	case c.is(i, "EXAT"):
		form = atSecond
	case c.is(i, "PXAT"):
		form = atMillisecond
	default:
		return false
	}
	if o.keepTTL || o.persist || o.timeAt != 0 && o.form != form || i+1 == len(c.Args) {
		return false
	}
	o.form, o.timeAt = form, i+1
	return true
}

func (c *Ctx) setOptions() (opt setOptions, ok bool) {
	for i := 3; i < len(c.Args); i++ {
		switch {
		case c.is(i, "NX") && !opt.xx:
			opt.nx = true
		case c.is(i, "XX") && !opt.nx:
			opt.xx = true
		case c.is(i, "GET"):
			opt.get = true
		case c.is(i, "KEEPTTL") && opt.timeAt == 0:
			opt.keepTTL = true
		case opt.time(c, i):
			i++
		default:
			c.Error(TextSyntax)
			return opt, false
		}
	}
	return opt, true
}

func (c *Ctx) getexOptions() (opt setOptions, ok bool) {
	for i := 2; i < len(c.Args); i++ {
		switch {
		case c.is(i, "PERSIST") && opt.timeAt == 0:
			opt.persist = true
		case opt.time(c, i):
			i++
		default:
			c.Error(TextSyntax)
			return opt, false
		}
	}
	return opt, true
}

// deadline parses argument i, which must be positive, and returns it as shard
// time in milliseconds. Position 0 means that there is none: 0.
func (c *Ctx) deadline(i int, form timeForm) (at int64, ok bool) {
	if i == 0 {
		return 0, true
	}
	n, ok := c.int(i)
	if !ok {
		return 0, false
	}
	if n <= 0 {
		c.errExpireTime()
		return 0, false
	}
	return c.absolute(n, form)
}

// absolute turns a number in the given form into shard time in milliseconds or
// answers that it is out of range.
func (c *Ctx) absolute(n int64, form timeForm) (at int64, ok bool) {
	if n > math.MaxInt64/form.unit || n < math.MinInt64/form.unit {
		c.errExpireTime()
		return 0, false
	}
	n *= form.unit
	if form.relative {
		if n > math.MaxInt64-c.Tx.Now {
			c.errExpireTime()
			return 0, false
		}
		n += c.Tx.Now
	}
	return n, true
}

func (c *Ctx) errExpireTime() {
	c.Error("ERR invalid expire time in '" + string(appendLower(nil, c.Args[0])) + "' command")
}

// putString makes key, opened as old, the string val, or the one that has come in parts,
// with the given deadline (0: none), which may have passed already.
func (c *Ctx) putString(key []byte, old *keyspace.Object, val []byte, expire int64) {
	switch {
	case expire != 0 && expire <= c.Tx.Now:
		if old != nil {
			old.Delete()
		}
	case c.uploaded != nil:
		keyspace.SetUploaded(c.uploaded, c.DB, key, old, expire)
	default:
		c.Tx.SetString(c.DB, key, old, val, expire)
	}
}

func set(c *Ctx) {
	opt, ok := c.setOptions()
	if !ok {
		return
	}
	expire, ok := c.deadline(opt.timeAt, opt.form)
	if !ok {
		return
	}
	open := c.Tx.OpenToReplace
	if opt.get {
		open = c.Tx.Open
	}
	old := open(c.DB, c.Args[1])
	if opt.get {
		switch {
		case old == nil:
			c.Null()
		case old.Type != keyspace.TypeString:
			c.Error(errWrongType)
			return
		default:
			c.bulkOf(old)
		}
	}
	if opt.nx && old != nil || opt.xx && old == nil {
		if !opt.get {
			c.Null()
		}
		return
	}
	if opt.keepTTL && old != nil {
		expire = old.Expire
	}
	c.putString(c.Args[1], old, c.Args[2], expire)
	if !opt.get {
		c.OK()
	}
}

func setnx(c *Ctx) {
	old := c.Tx.OpenToReplace(c.DB, c.Args[1])
	if old == nil {
		c.putString(c.Args[1], nil, c.Args[2], 0)
	}
	c.Bool(old == nil)
}

func setex(c *Ctx)  { c.setFor(inSeconds) }
func psetex(c *Ctx) { c.setFor(inMilliseconds) }

func (c *Ctx) setFor(form timeForm) {
	expire, ok := c.deadline(2, form)
	if !ok {
		return
	}
	c.putString(c.Args[1], c.Tx.OpenToReplace(c.DB, c.Args[1]), c.Args[3], expire)
	c.OK()
}

func getset(c *Ctx) {
	if old, ok := c.bulkAt(c.Args[1]); ok {
		c.putString(c.Args[1], old, c.Args[2], 0)
	}
}

func getdel(c *Ctx) {
	if old, ok := c.bulkAt(c.Args[1]); ok && old != nil {
		old.Delete()
	}
}

func getex(c *Ctx) {
	opt, ok := c.getexOptions()
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeString)
	if !ok {
		return
	}
	if o == nil {
		c.Null() // even if the time is invalid
		return
	}
	expire, ok := c.deadline(opt.timeAt, opt.form)
	if !ok {
		return
	}
	c.bulkOf(o)
	switch {
	case expire != 0 && expire <= c.Tx.Now:
		o.Delete()
	case expire != 0 || opt.persist && o.Expire != 0:
		o.SetExpire(expire)
	}
}

func mget(c *Ctx) {
	c.Array(len(c.Args) - 1)
	for _, key := range c.Args[1:] {
		if o := c.Tx.Open(c.DB, key); o != nil && o.Type == keyspace.TypeString {
			c.bulkOf(o)
		} else {
			c.Null()
		}
		c.Tx.Forget()
	}
}

func mset(c *Ctx) {
	if c.wholePairs() {
		c.setPairs()
		c.OK()
	}
}

func msetnx(c *Ctx) {
	if !c.wholePairs() {
		return
	}
	for i := 1; i < len(c.Args); i += 2 {
		if c.Tx.OpenToReplace(c.DB, c.Args[i]) != nil {
			c.Int(0)
			return
		}
	}
	c.setPairs()
	c.Int(1)
}

// wholePairs checks that every key has a value.
func (c *Ctx) wholePairs() bool {
	if len(c.Args)%2 == 0 {
		c.Error("ERR wrong number of arguments for '" + string(appendLower(nil, c.Args[0])) + "' command")
		return false
	}
	return true
}

func (c *Ctx) setPairs() {
	for i := 1; i < len(c.Args); i += 2 {
		c.putString(c.Args[i], c.Tx.OpenToReplace(c.DB, c.Args[i]), c.Args[i+1], 0)
	}
}
