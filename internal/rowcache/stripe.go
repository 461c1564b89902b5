package rowcache

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

var ne = binary.NativeEndian

const (
	recordHead = 24
	slotLen    = 8
	bucketLen  = 8 * slotLen
	// tableShare is how much of a stripe its table takes: room for a slot for
	// every 64 bytes of records, which is about the smallest record.
	tableShare = 8
	// sparedMax bounds how many records are spared to make room for one.
	sparedMax = 8
	// bucketsMin is how many buckets a stripe begins with, at least: a page of them.
	bucketsMin = pageLen / bucketLen
	// rowsPerBucket is how many rows there may be for each bucket until there are
	// more buckets. With half of its slots one is rarely full.
	rowsPerBucket = bucketLen / slotLen / 2
)

// Flags of a record.
const (
	flagAbsent = 1 << iota // the row is absent
	flagRead               // it was read since it came, or since it was spared
	flagDead               // nothing finds it any more
)

// record is the bytes of a record; see the package comment.
type record []byte

func recordLen(row, val []byte) int { return (recordHead + len(row) + len(val) + 7) &^ 7 }

func (r record) cap() int        { return int(ne.Uint32(r)) }
func (r record) has(f byte) bool { return r[6]&f != 0 }
func (r record) setFlag(f byte)  { r[6] |= f }
func (r record) owner() uint32   { return ne.Uint32(r[12:]) }
func (r record) index() uint64   { return ne.Uint64(r[16:]) }
func (r record) row() []byte     { return r[recordHead : recordHead+int(ne.Uint16(r[4:]))] }
func (r record) val() []byte {
	at := recordHead + int(ne.Uint16(r[4:]))
	return r[at : at+int(ne.Uint32(r[8:]))]
}

// write fills a record of a given capacity.
func (r record) write(owner uint32, index uint64, row, val []byte, flags byte) {
	ne.PutUint16(r[4:], uint16(len(row)))
	r[6] = flags
	ne.PutUint32(r[8:], uint32(len(val)))
	ne.PutUint32(r[12:], owner)
	ne.PutUint64(r[16:], index)
	copy(r[recordHead:], row)
	copy(r[recordHead+len(row):], val)
}

// stripe is a part of the cache.
type stripe struct {
	mu    sync.Mutex // guards all that follows
	seed  maphash.Seed
	table []byte // room for most buckets
	ring  []byte
	// places is the table for those who only want to know where a bucket is. It is not
	// guarded, and nobody reads what is there.
	places []byte
	// buckets is how many of the table there are: they grow with the rows, as a
	// few rows all over a large table would take a page each, and a page that is
	// touched first costs more than all else that is done with a row.
	// It is written with the lock. fewest is how many there are at first.
	buckets atomic.Int64
	fewest  int
	// Records lie from tail to before head, both counted on without end.
	// Invariant: 0 <= head-tail <= len(ring).
	head, tail   uint64
	turn         uint8 // which slot of a full bucket is given up next
	hits, misses uint64
	bytes        uint64 // of records that are found
	rows, absent uint64 // those, and those that say that a row is absent
}

func (s *stripe) open(c *Cache, mem []byte) {
	n := len(mem) / tableShare &^ (pageLen - 1)
	s.seed, s.table, s.ring, s.places = c.seed, mem[:n:n], mem[n:], mem[:n:n]
	// Doubled a few times they fill the table.
	for s.fewest = n / bucketLen; s.fewest >= 2*bucketsMin; {
		s.fewest /= 2
	}
	s.buckets.Store(int64(s.fewest))
}

func (s *stripe) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table, s.ring = nil, nil
}

func (s *stripe) addTo(u *Usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.Size += uint64(len(s.table) + len(s.ring))
	u.Bytes += s.bytes
	u.Rows += s.rows
	u.Absent += s.absent
	u.Hits += s.hits
	u.Misses += s.misses
}

// at returns the record at a place of the ring.
func (s *stripe) at(place int) record {
	return s.ring[place : place+int(ne.Uint32(s.ring[place:]))]
}

// slots returns the bucket where a row of this hash belongs; none once the cache is
// closed.
func (s *stripe) slots(hash uint64) []byte {
	if len(s.table) == 0 {
		return nil
	}
	return s.slotsOf(pick(hash, int(s.buckets.Load())))
}

func (s *stripe) slotsOf(bucket int) []byte {
	return s.table[bucket*bucketLen : (bucket+1)*bucketLen]
}

// grow doubles the buckets if there are many rows for them. What is in bucket i belongs into
// 2i or 2i+1 then: those behind the first have been emptied when their turn comes, as the
// last goes first.
func (s *stripe) grow() {
	buckets := int(s.buckets.Load())
	if s.rows < uint64(buckets)*rowsPerBucket || 2*buckets*bucketLen > len(s.table) {
		return
	}
	for i := buckets - 1; i >= 0; i-- {
		var was [bucketLen]byte
		copy(was[:], s.slotsOf(i))
		clear(s.slotsOf(2 * i))
		clear(s.slotsOf(2*i + 1))
		var n [2]int
		for b := was[:]; len(b) > 0; b = b[slotLen:] {
			slot := ne.Uint64(b)
			if uint32(slot) == 0 {
				continue
			}
			to := pick(maphash.Bytes(s.seed, s.at(placeOf(slot)).row()), 2*buckets)
			ne.PutUint64(s.slotsOf(to)[n[to&1]*slotLen:], slot)
			n[to&1]++
		}
	}
	s.buckets.Store(int64(2 * buckets))
}

func slotOf(hash uint64, place int) uint64 { return hash>>32<<32 | uint64(place/8+1) }
func placeOf(slot uint64) int              { return int(uint32(slot)-1) * 8 }

// find returns the record of a row, nil if there is none.
func (s *stripe) find(hash uint64, owner uint32, row []byte) record {
	b := s.slots(hash)
	for ; len(b) > 0; b = b[slotLen:] {
		slot := ne.Uint64(b)
		if slot>>32 != hash>>32 || uint32(slot) == 0 {
			continue
		}
		if r := s.at(placeOf(slot)); r.owner() == owner && bytes.Equal(r.row(), row) {
			return r
		}
	}
	return nil
}

// replace makes r, the record of a row, say something else of it, elsewhere if it is
// too small for that.
func (s *stripe) replace(hash uint64, r record, index uint64, row, val []byte, flags byte) {
	owner := r.owner()
	flags |= r[6] & flagRead
	if recordLen(row, val) > r.cap() {
		s.forget(hash, r)
		s.put(hash, owner, index, row, val, flags)
		return
	}
	s.count(r, -1)
	r.write(owner, index, row, val, flags)
	s.count(r, 1)
}

// put makes a record for a row that has none.
func (s *stripe) put(hash uint64, owner uint32, index uint64, row, val []byte, flags byte) {
	if len(s.table) == 0 {
		return
	}
	s.grow()
	need := recordLen(row, val)
	place := s.room(need)
	r := record(s.ring[place : place+need])
	ne.PutUint32(r, uint32(need))
	r.write(owner, index, row, val, flags)
	s.count(r, 1)
	s.enter(hash, place)
}

// count adds a record to the figures, or with sign -1 takes it out.
func (s *stripe) count(r record, sign int) {
	s.bytes += uint64(sign * r.cap())
	s.rows += uint64(sign)
	if r.has(flagAbsent) {
		s.absent += uint64(sign)
	}
}

// enter makes the record at a place found.
func (s *stripe) enter(hash uint64, place int) {
	b, free := s.slots(hash), -1
	for i := 0; i < bucketLen; i += slotLen {
		if uint32(ne.Uint64(b[i:])) == 0 {
			free = i
			break
		}
	}
	if free < 0 {
		free = s.victim(b)
		s.bury(s.at(placeOf(ne.Uint64(b[free:]))))
	}
	ne.PutUint64(b[free:], slotOf(hash, place))
}

// victim picks a slot of a full bucket to be given up, and spares once those whose
// record was read.
func (s *stripe) victim(b []byte) int {
	for range bucketLen / slotLen {
		s.turn++
		at := int(s.turn) * slotLen % bucketLen
		r := s.at(placeOf(ne.Uint64(b[at:])))
		if !r.has(flagRead) {
			return at
		}
		r[6] &^= flagRead
	}
	return int(s.turn) * slotLen % bucketLen
}

// forget makes a record unfindable.
func (s *stripe) forget(hash uint64, r record) {
	if slot := s.slotTo(hash, r); slot != nil {
		ne.PutUint64(slot, 0)
		s.bury(r)
	}
}

// slotTo returns the slot that leads to a record.
func (s *stripe) slotTo(hash uint64, r record) []byte {
	for b := s.slots(hash); len(b) > 0; b = b[slotLen:] {
		if slot := ne.Uint64(b); uint32(slot) != 0 && slot>>32 == hash>>32 && &s.ring[placeOf(slot)] == &r[0] {
			return b[:slotLen]
		}
	}
	return nil
}

func (s *stripe) bury(r record) {
	s.count(r, -1)
	r.setFlag(flagDead)
}

// dropAbsent forgets rows of which the filter of r says that they are absent, since
// an index; unless they are too few to be worth that others wait.
func (s *stripe) dropAbsent(r *Rows, since uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ring) == 0 || s.absent < s.rows/4 {
		return
	}
	for at := s.tail; at < s.head; {
		rec := s.at(int(at % uint64(len(s.ring))))
		at += uint64(rec.cap())
		if rec.has(flagDead) || !rec.has(flagAbsent) || rec.owner() != r.owner || rec.index() > since || !r.c.counted(rec.row()) {
			continue
		}
		s.forget(maphash.Bytes(s.seed, rec.row()), rec)
	}
	if s.rows == 0 && s.head != s.tail {
		s.head, s.tail = 0, 0
		discard(s.ring)
	}
}

// rest forgets all rows, and gives the memory back, if few of them are there.
func (s *stripe) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head == s.tail || len(s.ring) == 0 {
		return
	}
	there := uint64(0)
	for at := s.tail; at < s.head; {
		rec := s.at(int(at % uint64(len(s.ring))))
		at += uint64(rec.cap())
		if !rec.has(flagDead) && !rec.has(flagAbsent) {
			there += uint64(rec.cap())
		}
	}
	if there > (s.head-s.tail)/restShare {
		return
	}
	clear(s.table[:s.buckets.Load()*bucketLen])
	s.buckets.Store(int64(s.fewest))
	s.head, s.tail, s.bytes, s.rows, s.absent = 0, 0, 0, 0, 0
	discard(s.ring)
}

// restShare is the part of the records that must be of rows that are there.
const restShare = 4

// room makes room for a record at the head and returns its place.
func (s *stripe) room(need int) int {
	for spare := sparedMax; ; {
		at := int(s.head % uint64(len(s.ring)))
		left := len(s.ring) - at // to the end of the ring
		if free := len(s.ring) - int(s.head-s.tail); free < min(need, left) {
			spare = s.drop(spare)
			continue
		}
		if left < need { // a record is in one piece
			ne.PutUint32(s.ring[at:], uint32(left))
			ne.PutUint32(s.ring[at+4:], 0)
			record(s.ring[at:]).setFlag(flagDead)
			s.head += uint64(left)
			continue
		}
		s.head += uint64(need)
		return at
	}
}

// drop takes the oldest record out of the ring. One that was read comes back at
// the head, if any are to be spared; it returns how many after that.
func (s *stripe) drop(spare int) int {
	from := int(s.tail % uint64(len(s.ring)))
	r := s.at(from)
	n := r.cap()
	s.tail += uint64(n)
	if r.has(flagDead) {
		return spare
	}
	hash := maphash.Bytes(s.seed, r.row())
	to := int(s.head % uint64(len(s.ring)))
	if spare == 0 || !r.has(flagRead) || to+n > len(s.ring) {
		s.forget(hash, r)
		return spare
	}
	r[6] &^= flagRead
	slot := s.slotTo(hash, r)
	copy(s.ring[to:to+n], r) // they may overlap
	ne.PutUint64(slot, slotOf(hash, to))
	s.head += uint64(n)
	return spare - 1
}
