package command

import (
	"bytes"
	"slices"

	"tutti/internal/keyspace"
)

var listCommands = []Command{
	{Name: "lpush", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "list", Since: "1.0.0",
		Syntax: "key element [element ...]", Doc: "Adds elements at the head of a list.", Run: lpush},
	{Name: "rpush", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "list", Since: "1.0.0",
		Syntax: "key element [element ...]", Doc: "Adds elements at the tail of a list.", Run: rpush},
	{Name: "lpushx", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "list", Since: "2.2.0",
		Syntax: "key element [element ...]", Doc: "Adds elements at the head of a list that exists.", Run: lpushx},
	{Name: "rpushx", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "list", Since: "2.2.0",
		Syntax: "key element [element ...]", Doc: "Adds elements at the tail of a list that exists.", Run: rpushx},
	{Name: "lpop", Arity: -2, Flags: Write | Fast, Keys: oneKey, Group: "list", Since: "1.0.0",
		Syntax: "key [count]", Doc: "Removes and returns elements from the head of a list.", Run: lpop},
	{Name: "rpop", Arity: -2, Flags: Write | Fast, Keys: oneKey, Group: "list", Since: "1.0.0",
		Syntax: "key [count]", Doc: "Removes and returns elements from the tail of a list.", Run: rpop},
	{Name: "lmpop", Arity: -4, Flags: Write | MovableKeys, Keys: numKeys(1), Group: "list", Since: "7.0.0",
		Syntax: "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
		Doc:    "Removes and returns elements from the first list that has any.", Run: lmpop},
	{Name: "llen", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "list", Since: "1.0.0",
		Syntax: "key", Doc: "Returns the length of a list.", Run: llen},
	{Name: "lindex", Arity: 3, Flags: ReadOnly, Keys: oneKey, Group: "list", Since: "1.0.0",
		Syntax: "key index", Doc: "Returns the element at an index of a list.", Run: lindex},
	{Name: "lset", Arity: 4, Flags: Write | DenyOOM, Keys: oneKey, Group: "list", Since: "1.0.0",
		Syntax: "key index element", Doc: "Replaces the element at an index of a list.", Run: lset},
	{Name: "lrange", Arity: 4, Flags: ReadOnly, Keys: oneKey, Group: "list", Since: "1.0.0",
		Syntax: "key start stop", Doc: "Returns a range of elements of a list.", Run: lrange},
	{Name: "linsert", Arity: 5, Flags: Write | DenyOOM, Keys: oneKey, Group: "list", Since: "2.2.0",
		Syntax: "key <BEFORE | AFTER> pivot element", Doc: "Inserts an element beside another one of a list.", Run: linsert},
	{Name: "lrem", Arity: 4, Flags: Write, Keys: oneKey, Group: "list", Since: "1.0.0",
		Syntax: "key count element", Doc: "Removes elements of a list that equal the given one.", Run: lrem,
		Large: fewerPlaces},
	{Name: "ltrim", Arity: 4, Flags: Write, Keys: oneKey, Group: "list", Since: "1.0.0",
		Syntax: "key start stop", Doc: "Removes the elements of a list outside a range.", Run: ltrim},
	{Name: "lpos", Arity: -3, Flags: ReadOnly, Keys: oneKey, Group: "list", Since: "6.0.6",
		Syntax: "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
		Doc:    "Returns the index of matching elements of a list.", Run: lpos},
	{Name: "lmove", Arity: 5, Flags: Write | DenyOOM, Keys: twoKeys, Group: "list", Since: "6.2.0",
		Syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
		Doc:    "Moves an element from an end of one list to an end of another and returns it.", Run: lmove},
	{Name: "rpoplpush", Arity: 3, Flags: Write | DenyOOM, Keys: twoKeys, Group: "list", Since: "1.2.0",
		Syntax: "source destination",
		Doc:    "Moves the last element of one list to the head of another and returns it.", Run: rpoplpush},

	{Name: "blpop", Arity: -3, Flags: Write | Blocking, Keys: keysBeforeLast, Group: "list", Since: "2.0.0",
		Syntax: "key [key ...] timeout", Doc: "Removes and returns the first element of the first list that has one; waits for it if none has.",
		Run: blpop, Waits: waitsSeconds(-1)},
	{Name: "brpop", Arity: -3, Flags: Write | Blocking, Keys: keysBeforeLast, Group: "list", Since: "2.0.0",
		Syntax: "key [key ...] timeout", Doc: "Removes and returns the last element of the first list that has one; waits for it if none has.",
		Run: brpop, Waits: waitsSeconds(-1)},
	{Name: "blmpop", Arity: -5, Flags: Write | Blocking | MovableKeys, Keys: numKeys(2), Group: "list", Since: "7.0.0",
		Syntax: "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
		Doc:    "Removes and returns elements from the first list that has any; waits for them if none has.", Run: blmpop, Waits: waitsSeconds(1)},
	{Name: "blmove", Arity: 6, Flags: Write | DenyOOM | Blocking, Keys: twoKeys, Group: "list", Since: "6.2.0",
		Syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
		Doc:    "Moves an element from an end of one list to an end of another and returns it; waits for it if there is none.", Run: blmove, Waits: waitsSeconds(-1)},
	{Name: "brpoplpush", Arity: 4, Flags: Write | DenyOOM | Blocking, Keys: twoKeys, Group: "list", Since: "2.2.0",
		Syntax: "source destination timeout",
		Doc:    "Moves the last element of one list to the head of another and returns it; waits for it if there is none.", Run: brpoplpush, Waits: waitsSeconds(-1)},
}

func lpush(c *Ctx)  { c.push(listHead, createList) }
func rpush(c *Ctx)  { c.push(listTail, createList) }
func lpushx(c *Ctx) { c.push(listHead, needList) }
func rpushx(c *Ctx) { c.push(listTail, needList) }

// listNeed says what a push does without a list.
type listNeed bool

const (
	createList listNeed = false
	needList   listNeed = true
)

func (c *Ctx) push(end listEnd, need listNeed) {
	o, ok := c.open(c.Args[1], keyspace.TypeList)
	if !ok {
		return
	}
	if o == nil {
		if need == needList {
			c.Int(0)
			return
		}
		o = c.Tx.New(c.DB, c.Args[1], keyspace.TypeList)
	}
	for _, val := range c.Args[2:] {
		end.push(o, val)
	}
	o.Save()
	c.Int(int64(o.Len()))
}

func llen(c *Ctx) { c.size(keyspace.TypeList) }

// listIndex turns an index that may count from the end into one from the head;
// ok is false outside the list.
func listIndex(o *keyspace.Object, i int64) (at int, ok bool) {
	n := int64(o.Len())
	if i < 0 {
		i += n
	}
	return int(i), 0 <= i && i < n
}

func lindex(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeList)
	if !ok {
		return
	}
	if o == nil {
		c.Null() // even if the index is invalid
		return
	}
	i, ok := c.int(2)
	if !ok {
		return
	}
	if at, ok := listIndex(o, i); ok {
		c.Bulk(o.Index(at))
		return
	}
	c.Null()
}

func lset(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeList)
	if !ok {
		return
	}
	if o == nil {
		c.Error(errNoKey)
		return
	}
	i, ok := c.int(2)
	if !ok {
		return
	}
	at, ok := listIndex(o, i)
	if !ok {
		c.Error("ERR index out of range")
		return
	}
	o.SetIndex(at, c.Args[3])
	o.Save()
	c.OK()
}

// listRange parses arguments 2 and 3 as a range and opens the list; o is nil
// if there is none. ok is false if an error was answered.
func (c *Ctx) listRange() (o *keyspace.Object, first, end int, ok bool) {
	start, ok := c.int(2)
	if !ok {
		return nil, 0, 0, false
	}
	stop, ok := c.int(3)
	if !ok {
		return nil, 0, 0, false
	}
	if o, ok = c.open(c.Args[1], keyspace.TypeList); o != nil {
		first, end = clampRange(start, stop, o.Len())
	}
	return o, first, end, ok
}

func lrange(c *Ctx) {
	o, first, end, ok := c.listRange()
	switch {
	case !ok:
	case first == end:
		c.Array(0)
	default:
		c.elements(o, first, end-first, listHead)
	}
}

// elements answers with n > 0 elements from index first on, in the order in which
// they are popped at end.
func (c *Ctx) elements(o *keyspace.Object, first, n int, end listEnd) {
	c.Array(n)
	o.ListEach(first, end == listTail, func(val []byte) bool {
		c.Bulk(val)
		n--
		return n > 0
	})
}

func ltrim(c *Ctx) {
	o, first, end, ok := c.listRange()
	if !ok {
		return
	}
	if o != nil && end-first < o.Len() {
		o.Trim(first, end)
		o.Save()
	}
	c.OK()
}

func linsert(c *Ctx) {
	after := c.is(2, "AFTER")
	if !after && !c.is(2, "BEFORE") {
		c.Error(TextSyntax)
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeList)
	if !ok {
		return
	}
	if o == nil {
		c.Int(0)
		return
	}
	at, found := 0, false
	o.ListEach(0, false, func(val []byte) bool {
		if found = bytes.Equal(val, c.Args[3]); !found {
			at++
		}
		return !found
	})
	if !found {
		c.Int(-1)
		return
	}
	if after {
		at++
	}
	o.Insert(at, c.Args[4])
	o.Save()
	c.Int(int64(o.Len()))
}

func lrem(c *Ctx) {
	count, ok := c.int(2)
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeList)
	if !ok {
		return
	}
	if o == nil {
		c.Int(0)
		return
	}
	// 0 means all, and so does the one number that -count can't make positive.
	reverse, limit := count < 0, max(count, -count)
	i, step := 0, 1
	if reverse {
		i, step = o.Len()-1, -1
	}
	var at []int
	o.ListEach(i, reverse, func(val []byte) bool {
		if bytes.Equal(val, c.Args[3]) {
			at = append(at, i)
		}
		i += step
		return limit <= 0 || int64(len(at)) < limit
	})
	if len(at) > 0 {
		if reverse {
			slices.Reverse(at)
		}
		o.Remove(at...)
		o.Save()
	}
	c.Int(int64(len(at)))
}

// posOptions are those of LPOS.
type posOptions struct {
	rank    int64 // negative: from the tail; never 0
	count   int64 // 0: all matches
	maxLen  int64 // comparisons at most, 0: no limit
	counted bool  // COUNT given: the reply is an array
}

func (c *Ctx) posOptions(i int) (opt posOptions, ok bool) {
	opt.rank, opt.count = 1, 1
	for ; i < len(c.Args); i += 2 {
		switch more := i+1 < len(c.Args); {
		case more && c.is(i, "RANK"):
			if opt.rank, ok = c.signedCount(i + 1); ok && opt.rank == 0 {
				c.Error("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list")
				ok = false
			}
		case more && c.is(i, "COUNT"):
			opt.counted = true
			opt.count, ok = c.intFrom(i+1, 0, "ERR COUNT can't be negative")
		case more && c.is(i, "MAXLEN"):
			opt.maxLen, ok = c.intFrom(i+1, 0, "ERR MAXLEN can't be negative")
		default:
			c.Error(TextSyntax)
			ok = false
		}
		if !ok {
			return opt, false
		}
	}
	return opt, true
}

func lpos(c *Ctx) {
	opt, ok := c.posOptions(3)
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeList)
	if !ok {
		return
	}
	var at []int
	if o != nil {
		at = opt.find(o, c.Args[2])
	}
	switch {
	case opt.counted:
		c.Array(len(at))
		for _, i := range at {
			c.Int(int64(i))
		}
	case len(at) > 0:
		c.Int(int64(at[0]))
	default:
		c.Null()
	}
}

// find returns the indices that LPOS answers with.
func (opt posOptions) find(o *keyspace.Object, val []byte) (at []int) {
	reverse, skip := opt.rank < 0, max(opt.rank, -opt.rank)-1
	i, step := 0, 1
	if reverse {
		i, step = o.Len()-1, -1
	}
	seen := int64(0)
	o.ListEach(i, reverse, func(v []byte) bool {
		if bytes.Equal(v, val) {
			if skip--; skip < 0 {
				at = append(at, i)
			}
		}
		i += step
		seen++
		return seen != opt.maxLen && (opt.count == 0 || int64(len(at)) < opt.count)
	})
	return at
}
