package command

import "tutti/internal/resp"

// Argument checks that several families share.

const (
	errOutOfRange = "ERR value is out of range"
	errCountRange = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
)

// intFrom parses argument i as an integer of at least low, or answers text.
func (c *Ctx) intFrom(i int, low int64, text string) (n int64, ok bool) {
	if n, ok = resp.ParseInt(c.Args[i]); !ok || n < low {
		c.Error(text)
		return 0, false
	}
	return n, true
}

// signedCount parses argument i as a count whose sign has a meaning, or
// answers the error. It can be negated.
func (c *Ctx) signedCount(i int) (n int64, ok bool) {
	if n, ok = c.int(i); ok && n == -n && n != 0 {
		c.Error(errCountRange)
		return 0, false
	}
	return n, ok
}

// wrongArity answers the error for a number of arguments that the table's
// arity lets pass.
func (c *Ctx) wrongArity() {
	c.Error(TextArity(string(appendLower(nil, c.Args[0]))))
}

// clampRange turns the inclusive range [start, stop] of a collection of n
// elements, where negative numbers count from the end, into one that holds
// first <= index < end; without elements both are 0.
func clampRange(start, stop int64, n int) (first, end int) {
	size := int64(n)
	if start < 0 {
		start = max(start+size, 0)
	}
	if stop < 0 {
		stop += size
	}
	if stop = min(stop, size-1); start > stop {
		return 0, 0
	}
	return int(start), int(stop) + 1
}

// conditions are the words that EXPIRE and ZADD make a change depend on.
type conditions struct{ nx, xx, gt, lt bool }

// take notes argument i if it is one of the words.
func (o *conditions) take(c *Ctx, i int) bool {
	switch {
	case c.is(i, "NX"):
		o.nx = true
	case c.is(i, "XX"):
		o.xx = true
	case c.is(i, "GT"):
		o.gt = true
	case c.is(i, "LT"):
		o.lt = true
	default:
		return false
	}
	return true
}
