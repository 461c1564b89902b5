package command

import (
	"slices"

	"tutti/internal/keyspace"
)

// randomCountMax bounds how many elements a command picks with repetition,
// which no collection's size does.
const randomCountMax = 1 << 20

// pickOneCost is the number of elements that one random pick is reckoned to
// read; a sample for which that adds up to the whole collection reads it once
// instead.
const pickOneCost = 64

// randomPassMax is the number of elements up to which samples are always made
// of one pass over all: chances are exactly equal then.
const randomPassMax = 1024

// randomTriesMax bounds how often a different element is looked for: with a
// sample of at most one in pickOneCost, two of three tries would find one by far.
const randomTriesMax = 100

// sampleLen is the number of elements that randomFields picks.
func sampleLen(o *keyspace.Object, count int64) int {
	if count < 0 {
		return int(-count)
	}
	return int(min(count, int64(o.Len())))
}

// randomFields calls f for count random elements: different ones, or each
// chosen from all if count is negative, which must be within randomCountMax
// then. The object must not be empty.
func (c *Ctx) randomFields(o *keyspace.Object, count int64, f func(sub, val []byte)) {
	n := sampleLen(o, count)
	switch {
	case count < 0:
		c.repeatedFields(o, n, f)
	case n == o.Len():
		eachField(o, f)
	default:
		for _, e := range c.distinctFields(o, n) {
			f(e.sub, e.val)
		}
	}
}

// distinctFields returns min(n, Len) elements chosen at random. The slices are
// the caller's.
func (c *Ctx) distinctFields(o *keyspace.Object, n int) []field {
	size := o.Len()
	n = min(n, size)
	picked := make([]field, 0, min(n, randomPassMax))
	if size > randomPassMax && n < size/pickOneCost {
		seen := make(map[string]struct{}, min(n, randomPassMax))
		for tries := 0; len(picked) < n && c.Tx.Err() == nil; tries++ {
			if tries > randomTriesMax*n { // are there so many? The pass over all finds out
				picked = picked[:0]
				break
			}
			sub, val := o.RandomField()
			if _, dup := seen[string(sub)]; !dup {
				seen[string(sub)] = struct{}{}
				picked = append(picked, field{sub, val})
			}
		}
		if len(picked) == n || c.Tx.Err() != nil {
			return picked
		}
	}
	// Selection sampling (Knuth, TAOCP 3.4.2, algorithm S): of the elements
	// that are left, each is taken with the chance that fills the sample.
	left := size
	eachField(o, func(sub, val []byte) {
		need := n - len(picked)
		if need > 0 && (need == left || c.Tx.Rand(uint64(left)) < uint64(need)) {
			picked = append(picked, field{slices.Clone(sub), slices.Clone(val)})
		}
		left--
	})
	return picked
}

// repeatedFields calls f for n elements chosen at random, each from all.
func (c *Ctx) repeatedFields(o *keyspace.Object, n int, f func(sub, val []byte)) {
	size := o.Len()
	if size > randomPassMax && n < size/pickOneCost {
		for range n {
			f(o.RandomField())
		}
		return
	}
	all := make([]field, 0, min(size, randomPassMax))
	eachField(o, func(sub, val []byte) {
		all = append(all, field{slices.Clone(sub), slices.Clone(val)})
	})
	if len(all) == 0 { // the Reader failed
		return
	}
	for range n {
		e := all[c.Tx.Rand(uint64(len(all)))]
		f(e.sub, e.val)
	}
}
