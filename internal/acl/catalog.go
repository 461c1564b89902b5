package acl

import "strings"

// Entry is what the rules of users say of a command: what it is called, and in
// which categories it is. A subcommand is called "config|get", and comes with the
// command that it belongs to.
type Entry struct {
	Name       string // lower case
	Categories []string
}

// Catalog knows the commands by name. A command's id is its place in the list that
// the catalog was made of. It is immutable.
type Catalog struct {
	ids        map[string]int
	subs       map[int][]int // by id; a command without subcommands is missing
	parents    map[int]bool  // ids of subcommands
	categories map[string][]int
	words      int // of a bitmap of all ids
}

// NewCatalog returns a catalog of these commands. categories lists all there are,
// those without commands included.
func NewCatalog(list []Entry, categories []string) *Catalog {
	c := &Catalog{ids: make(map[string]int, len(list)), subs: make(map[int][]int), parents: make(map[int]bool),
		categories: make(map[string][]int, len(categories)), words: (len(list) + 63) / 64}
	for _, name := range categories {
		c.categories[name] = nil
	}
	for id, e := range list {
		c.ids[e.Name] = id
		for _, name := range e.Categories {
			c.categories[name] = append(c.categories[name], id)
		}
	}
	for id, e := range list {
		if parent, _, sub := strings.Cut(e.Name, "|"); sub {
			c.subs[c.ids[parent]] = append(c.subs[c.ids[parent]], id)
			c.parents[id] = true
		}
	}
	return c
}

// find returns the id of a command, in any case.
func (c *Catalog) find(name string) (id int, ok bool) {
	id, ok = c.ids[strings.ToLower(name)]
	return id, ok
}

// bitmap has a bit for each command.
type bitmap []uint64

func (b bitmap) has(id int) bool { return b[id/64]&(1<<(id%64)) != 0 }

func (b bitmap) set(id int, to bool) {
	if to {
		b[id/64] |= 1 << (id % 64)
	} else {
		b[id/64] &^= 1 << (id % 64)
	}
}

func (b bitmap) fill(to bool) {
	for i := range b {
		b[i] = 0
		if to {
			b[i] = ^uint64(0)
		}
	}
}
