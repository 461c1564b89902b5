package command

import (
	"cmp"
	"slices"

	"tutti/internal/keyspace"
)

func sinter(c *Ctx)      { c.combineSets(intersection) }
func sunion(c *Ctx)      { c.combineSets(union) }
func sdiff(c *Ctx)       { c.combineSets(difference) }
func sinterstore(c *Ctx) { c.storeSets(intersection) }
func sunionstore(c *Ctx) { c.storeSets(union) }
func sdiffstore(c *Ctx)  { c.storeSets(difference) }

// openSets opens the sets at keys, nil where there is none, or answers
// WRONGTYPE.
func (c *Ctx) openSets(keys [][]byte) (sets []*keyspace.Object, ok bool) {
	sets = make([]*keyspace.Object, len(keys))
	for i, key := range keys {
		if sets[i], ok = c.open(key, keyspace.TypeSet); !ok {
			return nil, false
		}
	}
	return sets, true
}

// setOp makes the members of a new set of some sets, nil where there is none.
type setOp func(c *Ctx, sets []*keyspace.Object) [][]byte

// combineSets answers with what op makes of the sets at all keys.
func (c *Ctx) combineSets(op setOp) {
	sets, ok := c.openSets(c.Args[1:])
	if !ok {
		return
	}
	if len(sets) == 1 {
		c.members(sets[0])
		return
	}
	members := op(c, sets)
	c.Set(len(members))
	for _, m := range members {
		c.Bulk(m)
	}
}

// storeSets makes argument 1 the set that op makes of those at the keys after
// it, and answers with its size.
func (c *Ctx) storeSets(op setOp) {
	sets, ok := c.openSets(c.Args[2:])
	if !ok {
		return
	}
	members := op(c, sets)
	if old := c.Tx.Open(c.DB, c.Args[1]); old != nil {
		old.Delete()
	}
	if len(members) > 0 {
		o := c.Tx.New(c.DB, c.Args[1], keyspace.TypeSet)
		for _, m := range members {
			o.PutField(m, nil)
		}
		o.Save()
	}
	c.Int(int64(len(members)))
}

// intersection returns the members that all sets have.
func intersection(c *Ctx, sets []*keyspace.Object) (members [][]byte) {
	eachCommon(sets, func(m []byte) bool {
		aside(c, len(m)+asideEach)
		members = append(members, slices.Clone(m))
		return true
	})
	return members
}

// eachCommon calls f for every member that all sets have, until f returns
// false: those of the smallest set that the others have too.
func eachCommon(sets []*keyspace.Object, f func(m []byte) bool) {
	if slices.Contains(sets, nil) {
		return
	}
	sets = slices.SortedStableFunc(slices.Values(sets), func(a, b *keyspace.Object) int { return cmp.Compare(a.Len(), b.Len()) })
	sets[0].EachField(func(m, _ []byte) bool {
		for _, o := range sets[1:] {
			if !o.HasField(m) {
				return true
			}
		}
		return f(m)
	})
}

// union returns the members that any set has.
func union(c *Ctx, sets []*keyspace.Object) (members [][]byte) {
	eachNew(c, sets, make(map[string]struct{}), func(m []byte) {
		aside(c, len(m)+asideEach)
		members = append(members, slices.Clone(m))
	})
	return members
}

// eachNew calls f for every member of the sets that is not in seen, and adds
// it there.
func eachNew(c *Ctx, sets []*keyspace.Object, seen map[string]struct{}, f func(m []byte)) {
	for _, o := range sets {
		if o == nil {
			continue
		}
		o.EachField(func(m, _ []byte) bool {
			if _, dup := seen[string(m)]; !dup {
				aside(c, len(m)+asideMap)
				seen[string(m)] = struct{}{}
				f(m)
			}
			return true
		})
	}
}

// difference returns the members of the first set that no other has. Either
// each of them is looked up in the others, or the others are read in full,
// whichever touches fewer members.
func difference(c *Ctx, sets []*keyspace.Object) (members [][]byte) {
	first := sets[0]
	if first == nil {
		return nil
	}
	others := slices.DeleteFunc(slices.Clone(sets[1:]), func(o *keyspace.Object) bool { return o == nil })
	total := 0
	for _, o := range others {
		total += o.Len()
	}
	taken := make(map[string]struct{})
	if total < first.Len()*len(others) {
		eachNew(c, others, taken, func([]byte) {})
		others = nil
	}
	first.EachField(func(m, _ []byte) bool {
		_, gone := taken[string(m)]
		for i := 0; i < len(others) && !gone; i++ {
			gone = others[i].HasField(m)
		}
		if !gone {
			aside(c, len(m)+asideEach)
			members = append(members, slices.Clone(m))
		}
		return true
	})
	return members
}
