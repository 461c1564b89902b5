package tracking

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

const (
	// bytesMax bounds the memory that keys take, about, and keyBytes and pairBytes are
	// what one takes beside its name, and beside that each client that has read it.
	bytesMax  = 64 << 20
	keyBytes  = 80
	pairBytes = 56
	// dirtyMax is of how many keys a client that executes commands is told one by one.
	dirtyMax = 1 << 16
	// ownMax is how many changes of a shard by clients with NOLOOP are known that were
	// answered and have not been heard of.
	ownMax = 1 << 10
)

// Config says how a table hears of changes. The zero value is one that never does.
type Config struct {
	Node cluster.NodeID
	// Map returns the map by which commands find their shards. Nil: there are none.
	Map func() *cluster.Map
	// Away reports that reads of a shard are not answered from a replica here.
	Away func(shard cluster.ShardID) bool
	// Probe has done told whether the replica of a shard here has applied all that was
	// committed when Probe was called. It must not block, and may call done at once.
	Probe func(shard cluster.ShardID, done func(ok bool))
	// Up reports whether the link to a node stands, and Offer sends it a frame if not
	// much waits for it already. Neither blocks.
	Up     func(node cluster.NodeID) bool
	Offer  func(to cluster.NodeID, kind peer.Kind, build func(dst []byte) []byte) bool
	Logger *slog.Logger
}

// Change is what an entry has done to keys. What it refers to is the caller's.
type Change struct {
	Index uint64 // of the entry
	Keys  [][]byte
	// Renamed says that since the entry logical databases are others than before.
	Renamed bool
	// Served is the commands that had waited and were served by the entry.
	Served []Waiter
}

// Table is what the clients of a node have read, and who is told when that changes. It
// is safe for concurrent use.
type Table struct {
	cfg    Config
	wanted atomic.Bool   // anybody is told of anything
	wake   chan struct{} // capacity 1: a signal to the keeper
	quit   chan struct{}
	wg     sync.WaitGroup

	mu sync.Mutex // guards all below
	known
	sources map[cluster.ShardID]*source
	layout  *cluster.Map // whose slots are as they were when anything was remembered
	feeds   feeds
	changed chan struct{} // closed when a source has become live; nil: nobody waits
	closed  bool
}

// known is which clients are told of what. The table's mutex guards it.
type known struct {
	clients  map[*Client]struct{}
	keys     map[string][]*Client // those who have read a key
	keysMax  int                  // 0: any number
	bytes    int                  // that keys take, about
	items    int                  // pairs of a key and a client
	prefixes map[string]map[*Client]struct{}
	waiters  map[Waiter]*Client // those whose command waits
	count    counters
}

// counters count since the node has started.
type counters struct{ told, flushed, evicted int64 }

// New returns an empty table. Run starts what keeps it up to date.
func New(cfg Config) *Table {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Table{cfg: cfg, wake: make(chan struct{}, 1), quit: make(chan struct{}), sources: make(map[cluster.ShardID]*source)}
	t.known = known{clients: make(map[*Client]struct{}), keys: make(map[string][]*Client), keysMax: 1_000_000,
		prefixes: make(map[string]map[*Client]struct{}), waiters: make(map[Waiter]*Client)}
	t.feeds.followers = make(map[followed]*follower)
	return t
}

// Run starts the keeper.
func (t *Table) Run() { t.wg.Go(t.keep) }

// Close ends the keeper and returns when it has ended.
func (t *Table) Close() {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.quit)
	}
	t.mu.Unlock()
	t.wg.Wait()
}

// Wanted reports whether anybody is to be told of changes. It takes no lock.
func (t *Table) Wanted() bool { return t.wanted.Load() }

// SetMax bounds the number of keys that are remembered. 0: any.
func (t *Table) SetMax(keys int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keysMax = keys
	t.evict()
}

// Applied takes what an entry of a shard has changed that is applied here. It comes
// before views show the entry, and before its groups are answered.
func (t *Table) Applied(shard cluster.ShardID, change Change) {
	if !t.wanted.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sources[shard]
	if s == nil || s.away {
		return // nobody has read anything of it, or it is heard of elsewhere
	}
	if change.Renamed {
		t.flush(false) // Redis names nothing
		t.feedAll(shard, fed{flags: flagAll})
	}
	t.change(shard, s, change)
	if len(change.Keys) > 0 {
		t.feedAll(shard, fed{index: change.Index, keys: change.Keys})
	}
}

// change tells who has read any of the keys.
func (k *known) change(shard cluster.ShardID, s *source, change Change) {
	by := entry{shard, change.Index}
	mine := s.own.hear(by)
	for _, w := range change.Served {
		k.serve(w)
	}
	for _, key := range change.Keys {
		k.invalidate(key, by, mine)
	}
	for prefix, clients := range k.prefixes {
		k.broadcast(prefix, clients, change.Keys, by, mine)
	}
}

// invalidate tells who has read a key. Who executes commands stays: what it reads may be
// older than the change, or newer.
func (k *known) invalidate(key []byte, by entry, mine []written) {
	all := k.keys[string(key)]
	if len(all) == 0 {
		return
	}
	stay := all[:0]
	var m *Invalidation
	for _, c := range all {
		switch {
		case wrote(mine, c, string(key)) || by.index <= c.keys[string(key)]:
			stay = append(stay, c)
		case c.executes:
			c.dirty.add(string(key), by)
			stay = append(stay, c)
		default:
			if m == nil {
				m = &Invalidation{Keys: []string{string(key)}}
			}
			k.forgot(c, m.Keys[0])
			k.tell(c, m)
		}
	}
	clear(all[len(stay):])
	k.put(string(key), stay)
}

// broadcast tells those who want to hear of all keys with a prefix.
func (k *known) broadcast(prefix string, clients map[*Client]struct{}, keys [][]byte, by entry, mine []written) {
	var all []string
	for _, key := range keys {
		if strings.HasPrefix(string(key), prefix) {
			all = append(all, string(key))
		}
	}
	if len(all) == 0 {
		return
	}
	m := &Invalidation{Keys: all}
	for c := range clients {
		switch {
		case c.executes || slices.ContainsFunc(mine, func(w written) bool { return w.by == c }):
			k.tellOthers(c, all, by, mine)
		default:
			k.tell(c, m)
		}
	}
}

// tellOthers tells a client of those keys that it has not written itself.
func (k *known) tellOthers(c *Client, keys []string, by entry, mine []written) {
	var others []string
	for _, key := range keys {
		switch {
		case wrote(mine, c, key):
		case c.executes:
			c.dirty.add(key, by)
		default:
			others = append(others, key)
		}
	}
	if len(others) > 0 {
		k.tell(c, &Invalidation{Keys: others})
	}
}

func (k *known) tell(c *Client, m *Invalidation) {
	k.count.told++
	c.tell(m)
}

// put sets who has read a key.
func (k *known) put(key string, clients []*Client) {
	old, had := k.keys[key]
	k.items += len(clients) - len(old)
	k.bytes += pairBytes * (len(clients) - len(old))
	switch {
	case len(clients) == 0:
		if had {
			k.bytes -= keyBytes + len(key)
			delete(k.keys, key)
		}
	default:
		if !had {
			k.bytes += keyBytes + len(key)
		}
		k.keys[key] = clients
	}
}

// forgot is to be called when a client is taken out of those who have read a key.
func (k *known) forgot(c *Client, key string) { delete(c.keys, key) }

// evict forgets keys, which are told to be old, until there are no more than there may
// be.
func (k *known) evict() {
	for key := range k.keys {
		if (k.keysMax == 0 || len(k.keys) <= k.keysMax) && k.bytes <= bytesMax {
			return
		}
		k.count.evicted++
		m := &Invalidation{Keys: []string{key}}
		for _, c := range k.keys[key] {
			k.forgot(c, key)
			if c.executes {
				c.dirty.must(key)
			} else {
				k.tell(c, m)
			}
		}
		k.put(key, nil)
	}
}

// flush forgets everything and tells everybody. named: also by the names of what each has
// read last.
func (k *known) flush(named bool) {
	k.count.flushed++
	clear(k.keys)
	k.bytes, k.items = 0, 0
	m := everything()
	for c := range k.clients {
		clear(c.keys)
		if c.executes && !c.served {
			c.dirty.everything(named)
		} else {
			k.tellAll(c, m, named)
		}
	}
}

// tellAll tells a client that everything may have changed, by m. named: the keys that it
// has read last are named before. A client that takes in their replies together with m may
// keep them beyond it (node-redis 5.12 does), and is told of them never again.
func (k *known) tellAll(c *Client, m *Invalidation, named bool) {
	if named {
		if keys := c.recent.take(); len(keys) > 0 {
			k.tell(c, &Invalidation{Keys: keys})
		}
	}
	k.tell(c, m)
}

// Usage is what a table holds, and has counted since the node has started.
type Usage struct {
	Clients, Keys, Items, Prefixes int
	Told, Flushed, Evicted         int64 // messages, times that everything was forgotten, keys
}

// Usage returns what the table holds.
func (t *Table) Usage() Usage {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Usage{Clients: len(t.clients), Keys: len(t.keys), Items: t.items, Prefixes: len(t.prefixes),
		Told: t.count.told, Flushed: t.count.flushed, Evicted: t.count.evicted}
}

// recount finds out whether anybody is to be told of changes. When nobody is, no source
// counts any more: from now on changes are missed.
func (t *Table) recount() {
	wanted := len(t.clients)+len(t.feeds.followers) > 0
	if wanted == t.wanted.Load() {
		return
	}
	t.wanted.Store(wanted)
	if !wanted {
		clear(t.sources)
		t.layout = nil
		return
	}
	t.signal()
}

// signal wakes the keeper.
func (t *Table) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// keep keeps the sources up to date while anybody wants to be told.
func (t *Table) keep() {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		ticks := tick.C
		if !t.wanted.Load() {
			ticks = nil
		}
		select {
		case <-t.quit:
			return
		case <-t.wake:
		case <-ticks:
		}
		t.look()
	}
}
