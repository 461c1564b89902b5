package rowcache

import (
	"math/bits"
	"sync/atomic"
)

// filter is a Bloom filter in blocks of one cache line: what it has not, was never
// added. Nothing can be taken out of it. It is safe for concurrent use.
type filter struct {
	words    []uint64
	capacity uint64
	added    atomic.Uint64 // rows that were not there before
	removed  atomic.Uint64 // rows that were removed, and are still here
}

const (
	// filterBits is the bits for a row at capacity: one look-up in a thousand
	// finds what was not added, at twice the capacity one in 40.
	filterBits = 16
	blockWords = 8 // one bit of each
)

func newFilter(capacity uint64) *filter {
	blocks := max(1, capacity*filterBits/(blockWords*64))
	return &filter{words: make([]uint64, blocks*blockWords), capacity: capacity}
}

// salts make of one hash a bit for each word of a block. They are odd numbers with
// random bits.
var salts = [blockWords]uint64{
	0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb, 0xd6e8feb86659fd93,
	0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x589965cc75374cc3,
}

// block returns the words of a row's block, and what its bits are made of.
func (f *filter) block(hash uint64) (words []uint64, bitsOf uint64) {
	hi, _ := bits.Mul64(hash, uint64(len(f.words)/blockWords))
	return f.words[hi*blockWords : (hi+1)*blockWords], bits.RotateLeft64(hash, 32)
}

func (f *filter) add(hash uint64) {
	words, from := f.block(hash)
	fresh := false
	for i := range words {
		bit := uint64(1) << (from * salts[i] >> 58)
		if atomic.LoadUint64(&words[i])&bit == 0 {
			atomic.OrUint64(&words[i], bit)
			fresh = true
		}
	}
	if fresh {
		f.added.Add(1)
	}
}

func (f *filter) has(hash uint64) bool {
	words, from := f.block(hash)
	for i := range words {
		if atomic.LoadUint64(&words[i])>>(from*salts[i]>>58)&1 == 0 {
			return false
		}
	}
	return true
}

// stale reports whether the filter should be made anew: it has more rows than it
// is for, or as many were removed as it was made with.
func (f *filter) stale() bool {
	return f.added.Load() > f.capacity || f.removed.Load() > f.capacity/filterRoom
}

// Census finds out which rows of a shard there are, so that all others are known to
// be absent. It goes through them in pieces, each over a view of its own; what
// entries write meanwhile is noted as well. So once it has gone through all of them,
// it has every row of the view of its last piece, and of those that follow.
//
// Only rows that the cache counts take part.
type Census struct {
	rows *Rows
	f    *filter
}

const (
	// filterRoom is how many times the rows that there are a filter is made for,
	// filterMin the least that it is for.
	filterRoom = 2
	filterMin  = 32 << 10
	// filterShare is the part of the cache's size that the filters of one shard may
	// take beside it.
	filterShare = 4
)

// complete is a filter with all rows that are in the state at an index, or later.
type complete struct {
	*filter
	since uint64
}

// Census begins a census of about as many rows as count says, unless what is known
// is good enough, or there are too many. What entries have told so far must be in all
// views that it is going to be shown.
func (r *Rows) Census(count func() uint64) *Census {
	if r == nil || r.building.Load() != nil {
		return nil
	}
	if c := r.complete.Load(); c != nil && !c.stale() {
		return nil
	}
	capacity := max(count()*filterRoom, filterMin)
	if capacity*filterBits/8 > uint64(r.c.size)/filterShare {
		return nil
	}
	c := &Census{r, newFilter(capacity)}
	r.building.Store(c.f)
	return c
}

// Found notes a row of a view.
func (c *Census) Found(row []byte) {
	if c.rows.c.counted(row) {
		c.f.add(c.rows.place(row).hash)
	}
}

// Done ends a census whose last piece was of the view at an index. Rows that are
// known to be absent need no memory of their own from then on: it is given back to
// the system where nothing else is left.
func (c *Census) Done(at uint64) {
	// In this order: whoever finds no filter being built finds it complete.
	c.rows.complete.Store(&complete{c.f, at})
	c.rows.building.Store(nil)
	for i := range c.rows.c.stripes {
		c.rows.c.stripes[i].dropAbsent(c.rows, at)
	}
}

// Cancel ends a census that has not gone through all rows, and does nothing to one
// that has ended.
func (c *Census) Cancel() { c.rows.building.CompareAndSwap(c.f, nil) }

// note tells the filters that a row was written.
func (r *Rows) note(hash uint64, gone bool) {
	if f := r.building.Load(); f != nil {
		f.note(hash, gone)
	}
	if c := r.complete.Load(); c != nil {
		c.note(hash, gone)
	}
}

func (f *filter) note(hash uint64, gone bool) {
	if gone {
		f.removed.Add(1)
	} else {
		f.add(hash)
	}
}

// excludes reports whether a row is absent for all readers at an index.
func (r *Rows) excludes(hash, at uint64) bool {
	c := r.complete.Load()
	return c != nil && c.since <= at && !c.has(hash)
}
