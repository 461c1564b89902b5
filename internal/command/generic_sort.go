package command

import (
	"bytes"
	"cmp"
	"slices"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

var sortCommands = []Command{
	{Name: "sort", Arity: -2, Flags: Write | DenyOOM | MovableKeys, Keys: Keys{First: 1, Last: 1, Step: 1, Find: sortKeys},
		Group: "generic", Categories: []string{"set", "sortedset", "list", "dangerous"}, Since: "1.0.0",
		Syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
		Doc:    "Sorts a list, a set or a sorted set.", Run: sortWrite,
		Large: sortParts},
	{Name: "sort_ro", Arity: -2, Flags: ReadOnly | MovableKeys, Keys: oneKey,
		Group: "generic", Categories: []string{"set", "sortedset", "list", "dangerous"}, Since: "7.0.0",
		Syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]",
		Doc:    "Sorts a list, a set or a sorted set.", Run: sortRead},
}

// sortKeys finds the key and the last STORE destination; the keys behind the
// patterns of BY and GET depend on data.
func sortKeys(args [][]byte) []int {
	keys := []int{1}
	for i := 2; i < len(args); i++ {
		switch {
		case resp.IsWord(args[i], "LIMIT"):
			i += 2
		case resp.IsWord(args[i], "GET"), resp.IsWord(args[i], "BY"):
			i++
		case resp.IsWord(args[i], "STORE") && i+1 < len(args):
			keys = append(keys[:1], i+1)
		}
	}
	return keys
}

// ReadsElsewhere returns the option by which a command reads keys that only its
// data tell, or "". Who may not read all keys may not use it.
func (c *Command) ReadsElsewhere(args [][]byte) (option string) {
	if c.Name != "sort" && c.Name != "sort_ro" {
		return ""
	}
	for i := 2; i+1 < len(args); i++ {
		switch {
		case resp.IsWord(args[i], "LIMIT"):
			i += 2
		case resp.IsWord(args[i], "STORE"):
			i++
		case resp.IsWord(args[i], "GET"):
			return "GET"
		case resp.IsWord(args[i], "BY"):
			if i++; bytes.IndexByte(args[i], '*') >= 0 {
				return "BY"
			}
		}
	}
	return ""
}

type sortOptions struct {
	desc, alpha   bool
	offset, count int64    // as given; count is negative for all
	by            []byte   // nil: the elements themselves
	native        bool     // in the order in which they are: BY without a star
	gets          [][]byte // patterns
	store         []byte   // nil: none
}

func (c *Ctx) sortOptions(storable bool) (opt sortOptions, ok bool) {
	opt.count = -1
	for i := 2; i < len(c.Args); i++ {
		rest := len(c.Args) - i - 1
		switch {
		case c.is(i, "ASC"):
			opt.desc = false
		case c.is(i, "DESC"):
			opt.desc = true
		case c.is(i, "ALPHA"):
			opt.alpha = true
		case c.is(i, "LIMIT") && rest >= 2:
			if opt.offset, ok = c.int(i + 1); !ok {
				return opt, false
			}
			if opt.count, ok = c.int(i + 2); !ok {
				return opt, false
			}
			i += 2
		case c.is(i, "STORE") && rest >= 1 && storable:
			i++
			opt.store = c.Args[i]
		case c.is(i, "BY") && rest >= 1:
			i++
			opt.by = c.Args[i]
			opt.native = bytes.IndexByte(opt.by, '*') < 0
		case c.is(i, "GET") && rest >= 1:
			i++
			opt.gets = append(opt.gets, c.Args[i])
		default:
			c.Error(TextSyntax)
			return opt, false
		}
	}
	return opt, true
}

func sortWrite(c *Ctx) { c.sort(true) }
func sortRead(c *Ctx)  { c.sort(false) }

func (c *Ctx) sort(storable bool) {
	opt, ok := c.sortOptions(storable)
	if !ok {
		return
	}
	o := c.Tx.Open(c.DB, c.Args[1])
	if o != nil && !slices.Contains([]keyspace.Type{keyspace.TypeList, keyspace.TypeSet, keyspace.TypeZSet}, o.Type) {
		c.Error(errWrongType)
		return
	}
	if opt.native && o != nil && o.Type == keyspace.TypeSet {
		// A set has no order of its own that a script or a stored list could
		// rely on.
		opt.native, opt.alpha, opt.by = false, true, nil
	}
	elements := sortElements(c, o, opt)
	if !opt.native {
		if elements, ok = c.sorted(elements, opt); !ok {
			return
		}
	}
	start, end := opt.limits(len(elements))
	elements = elements[start:end]
	if opt.store != nil {
		c.sortStore(elements, opt)
		return
	}
	c.Array(len(elements) * max(len(opt.gets), 1))
	c.sortResults(elements, opt, func(val []byte, found bool) {
		if found {
			c.Bulk(val)
		} else {
			c.Null()
		}
	})
}

// limits applies LIMIT to n elements.
func (o *sortOptions) limits(n int) (start, end int) {
	start = int(min(max(o.offset, 0), int64(n)))
	if o.count < 0 {
		return start, n
	}
	return start, int(min(int64(start)+min(o.count, int64(n)), int64(n)))
}

// sortElements collects the elements of o, which may be nil. In native order
// it stops behind the last one that is wanted.
func sortElements(c *Ctx, o *keyspace.Object, opt sortOptions) (elements [][]byte) {
	if o == nil {
		return nil
	}
	n := o.Len()
	want := n
	if opt.native {
		_, want = opt.limits(n)
	}
	add := func(e []byte) bool {
		aside(c, len(e)+asideEach)
		elements = append(elements, bytes.Clone(e))
		return len(elements) < want
	}
	switch {
	case want == 0:
	case o.Type == keyspace.TypeSet:
		o.EachField(func(member, _ []byte) bool { return add(member) })
	case o.Type == keyspace.TypeZSet:
		o.EachMember(keyspace.WholeZRange(), opt.native && opt.desc, func(member []byte, _ float64) bool { return add(member) })
	case opt.native && opt.desc:
		o.ListEach(n-1, true, add)
	default:
		o.ListEach(0, false, add)
	}
	return elements
}

// sortItem is an element with what it is sorted by.
type sortItem struct {
	element []byte
	score   float64
	weight  []byte // with ALPHA
	found   bool   // weight is there
}

// sorted returns the elements in order, or answers that one has no number.
func (c *Ctx) sorted(elements [][]byte, opt sortOptions) (ordered [][]byte, ok bool) {
	items := make([]sortItem, len(elements))
	for i, e := range elements {
		it := sortItem{element: e, weight: e, found: true}
		if opt.by != nil {
			it.weight, it.found = c.sortLookup(opt.by, e)
			aside(c, len(it.weight))
		}
		if !opt.alpha && it.found {
			if it.score, ok = parseScore(it.weight); !ok {
				c.Error("ERR One or more scores can't be converted into double")
				return nil, false
			}
		}
		aside(c, asideMap)
		items[i] = it
	}
	slices.SortStableFunc(items, func(a, b sortItem) int {
		if opt.desc {
			a, b = b, a
		}
		if opt.alpha {
			return compareWeights(a, b)
		}
		return cmp.Or(cmp.Compare(a.score, b.score), bytes.Compare(a.element, b.element))
	})
	for i, it := range items {
		elements[i] = it.element
	}
	return elements, true
}

// compareWeights puts elements without a weight first.
func compareWeights(a, b sortItem) int {
	switch {
	case a.found && b.found:
		return bytes.Compare(a.weight, b.weight)
	case a.found:
		return 1
	case b.found:
		return -1
	}
	return 0
}

// parseScore accepts what strtod does: leading blanks too, and 0 for nothing.
func parseScore(b []byte) (float64, bool) {
	b = bytes.TrimLeft(b, " \t\n\v\f\r")
	if len(b) == 0 {
		return 0, true
	}
	return parseFloat(b)
}

// sortLookup returns what a pattern of BY or GET means for an element: the
// element itself for "#", else the string at the key made by putting the
// element in the place of the star; with "->field" behind the star, the field
// of the hash at that key.
func (c *Ctx) sortLookup(pattern, element []byte) (val []byte, found bool) {
	if string(pattern) == "#" {
		return element, true
	}
	head, tail, ok := bytes.Cut(pattern, []byte("*"))
	if !ok {
		return nil, false
	}
	var field []byte
	if i := bytes.Index(tail, []byte("->")); i >= 0 && i+2 < len(tail) {
		tail, field = tail[:i], tail[i+2:]
	}
	key := make([]byte, 0, len(head)+len(element)+len(tail))
	key = append(append(append(key, head...), element...), tail...)
	o := c.Tx.Open(c.DB, key)
	switch {
	case o == nil:
		return nil, false
	case field != nil && o.Type == keyspace.TypeHash:
		return o.Field(field, nil)
	case field == nil && o.Type == keyspace.TypeString:
		return o.Bytes(), true
	}
	return nil, false
}

// sortResults calls f with what every element yields: the element, or one
// value for each GET.
func (c *Ctx) sortResults(elements [][]byte, opt sortOptions, f func(val []byte, found bool)) {
	for _, e := range elements {
		if opt.gets == nil {
			f(e, true)
		}
		for _, pattern := range opt.gets {
			f(c.sortLookup(pattern, e))
		}
	}
}

// sortStore makes the destination a list of the results.
func (c *Ctx) sortStore(elements [][]byte, opt sortOptions) {
	var vals [][]byte
	c.sortResults(elements, opt, func(val []byte, _ bool) { vals = append(vals, val) })
	if old := c.Tx.Open(c.DB, opt.store); old != nil {
		old.Delete()
	}
	if len(vals) > 0 {
		list := c.Tx.New(c.DB, opt.store, keyspace.TypeList)
		for _, v := range vals {
			list.PushTail(v)
		}
		list.Save()
	}
	c.Int(int64(len(vals)))
}
