package command

import "tutti/internal/keyspace"

// direction is an end of a sorted set to begin at, and the way from there.
type direction byte

const (
	forward  direction = iota // from the lowest score up
	backward                  // from the highest score down
)

func zpopmin(c *Ctx) { c.zpop(forward) }
func zpopmax(c *Ctx) { c.zpop(backward) }

func (c *Ctx) zpop(dir direction) {
	count, look := int64(1), flatScores
	switch {
	case len(c.Args) > 3:
		c.Error(TextSyntax)
		return
	case len(c.Args) == 3:
		var ok bool
		if count, ok = c.intFrom(2, 0, errRange); !ok {
			return
		}
		look = c.memberLook(true)
	}
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	switch {
	case !ok:
	case o == nil || count == 0:
		c.Array(0)
	default:
		c.popFrom(o, dir, count, look)
	}
}

// popFrom removes up to count members, at least one, and answers with them.
func (c *Ctx) popFrom(o *keyspace.Object, dir direction, count int64, look memberLook) {
	ms := o.PopMembers(int(min(count, int64(o.Len()))), dir == backward)
	o.Save()
	c.zmembers(look, ms)
}

func zmpop(c *Ctx) {
	if p, ok := c.popArgs(1, "MIN", "MAX"); ok {
		popZSets(c, p)
	}
}

// popZSets pops from the first of the sorted sets that exists. With false the
// answer is that there is none.
func popZSets(c *Ctx, p popArgs) (answered bool) {
	dir := forward
	if p.second {
		dir = backward
	}
	for _, key := range p.keys {
		o, ok := source(c, key, keyspace.TypeZSet)
		if !ok {
			return true
		}
		if o != nil {
			c.Array(2)
			c.Bulk(key)
			c.popFrom(o, dir, p.count, pairedScores)
			return true
		}
	}
	c.NullArray()
	return false
}
