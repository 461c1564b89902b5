package command

import (
	"bytes"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// listEnd is the end of a list at which a command works.
type listEnd byte

const (
	listHead listEnd = iota
	listTail
)

// listEnd parses argument i as LEFT or RIGHT, or answers the error.
func (c *Ctx) listEnd(i int) (end listEnd, ok bool) {
	switch {
	case c.is(i, "LEFT"):
		return listHead, true
	case c.is(i, "RIGHT"):
		return listTail, true
	}
	c.Error(TextSyntax)
	return 0, false
}

func (e listEnd) push(o *keyspace.Object, val []byte) {
	if e == listHead {
		o.PushHead(val)
	} else {
		o.PushTail(val)
	}
}

func (e listEnd) pop(o *keyspace.Object) []byte {
	if e == listHead {
		return o.PopHead()
	}
	return o.PopTail()
}

func lpop(c *Ctx) { c.pop(listHead) }
func rpop(c *Ctx) { c.pop(listTail) }

func (c *Ctx) pop(end listEnd) {
	counted := len(c.Args) == 3
	if len(c.Args) > 3 {
		c.wrongArity()
		return
	}
	var count int64
	if counted {
		var ok bool
		if count, ok = c.intFrom(2, 0, errRange); !ok {
			return
		}
	}
	o, ok := c.open(c.Args[1], keyspace.TypeList)
	switch {
	case !ok:
	case o == nil && counted:
		c.NullArray()
	case o == nil:
		c.Null()
	case counted:
		c.popMany(o, end, count)
	default:
		c.Bulk(end.pop(o))
		o.Save()
	}
}

// popMany removes up to count elements and answers with them.
func (c *Ctx) popMany(o *keyspace.Object, end listEnd, count int64) {
	size := o.Len()
	n := int(min(count, int64(size)))
	if n == 0 {
		c.Array(0)
		return
	}
	if end == listHead {
		c.elements(o, 0, n, end)
		o.Trim(n, size)
	} else {
		c.elements(o, size-1, n, end)
		o.Trim(0, size-n)
	}
	o.Save()
}

// listPop is what LMPOP is asked for.
type listPop struct {
	keys  [][]byte
	end   listEnd
	count int64
}

// listPop parses the arguments of LMPOP from the number of keys on.
func (c *Ctx) listPop(at int) (p listPop, ok bool) {
	n, ok := c.intFrom(at, 1, "ERR numkeys should be greater than 0")
	if !ok {
		return p, false
	}
	if n > int64(len(c.Args)-at-2) {
		c.Error(TextSyntax)
		return p, false
	}
	where := at + 1 + int(n)
	p.keys, p.count = c.Args[at+1:where], 1
	if p.end, ok = c.listEnd(where); !ok {
		return p, false
	}
	switch rest := c.Args[where+1:]; {
	case len(rest) == 0:
		return p, true
	case len(rest) < 2 || !resp.IsWord(rest[0], "COUNT"):
		c.Error(TextSyntax)
		return p, false
	}
	if p.count, ok = c.intFrom(where+2, 1, "ERR count should be greater than 0"); ok && len(c.Args) > where+3 {
		c.Error(TextSyntax)
		return p, false
	}
	return p, ok
}

func lmpop(c *Ctx) {
	if p, ok := c.listPop(1); ok {
		popLists(c, p)
	}
}

// popLists pops from the first of the lists that exists. With false the answer is
// that there is none.
func popLists(c *Ctx, p listPop) (answered bool) {
	for _, key := range p.keys {
		o, ok := source(c, key, keyspace.TypeList)
		if !ok {
			return true
		}
		if o != nil {
			c.Array(2)
			c.Bulk(key)
			c.popMany(o, p.end, p.count)
			return true
		}
	}
	c.NullArray()
	return false
}

func lmove(c *Ctx) {
	from, ok := c.listEnd(3)
	if !ok {
		return
	}
	to, ok := c.listEnd(4)
	if !ok {
		return
	}
	c.moveElement(from, to)
}

func rpoplpush(c *Ctx) { c.moveElement(listTail, listHead) }

// moveElement moves one element from the list in argument 1 to that in
// argument 2, which may be the same. With false the answer is that there is none.
func (c *Ctx) moveElement(from, to listEnd) (answered bool) {
	src, ok := source(c, c.Args[1], keyspace.TypeList)
	if !ok {
		return true
	}
	if src == nil {
		c.Null()
		return false
	}
	dst := src
	if !bytes.Equal(c.Args[1], c.Args[2]) {
		if dst, ok = c.create(c.Args[2], keyspace.TypeList); !ok {
			return true
		}
	}
	val := from.pop(src)
	to.push(dst, val)
	if dst != src {
		src.Save()
	}
	dst.Save()
	c.Bulk(val)
	return true
}
