package keyspace

import (
	"math"
	"slices"
)

// Fields of a hash, and members of a set (fields without values).

// Field appends the value of a hash field to dst; for a set, ok reports
// membership.
func (o *Object) Field(sub, dst []byte) (val []byte, ok bool) {
	if !o.rowed {
		i := o.find(sub)
		if i < 0 {
			return dst, false
		}
		return append(dst, o.items[i].val...), true
	}
	if o.timed.dies(sub) {
		return dst, false
	}
	o.tx.buf = subRow(o.tx.buf[:0], o.slot, o.id, sub)
	return o.tx.Get(o.tx.buf, dst)
}

// HasField reports whether a hash has the field or a set the member.
func (o *Object) HasField(sub []byte) bool {
	_, ok := o.Field(sub, nil)
	return ok
}

// PutField sets a hash field, or adds a set member (val nil), and reports
// whether it is new. A field that is set has no deadline any more. The object keeps both
// slices until Save.
func (o *Object) PutField(sub, val []byte) (added bool) {
	if o.timed != nil {
		ClearFieldDeadline(o, sub)
	}
	if !o.rowed {
		if i := o.find(sub); i >= 0 {
			o.items[i].val = val
		} else {
			o.items = append(o.items, item{sub: sub, val: val})
			added = true
		}
		if o.overflows() {
			for _, it := range o.startRows() {
				o.tx.Put(subRow(nil, o.slot, o.id, it.sub), it.val)
				o.count++
			}
			spreadDeadlines(o)
		}
		return added
	}
	row := subRow(nil, o.slot, o.id, sub)
	if _, ok := o.tx.Get(row, nil); !ok {
		o.count++
		added = true
	}
	o.tx.Put(row, val)
	return added
}

// DeleteField removes a hash field or set member and reports whether it was there.
func (o *Object) DeleteField(sub []byte) bool {
	if !o.rowed {
		i := o.find(sub)
		if i < 0 {
			return false
		}
		if o.timed != nil {
			delete(o.timed.packed, string(sub))
		}
		o.items = slices.Delete(o.items, i, i+1)
		return true
	}
	row := subRow(nil, o.slot, o.id, sub)
	if _, ok := o.tx.Get(row, nil); !ok {
		return false
	}
	if o.timed != nil {
		ClearFieldDeadline(o, sub)
	}
	o.tx.Delete(row)
	o.count--
	return true
}

// Thin is to be called when a command has removed that many elements of a hash or set.
// If that is more than are left, and many, these are written anew: whoever looks for the
// first or a random element would else step over the traces of all that were removed,
// until the store has cleared them away.
func Thin(o *Object, removed int) {
	if !o.rowed || removed <= trashMin || uint64(removed) <= o.count || o.count == 0 || o.timed != nil {
		return // of a hash with deadlines it would be two rows more for each field
	}
	var left []item
	o.EachField(func(sub, val []byte) bool {
		left = append(left, item{sub: slices.Clone(sub), val: slices.Clone(val)})
		return true
	})
	if uint64(len(left)) != o.count {
		return // the Reader failed, or the row is damaged
	}
	o.dropRows()
	o.items, o.val = left, nil
	if o.overflows() {
		for _, it := range o.startRows() {
			o.tx.Put(subRow(nil, o.slot, o.id, it.sub), it.val)
			o.count++
		}
	}
}

// EachField calls f for every field until f returns false: a packed object in
// order of insertion, another in hash order. The slices are valid during the
// call only. f must not change the object.
func (o *Object) EachField(f func(sub, val []byte) bool) {
	if !o.rowed {
		for _, it := range o.items {
			if !f(it.sub, it.val) {
				return
			}
		}
		return
	}
	o.eachRow(0, func(_ uint32, sub, val []byte) bool { return f(sub, val) })
}

// ScanFields calls f for at least count fields from cursor on and returns the
// next cursor, 0 at the end. It serves sorted sets too, with the encoded score
// as value (see ScoreOf). A packed object is returned whole.
func (o *Object) ScanFields(cursor uint64, count int, f func(sub, val []byte)) (next uint64) {
	if !o.rowed {
		for _, it := range o.items {
			val := it.val
			if o.Type == TypeZSet {
				val = be.AppendUint64(nil, math.Float64bits(it.score))
			}
			f(it.sub, val)
		}
		return 0
	}
	if cursor > math.MaxUint32 {
		return 0
	}
	n := 0
	var last uint32
	o.eachRow(uint32(cursor), func(h uint32, sub, val []byte) bool {
		// Elements of equal hash go together: the cursor can't tell them apart.
		if n >= count && h != last {
			next = uint64(h)
			return false
		}
		n, last = n+1, h
		f(sub, val)
		return true
	})
	return next
}

// ScoreOf decodes the value that ScanFields gives for a member of a sorted set.
func ScoreOf(val []byte) float64 { return math.Float64frombits(be.Uint64(val)) }

// eachRow calls f for the elements from a hash on until it returns false. Who has
// seen all knows that they are as many as the object says: replies announce that.
func (o *Object) eachRow(from uint32, f func(h uint32, sub, val []byte) bool) {
	prefix := subPrefix(nil, o.slot, o.id)
	it := o.tx.Iter(prefix, prefixEnd(nil, prefix))
	defer it.Close()
	n := uint64(0)
	for ok := it.SeekGE(be.AppendUint32(slices.Clone(prefix), from)); ok; ok = it.Next() {
		n++
		k := it.Key()[len(prefix):]
		if len(k) < 4 || o.Type == TypeZSet && len(it.Value()) != 8 {
			o.damaged("element of %d bytes", len(k)+len(it.Value()))
			return
		}
		if o.timed.dies(k[4:]) {
			continue
		}
		if !f(be.Uint32(k), k[4:], it.Value()) {
			return
		}
	}
	if from == 0 && n != o.count {
		o.damaged("collection of %d elements, where %d are due", n, o.count)
	}
}

// fairMax is the number of elements up to which a random one is chosen with
// exactly equal chances; above it, from a run at a random place, which is fair
// up to the spread of the hashes.
const fairMax = 1024

// RandomField returns a random element; the slices are the caller's. The
// object must not be empty.
func (o *Object) RandomField() (sub, val []byte) {
	if !o.rowed {
		items := o.items
		it := items[o.tx.Rand(uint64(len(items)))]
		return slices.Clone(it.sub), slices.Clone(it.val)
	}
	var from uint32
	run := o.Len()
	if run > fairMax {
		from, run = uint32(o.tx.Rand(1<<32)), 64
	}
	pick, i := int(o.tx.Rand(uint64(run))), 0
	visit := func(_ uint32, s, v []byte) bool {
		if i == pick {
			sub, val = slices.Clone(s), slices.Clone(v)
		}
		i++
		return i <= pick
	}
	o.eachRow(from, visit)
	for i <= pick { // wrapped around
		seen := i
		if o.eachRow(0, visit); i == seen {
			o.damaged("collection without elements")
			break
		}
	}
	return sub, val
}
