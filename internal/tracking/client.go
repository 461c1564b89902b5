package tracking

import (
	"slices"
	"strings"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// Mode is what a client wants to be told of.
type Mode struct {
	// Broadcast: of all keys that begin with one of some prefixes, not of what it reads.
	Broadcast bool
	// NoLoop: not of what it has written itself.
	NoLoop bool
}

// Client is one that is told. Begin, Remember, Wrote and End belong to whoever executes
// its commands.
type Client struct {
	t    *Table
	tell func(m *Invalidation)

	// The table's mutex guards what follows. Whoever executes the commands changes mode,
	// and may look at it without.
	mode     Mode
	prefixes []string
	keys     map[string]uint64 // that it has read, and up to which entry what it keeps has all; nil when it broadcasts
	executes bool              // what it is to be told gathers in dirty
	dirty    dirty
	fresh    []string                   // keys that were not remembered before Begin
	saw      map[cluster.ShardID]uint64 // up to which entry the reads since Begin have seen all
	recent   recent
	wrote    []written
	waits
	left bool
}

// dirty is what a client is to be told behind the replies to what it executes.
type dirty struct {
	all   bool
	named bool           // with all: what it has read last is named before
	at    map[string]int // place of each key
	marks []mark
}

// mark is a key that has changed, and the entries that have done that.
type mark struct {
	key  string
	by   []entry
	must bool // it is told whoever has
}

func (d *dirty) mark(key string) *mark {
	if d.all {
		return &mark{}
	}
	if i, has := d.at[key]; has {
		return &d.marks[i]
	}
	if len(d.marks) >= dirtyMax {
		d.everything(true)
		return &mark{}
	}
	if d.at == nil {
		d.at = make(map[string]int)
	}
	d.at[key] = len(d.marks)
	d.marks = append(d.marks, mark{key: key})
	return &d.marks[len(d.marks)-1]
}

func (d *dirty) add(key string, by entry) {
	m := d.mark(key)
	if m.must {
		return
	}
	if m.by = append(m.by, by); len(m.by) > ownMax {
		m.must, m.by = true, nil
	}
}

func (d *dirty) must(key string) { d.mark(key).must = true }

func (d *dirty) everything(named bool) {
	d.all, d.named, d.at, d.marks = true, d.named || named, nil, nil
}

// Join has a client told from now on. tell is called on any goroutine, with a lock held:
// it must not block, nor call the table.
func (t *Table) Join(mode Mode, prefixes []string, tell func(m *Invalidation)) *Client {
	c := &Client{t: t, mode: mode, tell: tell}
	if !mode.Broadcast {
		c.keys = make(map[string]uint64)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clients[c] = struct{}{}
	t.addPrefixes(c, prefixes)
	t.recount()
	return c
}

// Prefixes lists the prefixes of keys of which the client is told.
func (c *Client) Prefixes() []string {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return slices.Clone(c.prefixes)
}

// Change changes what it wants to be told of, but whether that is broadcast, and adds
// prefixes.
func (c *Client) Change(mode Mode, prefixes []string) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.mode.NoLoop = mode.NoLoop
	c.t.addPrefixes(c, prefixes)
}

func (k *known) addPrefixes(c *Client, prefixes []string) {
	for _, p := range prefixes {
		if slices.Contains(c.prefixes, p) {
			continue
		}
		c.prefixes = append(c.prefixes, p)
		if k.prefixes[p] == nil {
			k.prefixes[p] = make(map[*Client]struct{})
		}
		k.prefixes[p][c] = struct{}{}
	}
}

// Leave has it told of nothing any more.
func (c *Client) Leave() {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.left {
		return
	}
	c.left = true
	delete(t.clients, c)
	for key := range c.keys {
		t.put(key, slices.DeleteFunc(t.keys[key], func(o *Client) bool { return o == c }))
	}
	clear(c.keys)
	t.wakes(c)
	for _, p := range c.prefixes {
		if delete(t.prefixes[p], c); len(t.prefixes[p]) == 0 {
			delete(t.prefixes, p)
		}
	}
	t.recount()
}

// Begin says that the client is about to execute commands: until End what it is to be
// told waits.
func (c *Client) Begin() {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.executes = true
	c.t.wakes(c)
	c.recent.rest()
}

// Remember says that it is about to read a key. It comes between Begin and End, before
// the read is on its way.
func (c *Client) Remember(key []byte) {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.left || c.mode.Broadcast && !c.wants(key) {
		return
	}
	name := string(key)
	c.recent.add(name)
	if !t.hears(keyspace.Slot(key)) {
		c.dirty.must(name) // nobody would tell when it changes
		return
	}
	if c.mode.Broadcast {
		return
	}
	if _, has := c.keys[name]; has {
		return
	}
	c.keys[name] = 0
	c.fresh = append(c.fresh, name)
	t.put(name, append(t.keys[name], c))
	t.evict()
}

// Missed says that it has read a key that was not remembered. It comes between Begin and
// End.
func (c *Client) Missed(key []byte) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if !c.mode.Broadcast || c.wants(key) {
		c.dirty.must(string(key))
	}
}

// wants reports whether a key begins with one of the prefixes.
func (c *Client) wants(key []byte) bool {
	return slices.ContainsFunc(c.prefixes, func(p string) bool { return strings.HasPrefix(string(key), p) })
}

// Saw says that what was read since Begin from a shard has seen all its entries up to
// index. What is read without that may have seen none.
func (c *Client) Saw(shard cluster.ShardID, index uint64) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if before, has := c.saw[shard]; has {
		index = min(index, before)
	} else if c.saw == nil {
		c.saw = make(map[cluster.ShardID]uint64)
	}
	c.saw[shard] = index
}

// End says that the replies stand in line to be sent: behind them the client is told
// what has gathered.
func (c *Client) End() {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.left {
		return
	}
	m := t.place() // a newer map may have sent the commands where nobody listened
	c.executes = false
	t.wakes(c)
	for _, key := range c.fresh {
		if _, still := c.keys[key]; still && m != nil {
			if s := m.Owner(keyspace.Slot([]byte(key))); s != nil {
				c.keys[key] = c.saw[s.ID]
			}
		}
	}
	clear(c.saw)
	c.fresh = nil
	mine := c.wrote
	t.expect(mine)
	c.wrote = nil
	t.settle(c, mine)
}

// settle tells a client what has gathered, but for what it has changed itself.
func (k *known) settle(c *Client, mine []written) {
	d := c.dirty
	c.dirty = dirty{}
	if d.all {
		k.tellAll(c, everything(), d.named)
		return
	}
	var keys []string
	for _, m := range d.marks {
		if !m.needless(c, mine) {
			keys = append(keys, m.key)
		}
	}
	if c.mode.Broadcast {
		k.tellPrefixes(c, keys)
		return
	}
	for _, key := range keys {
		if _, has := c.keys[key]; has {
			k.forgot(c, key)
			k.put(key, slices.DeleteFunc(k.keys[key], func(o *Client) bool { return o == c }))
		}
		k.tell(c, &Invalidation{Keys: []string{key}})
	}
}

// needless reports whether all changes of a key were seen by what a client has read, or
// its own.
func (m *mark) needless(c *Client, mine []written) bool {
	return !m.must && !slices.ContainsFunc(m.by, func(e entry) bool {
		return e.index > c.keys[m.key] && !wrote(of(mine, e), c, m.key)
	})
}

// tellPrefixes tells one who broadcasts of keys: a message for each prefix.
func (k *known) tellPrefixes(c *Client, keys []string) {
	for _, p := range c.prefixes {
		var list []string
		for _, key := range keys {
			if strings.HasPrefix(key, p) {
				list = append(list, key)
			}
		}
		if len(list) > 0 {
			k.tell(c, &Invalidation{Keys: list})
		}
	}
}
