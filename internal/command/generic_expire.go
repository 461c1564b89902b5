package command

var expireCommands = []Command{
	{Name: "expire", Arity: -3, Flags: Write | Fast, Keys: oneKey, Group: "generic", Since: "1.0.0",
		Syntax: "key seconds [NX | XX | GT | LT]", Doc: "Sets the time to live of a key.", Run: expire},
	{Name: "pexpire", Arity: -3, Flags: Write | Fast, Keys: oneKey, Group: "generic", Since: "2.6.0",
		Syntax: "key milliseconds [NX | XX | GT | LT]", Doc: "Sets the time to live of a key in milliseconds.", Run: pexpire},
	{Name: "expireat", Arity: -3, Flags: Write | Fast, Keys: oneKey, Group: "generic", Since: "1.2.0",
		Syntax: "key unix-time-seconds [NX | XX | GT | LT]", Doc: "Sets the time at which a key expires.", Run: expireat},
	{Name: "pexpireat", Arity: -3, Flags: Write | Fast, Keys: oneKey, Group: "generic", Since: "2.6.0",
		Syntax: "key unix-time-milliseconds [NX | XX | GT | LT]", Doc: "Sets the time at which a key expires, in milliseconds.", Run: pexpireat},
	{Name: "ttl", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "generic", Since: "1.0.0",
		Syntax: "key", Doc: "Returns the time to live of a key in seconds.", Run: ttl},
	{Name: "pttl", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "generic", Since: "2.6.0",
		Syntax: "key", Doc: "Returns the time to live of a key in milliseconds.", Run: pttl},
	{Name: "expiretime", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "generic", Since: "7.0.0",
		Syntax: "key", Doc: "Returns the time at which a key expires, in seconds.", Run: expiretime},
	{Name: "pexpiretime", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "generic", Since: "7.0.0",
		Syntax: "key", Doc: "Returns the time at which a key expires, in milliseconds.", Run: pexpiretime},
	{Name: "persist", Arity: 2, Flags: Write | Fast, Keys: oneKey, Group: "generic", Since: "2.2.0",
		Syntax: "key", Doc: "Removes the time to live of a key.", Run: persist},
}

// expireOptions are the conditions of EXPIRE.
type expireOptions struct{ conditions }

// allow reports whether a deadline may be changed from old (0: none, which
// counts as infinite) to at.
func (o expireOptions) allow(old, at int64) bool {
	switch {
	case o.nx && old != 0, o.xx && old == 0:
		return false
	case o.gt:
		return old != 0 && at > old
	case o.lt:
		return old == 0 || at < old
	}
	return true
}

func (c *Ctx) expireOptions() (opt expireOptions, ok bool) {
	for i := 3; i < len(c.Args); i++ {
		if !opt.take(c, i) {
			c.Error("ERR Unsupported option " + string(c.Args[i]))
			return opt, false
		}
	}
	if opt.nx && (opt.xx || opt.gt || opt.lt) {
		c.Error("ERR NX and XX, GT or LT options at the same time are not compatible")
		return opt, false
	}
	if opt.gt && opt.lt {
		c.Error("ERR GT and LT options at the same time are not compatible")
		return opt, false
	}
	return opt, true
}

func expire(c *Ctx)    { c.expire(inSeconds) }
func pexpire(c *Ctx)   { c.expire(inMilliseconds) }
func expireat(c *Ctx)  { c.expire(atSecond) }
func pexpireat(c *Ctx) { c.expire(atMillisecond) }

func (c *Ctx) expire(form timeForm) {
	opt, ok := c.expireOptions()
	if !ok {
		return
	}
	n, ok := c.int(2)
	if !ok {
		return
	}
	at, ok := c.absolute(n, form)
	if !ok {
		return
	}
	o := c.Tx.Open(c.DB, c.Args[1])
	if o == nil || !opt.allow(o.Expire, at) {
		c.Int(0)
		return
	}
	if at <= c.Tx.Now {
		o.Delete()
	} else {
		o.SetExpire(at)
	}
	c.Int(1)
}

func ttl(c *Ctx)         { c.ttl(inSeconds) }
func pttl(c *Ctx)        { c.ttl(inMilliseconds) }
func expiretime(c *Ctx)  { c.ttl(atSecond) }
func pexpiretime(c *Ctx) { c.ttl(atMillisecond) }

func (c *Ctx) ttl(form timeForm) {
	o := c.Tx.Open(c.DB, c.Args[1])
	if o == nil {
		c.Int(-2)
		return
	}
	if o.Expire == 0 {
		c.Int(-1)
		return
	}
	n := o.Expire
	if form.relative {
		n -= c.Tx.Now
	}
	// Rounded so that nothing overflows: a deadline may be the last millisecond there is.
	whole, rest := n/form.unit, n%form.unit
	if 2*rest >= form.unit {
		whole++
	}
	c.Int(whole)
}

func persist(c *Ctx) {
	o := c.Tx.Open(c.DB, c.Args[1])
	if o == nil || o.Expire == 0 {
		c.Int(0)
		return
	}
	o.SetExpire(0)
	c.Int(1)
}
