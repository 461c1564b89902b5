package command

import (
	"math"

	"tutti/internal/keyspace"
)

// What commands on hashes, sets and other collections have in common.

// field is an element of a hash (with its value), set, or sorted set (with its
// encoded score, see keyspace.ScoreOf).
type field struct{ sub, val []byte }

// eachField calls f for every element; the slices are valid during the call only.
func eachField(o *keyspace.Object, f func(sub, val []byte)) { o.ScanFields(0, math.MaxInt, f) }

// size answers with the number of elements of a collection, or the length of a string.
func (c *Ctx) size(typ keyspace.Type) {
	o, ok := c.open(c.Args[1], typ)
	switch {
	case !ok:
	case o == nil:
		c.Int(0)
	default:
		c.Int(int64(o.Len()))
	}
}

// deleteFields removes the fields or members that the arguments from the third
// on name, and answers with the number of those that existed.
func (c *Ctx) deleteFields(typ keyspace.Type) {
	o, ok := c.open(c.Args[1], typ)
	if !ok {
		return
	}
	gone := 0
	if o != nil {
		for _, sub := range c.Args[2:] {
			if o.DeleteField(sub) {
				gone++
			}
		}
	}
	if gone > 0 {
		keyspace.Thin(o, gone)
		o.Save()
	}
	c.Int(int64(gone))
}

// scanFields evaluates HSCAN and its like: put appends the replies of one
// element, of which there are width.
func (c *Ctx) scanFields(typ keyspace.Type, put func(dst, sub, val []byte) []byte, width int) {
	cursor, ok := c.scanCursor(2)
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], typ)
	if !ok {
		return
	}
	if o == nil {
		c.scanResult(0, 0, nil) // even if the options are invalid
		return
	}
	opt, ok := c.scanOptions(3)
	if !ok {
		return
	}
	var elements []byte
	n := 0
	next := o.ScanFields(cursor, opt.count, func(sub, val []byte) {
		if opt.matches(sub) {
			elements = put(elements, sub, val)
			n += width
		}
	})
	c.scanResult(next, n, elements)
}
