package rowcache

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

const (
	// stripeMin is the least size of a stripe, stripesMax their greatest number.
	stripeMin  = 64 << 10
	stripesMax = 256
	// pageLen is a multiple of most systems' pages, of which table and ring of a
	// stripe are made.
	pageLen = 4 << 10
	// recordMax is the largest record that is kept; what is larger costs more to
	// copy than to look up. A stripe holds eight of them at least.
	recordMax = 4 << 10
	// writtenMax is the number of counters of a shard: with 500 writes to an entry
	// one row of 30 that readers have found is not kept.
	writtenMax = 16 << 10
)

// Cache is the memory for the rows of a node. It is safe for concurrent use.
type Cache struct {
	seed    maphash.Seed
	mem     []byte
	size    int64
	stripes []stripe
	owners  atomic.Uint32
	counted func(row []byte) bool
}

// New returns a cache of size bytes; below 64 KiB it is 64 KiB. Memory that was
// never used is not taken from the system. counted says which rows take part in a
// Census.
func New(size int64, counted func(row []byte) bool) *Cache {
	n := 1
	for n < stripesMax && size/int64(2*n) >= stripeMin {
		n *= 2
	}
	part := int(max(size, stripeMin)) / n &^ (pageLen - 1)
	c := &Cache{seed: maphash.MakeSeed(), size: size, counted: counted, stripes: make([]stripe, n), mem: allocate(n * part)}
	for i := range c.stripes {
		c.stripes[i].open(c, c.mem[i*part:(i+1)*part:(i+1)*part])
	}
	return c
}

// Close gives the memory back. Rows know nothing from then on.
func (c *Cache) Close() {
	for i := range c.stripes {
		c.stripes[i].close()
	}
	release(c.mem)
	c.mem = nil
}

// Rest gives memory back where most of what is known is of rows that are gone.
func (c *Cache) Rest() {
	for i := range c.stripes {
		c.stripes[i].rest()
	}
}

// Usage is what a cache holds and what it was good for.
type Usage struct {
	// Size is the memory of the cache, Bytes what rows take of it.
	Size, Bytes uint64
	// Rows is their number, Absent how many of them are known to be absent.
	Rows, Absent uint64
	// Hits and Misses count what was looked up.
	Hits, Misses uint64
}

// Usage describes the cache.
func (c *Cache) Usage() Usage {
	u := Usage{}
	for i := range c.stripes {
		c.stripes[i].addTo(&u)
	}
	return u
}

// Open returns Rows that know nothing.
func (c *Cache) Open() *Rows {
	per := max(1, writtenMax/len(c.stripes))
	return &Rows{c: c, owner: c.owners.Add(1), per: per, written: make([]uint64, per*len(c.stripes))}
}

// Rows is what is known of the rows of one shard. It is safe for concurrent use. A
// nil Rows knows nothing, and keeps nothing.
type Rows struct {
	c     *Cache
	owner uint32
	// written is the newest index that wrote one of the rows which share the
	// counter, per for each stripe, guarded by the stripe's lock.
	// Invariant: no record has a later index than its row's counter.
	written []uint64
	per     int
	// complete has all rows that there are, building those of a census that goes
	// on. Nil: there is none.
	complete atomic.Pointer[complete]
	building atomic.Pointer[filter]
}

// place is where a row belongs.
type place struct {
	s      *stripe
	hash   uint64
	shared *uint64 // its counter, guarded by the lock of s
	// counted rows take part in a census.
	counted bool
}

func (r *Rows) place(row []byte) place {
	h := maphash.Bytes(r.c.seed, row)
	i := int(h) & (len(r.c.stripes) - 1)
	return place{&r.c.stripes[i], h, &r.written[i*r.per+pick(h, r.per)], r.c.counted(row)}
}

// pick returns one of n, by the part of a hash that the choice of the stripe and
// the tags leave.
func pick(hash uint64, n int) int {
	hi, _ := bits.Mul64(hash<<32, uint64(n))
	return int(hi)
}

// Get looks up a row for a reader at index at. If known, the row is absent, or ok and
// its value appended to dst.
func (r *Rows) Get(at uint64, row, dst []byte) (val []byte, ok, known bool) {
	if r == nil {
		return dst, false, false
	}
	p := r.place(row)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	rec := p.s.find(p.hash, r.owner, row)
	if rec == nil && p.counted && r.excludes(p.hash, at) {
		p.s.hits++
		return dst, false, true
	}
	if rec == nil || rec.index() > at {
		p.s.misses++
		return dst, false, false
	}
	p.s.hits++
	rec.setFlag(flagRead)
	if rec.has(flagAbsent) {
		return dst, false, true
	}
	v := rec.val()
	if dst == nil {
		dst = make([]byte, 0, len(v))
	}
	return append(dst, v...), true, true
}

// Fill keeps what a reader at index at has found: that a row has a value, or, not
// ok, that it is absent; unless an entry has written the row since.
func (r *Rows) Fill(at uint64, row, val []byte, ok bool) {
	if r == nil || recordLen(row, val) > recordMax {
		return
	}
	p := r.place(row)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if *p.shared > at {
		return
	}
	if p.s.find(p.hash, r.owner, row) == nil {
		// Nobody has written it since that index, which may be earlier than at: so
		// older readers may use it too.
		p.s.put(p.hash, r.owner, *p.shared, row, val, flagOf(!ok))
	}
}

// Change is what an entry makes of a row.
type Change struct {
	Row, Val []byte
	Gone     bool // it is removed
	// Once says that the row is written once, and read once soon: it is kept though it is
	// not here, until it is removed.
	Once bool
}

// Write takes over what the entry at index makes of rows. Only a row that is here is
// kept, or one that says so: most that are written are not read before they are written
// again.
func (r *Rows) Write(index uint64, changes []Change) {
	if r == nil {
		return
	}
	for len(changes) > 0 {
		some := changes[:min(len(changes), together)]
		changes = changes[len(some):]
		var at [together]place
		for i := range some {
			at[i] = r.place(some[i].Row)
		}
		r.fetch(at[:len(some)], true)
		for i := range some {
			r.write(&at[i], index, &some[i])
		}
	}
}

func (r *Rows) write(p *place, index uint64, c *Change) {
	if p.counted {
		r.note(p.hash, c.Gone)
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	*p.shared = max(*p.shared, index)
	rec := p.s.find(p.hash, r.owner, c.Row)
	switch large := recordLen(c.Row, c.Val) > recordMax; {
	case rec == nil && c.Once && !c.Gone && !large:
		p.s.put(p.hash, r.owner, index, c.Row, c.Val, 0)
	case rec == nil:
	case large || c.Once && c.Gone:
		p.s.forget(p.hash, rec)
	default:
		p.s.replace(p.hash, rec, index, c.Row, c.Val, flagOf(c.Gone))
	}
}

func flagOf(absent bool) byte {
	if absent {
		return flagAbsent
	}
	return 0
}

// Differs reports whether a reader at index at would be told something else of a
// row than its value val. It does not count as a reading.
func (r *Rows) Differs(at uint64, row, val []byte) bool {
	if r == nil {
		return false
	}
	p := r.place(row)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	rec := p.s.find(p.hash, r.owner, row)
	if rec == nil {
		return p.counted && r.excludes(p.hash, at)
	}
	return rec.index() <= at && (rec.has(flagAbsent) || string(rec.val()) != string(val))
}
