package command

import (
	"bytes"

	"tutti/internal/keyspace"
)

// Deadlines of the fields of a hash, as Redis has them since 7.4.
var hashExpireCommands = []Command{
	{Name: "hexpire", Arity: -6, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "7.4.0",
		Syntax: "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", Doc: "Has fields of a hash expire in so many seconds.", Run: hexpire},
	{Name: "hpexpire", Arity: -6, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "7.4.0",
		Syntax: "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", Doc: "Has fields of a hash expire in so many milliseconds.", Run: hpexpire},
	{Name: "hexpireat", Arity: -6, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "7.4.0",
		Syntax: "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", Doc: "Has fields of a hash expire at a second.", Run: hexpireat},
	{Name: "hpexpireat", Arity: -6, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "7.4.0",
		Syntax: "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", Doc: "Has fields of a hash expire at a millisecond.", Run: hpexpireat},
	{Name: "hpersist", Arity: -5, Flags: Write | Fast, Keys: oneKey, Group: "hash", Since: "7.4.0",
		Syntax: "key FIELDS numfields field [field ...]", Doc: "Takes the deadlines of fields of a hash away.", Run: hpersist},
	{Name: "httl", Arity: -5, Flags: ReadOnly | Fast, Keys: oneKey, Group: "hash", Since: "7.4.0",
		Syntax: "key FIELDS numfields field [field ...]", Doc: "Returns in how many seconds fields of a hash expire.", Run: httl},
	{Name: "hpttl", Arity: -5, Flags: ReadOnly | Fast, Keys: oneKey, Group: "hash", Since: "7.4.0",
		Syntax: "key FIELDS numfields field [field ...]", Doc: "Returns in how many milliseconds fields of a hash expire.", Run: hpttl},
	{Name: "hexpiretime", Arity: -5, Flags: ReadOnly | Fast, Keys: oneKey, Group: "hash", Since: "7.4.0",
		Syntax: "key FIELDS numfields field [field ...]", Doc: "Returns at which second fields of a hash expire.", Run: hexpiretime},
	{Name: "hpexpiretime", Arity: -5, Flags: ReadOnly | Fast, Keys: oneKey, Group: "hash", Since: "7.4.0",
		Syntax: "key FIELDS numfields field [field ...]", Doc: "Returns at which millisecond fields of a hash expire.", Run: hpexpiretime},
}

// What is answered for a field.
const (
	fieldMissing     = -2
	fieldUntimed     = -1
	fieldUnchanged   = 0
	fieldChanged     = 1
	fieldGoneAtOnce  = 2
	errTimedFields   = "NEEDVERSION deadlines of fields need nodes of cluster version 3, and not all are. Not applied. Upgrade the others."
	errFieldsMissing = "ERR Mandatory argument FIELDS is missing or not at the right position"
	errFieldsCount   = "ERR The `numfields` parameter must match the number of arguments"
)

// namedFields returns the fields that follow "FIELDS numfields" at argument i, or answers
// the error.
func namedFields(c *Ctx, i int, errCount string) (fields [][]byte, ok bool) {
	if i+1 >= len(c.Args) || !c.is(i, "FIELDS") {
		c.Error(errFieldsMissing)
		return nil, false
	}
	n, ok := c.intFrom(i+1, 1, errCount)
	if !ok {
		return nil, false
	}
	if fields = c.Args[i+2:]; n != int64(len(fields)) {
		c.Error(errFieldsCount)
		return nil, false
	}
	return fields, true
}

func hexpire(c *Ctx)    { expireFields(c, inSeconds) }
func hpexpire(c *Ctx)   { expireFields(c, inMilliseconds) }
func hexpireat(c *Ctx)  { expireFields(c, atSecond) }
func hpexpireat(c *Ctx) { expireFields(c, atMillisecond) }

func expireFields(c *Ctx, form timeForm) {
	n, ok := c.int(2)
	if !ok {
		return
	}
	if n < 0 {
		c.Error("ERR invalid expire time, must be >= 0")
		return
	}
	at, ok := c.absolute(n, form)
	if !ok {
		return
	}
	if at > keyspace.FieldDeadlineMax {
		c.errExpireTime()
		return
	}
	var opt conditions
	i := 3
	if opt.take(c, i) {
		i++
	}
	fields, ok := namedFields(c, i, "ERR Parameter `numFields` should be greater than 0")
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeHash)
	switch {
	case !ok:
		return
	case o != nil && !keyspace.MayTimeFields(c.Tx):
		c.Error(errTimedFields)
		return
	}
	changed := false
	c.Array(len(fields))
	for _, field := range fields {
		result := int64(fieldMissing)
		if o != nil && o.HasField(field) {
			result = expireField(o, field, at, at <= c.Tx.Now, opt)
		}
		changed = changed || result > fieldUnchanged
		c.Int(result)
	}
	if changed {
		o.Save()
	}
}

// expireField gives a field a deadline, if the conditions hold, and returns what is to be
// answered. A field without a deadline expires later than any other.
func expireField(o *keyspace.Object, field []byte, at int64, passed bool, opt conditions) int64 {
	old, timed := keyspace.FieldDeadline(o, field)
	switch {
	case opt.nx && timed, opt.xx && !timed, opt.gt && (!timed || at <= old), opt.lt && timed && at >= old:
		return fieldUnchanged
	case passed:
		o.DeleteField(field)
		return fieldGoneAtOnce
	}
	keyspace.SetFieldDeadline(o, field, at)
	return fieldChanged
}

func hpersist(c *Ctx) {
	fields, ok := namedFields(c, 2, "ERR Number of fields must be a positive integer")
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeHash)
	if !ok {
		return
	}
	changed := false
	c.Array(len(fields))
	for _, field := range fields {
		switch {
		case o == nil || !o.HasField(field):
			c.Int(fieldMissing)
		case keyspace.ClearFieldDeadline(o, field):
			changed = true
			c.Int(fieldChanged)
		default:
			c.Int(fieldUntimed)
		}
	}
	if changed {
		o.Save()
	}
}

func httl(c *Ctx)         { fieldDeadlines(c, inSeconds) }
func hpttl(c *Ctx)        { fieldDeadlines(c, inMilliseconds) }
func hexpiretime(c *Ctx)  { fieldDeadlines(c, atSecond) }
func hpexpiretime(c *Ctx) { fieldDeadlines(c, atMillisecond) }

func fieldDeadlines(c *Ctx, form timeForm) {
	fields, ok := namedFields(c, 2, "ERR Number of fields must be a positive integer")
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeHash)
	if !ok {
		return
	}
	c.Array(len(fields))
	for _, field := range fields {
		if o == nil || !o.HasField(field) {
			c.Int(fieldMissing)
			continue
		}
		at, timed := keyspace.FieldDeadline(o, field)
		switch {
		case !timed:
			at = fieldUntimed
		case form.relative:
			at = (at - c.Tx.Now + form.unit - 1) / form.unit
		default:
			at = (at + form.unit - 1) / form.unit
		}
		c.Int(at)
	}
}

// timedFields returns the fields of a hash, each before its value, and their deadlines,
// 0 for none; no deadlines if no field has one.
func timedFields(o *keyspace.Object) (elems [][]byte, deadlines []int64) {
	any := false
	eachField(o, func(sub, val []byte) {
		elems = append(elems, bytes.Clone(sub), bytes.Clone(val))
	})
	for i := 0; i < len(elems); i += 2 {
		at, timed := keyspace.FieldDeadline(o, elems[i])
		any = any || timed
		deadlines = append(deadlines, at)
	}
	if !any {
		return elems, nil
	}
	return elems, deadlines
}
