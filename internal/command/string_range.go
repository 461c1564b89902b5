package command

import (
	"tutti/internal/keyspace"
)

var stringRangeCommands = []Command{
	{Name: "append", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "string", Since: "2.0.0",
		Syntax: "key value", Doc: "Appends to the string value of a key.", Run: appendString,
		Large: severalKeys},
	{Name: "strlen", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "string", Since: "2.2.0",
		Syntax: "key", Doc: "Returns the length of the string value of a key.", Run: strlen},
	{Name: "getrange", Arity: 4, Flags: ReadOnly, Keys: oneKey, Group: "string", Since: "2.4.0",
		Syntax: "key start end", Doc: "Returns a part of the string value of a key.", Run: getrange},
	{Name: "substr", Arity: 4, Flags: ReadOnly, Keys: oneKey, Group: "string", Since: "1.0.0",
		Syntax: "key start end", Doc: "Returns a part of the string value of a key; the old name of GETRANGE.", Run: getrange},
	{Name: "setrange", Arity: 4, Flags: Write | DenyOOM, Keys: oneKey, Group: "string", Since: "2.2.0",
		Syntax: "key offset value", Doc: "Overwrites a part of the string value of a key, and pads with zero bytes up to it.", Run: setrange,
		Large: severalKeys},
	{Name: "lcs", Arity: -3, Flags: ReadOnly, Keys: twoKeys, Group: "string", Since: "7.0.0",
		Syntax: "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
		Doc:    "Returns the longest common subsequence of two strings.", Run: lcs},
}

// stringLenMax is the length that Redis allows a string by default; a longer
// one gets its error, one that only our write sets are too small for, ours.
const stringLenMax = 512 << 20

// fits checks, before anything is allocated, that a string of n bytes with
// extra more behind can be stored.
func (c *Ctx) fits(n, extra int64) bool {
	switch {
	case n > stringLenMax-extra:
		c.Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
		return false
	case n+extra > keyspace.WriteSetMax:
		c.Error(c.tooLarge)
		return false
	}
	return true
}

// stringAt returns the string at key, empty if it is absent, or answers
// WRONGTYPE.
func (c *Ctx) stringAt(key []byte) (val []byte, ok bool) {
	o, ok := c.open(key, keyspace.TypeString)
	if o == nil {
		return nil, ok
	}
	return o.Bytes(), true
}

func strlen(c *Ctx) { c.size(keyspace.TypeString) }

func appendString(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeString)
	if !ok {
		return
	}
	n, val := 0, c.Args[2]
	if o != nil {
		n = o.Len()
	}
	if !c.fits(int64(n), int64(len(val))) {
		return
	}
	keyspace.Overwrite(c.Tx, c.DB, c.Args[1], o, n, val)
	c.Int(int64(n + len(val)))
}

func getrange(c *Ctx) {
	start, ok := c.int(2)
	if !ok {
		return
	}
	end, ok := c.int(3)
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeString)
	if !ok {
		return
	}
	n := int64(0)
	if o != nil {
		n = int64(o.Len())
	}
	if start < 0 && end < 0 && start > end { // both might be clamped to 0
		c.Bulk(nil)
		return
	}
	if start < 0 {
		start = max(start+n, 0)
	}
	if end < 0 {
		end = max(end+n, 0)
	}
	end = min(end, n-1)
	if start > end {
		c.Bulk(nil)
		return
	}
	c.Bulk(keyspace.Slice(o, int(start), int(end+1)))
}

func setrange(c *Ctx) {
	offset, ok := c.int(2)
	if !ok {
		return
	}
	if offset < 0 {
		c.Error("ERR offset is out of range")
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeString)
	if !ok {
		return
	}
	n, part := 0, c.Args[3]
	if o != nil {
		n = o.Len()
	}
	if len(part) == 0 {
		c.Int(int64(n))
		return
	}
	if !c.fits(offset, int64(len(part))) {
		return
	}
	keyspace.Overwrite(c.Tx, c.DB, c.Args[1], o, int(offset), part)
	c.Int(max(int64(n), offset+int64(len(part))))
}
