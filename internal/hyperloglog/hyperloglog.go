// Package hyperloglog estimates how many different elements have been added to a
// sketch of a few kilobytes. Sketches are strings that are, byte for byte, those of
// Redis, so that they can be exchanged with it:
//
//	"HYLL" encoding:1 unused:3 count:8 registers
//
// The hash of an element names one of 16384 registers, which keeps the longest run
// of zeros that a hash has had for it. count is little-endian; with its highest bit
// set it is not known. Of encoding 0 are dense sketches, whose registers have 6 bits
// each, from the lowest on; of encoding 1 sparse ones, which are runs of equal
// registers:
//
//	00nnnnnn            n+1 registers are 0
//	01nnnnnn n:1        n+1 registers are 0, of 14 bits, big-endian
//	1vvvvvnn            n+1 registers are v+1
//
// The package is pure. Sketches come from outside, as any string may be taken for
// one, so reading trusts nothing.
package hyperloglog

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

const (
	indexBits   = 14
	rankBits    = 64 - indexBits
	registerLen = 1 << indexBits
	rankMax     = rankBits + 1

	magic       = "HYLL"
	encodingAt  = len(magic)
	countAt     = 8
	headerLen   = 16
	denseLen    = headerLen + registerLen*6/8
	encodeDense = 0
	// SparseLenMax is the size in bytes from which on a sketch is dense, the default
	// of Redis.
	SparseLenMax = 3000
)

// Errors of strings that are no sketch, or one that can't be read.
var (
	ErrNoSketch = errors.New("not a sketch")
	ErrCorrupt  = errors.New("corrupt sketch")
)

// Check returns ErrNoSketch for a string that does not begin as a sketch does.
func Check(sketch []byte) error {
	switch {
	case len(sketch) < headerLen, string(sketch[:len(magic)]) != magic, sketch[encodingAt] > encodeSparse,
		Dense(sketch) && len(sketch) != denseLen:
		return ErrNoSketch
	}
	return nil
}

// Dense reports which encoding a sketch has.
func Dense(sketch []byte) bool { return sketch[encodingAt] == encodeDense }

// Forget marks the count in a sketch as unknown, as whoever changes it must.
func Forget(sketch []byte) { sketch[headerLen-1] |= 0x80 }

// Add adds an element to a sketch that Check has let pass. The sketch is changed in
// place where that is possible; the result is what is to be used. changed is whether a
// register has changed.
func Add(sketch, element []byte) (result []byte, changed bool, err error) {
	index, rank := place(element)
	return set(sketch, index, rank)
}

// place returns the register of an element and the rank it would give it.
func place(element []byte) (index int, rank byte) {
	h := hash(element)
	rest := h>>indexBits | 1<<rankBits
	return int(h & (registerLen - 1)), byte(bits.TrailingZeros64(rest) + 1)
}

// hash is MurmurHash64A with the seed of Redis.
func hash(b []byte) uint64 {
	const (
		seed  = 0xadc83b19
		m     = 0xc6a4a7935bd1e995
		shift = 47
	)
	h := seed ^ uint64(len(b))*m
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * m
		k ^= k >> shift
		h = (h ^ k*m) * m
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		h = (h ^ binary.LittleEndian.Uint64(last[:])) * m
	}
	h = (h ^ h>>shift) * m
	return h ^ h>>shift
}

func set(sketch []byte, index int, rank byte) (result []byte, changed bool, err error) {
	if Dense(sketch) {
		return sketch, setDense(sketch[headerLen:], index, rank), nil
	}
	return setSparse(sketch, index, rank)
}

func register(dense []byte, index int) byte {
	bit := index * 6
	v := uint16(dense[bit/8])
	if bit/8+1 < len(dense) {
		v |= uint16(dense[bit/8+1]) << 8
	}
	return byte(v>>(bit%8)) & 63
}

func setDense(dense []byte, index int, rank byte) (changed bool) {
	if rank <= register(dense, index) {
		return false
	}
	bit := index * 6
	at, shift := bit/8, bit%8
	dense[at] = dense[at]&^(63<<shift) | rank<<shift
	if shift > 2 {
		dense[at+1] = dense[at+1]&^(63>>(8-shift)) | rank>>(8-shift)
	}
	return true
}

// Registers are those of several sketches together.
type Registers [registerLen]byte

// Merge takes a sketch in that Check has let pass.
func (r *Registers) Merge(sketch []byte) error {
	if !Dense(sketch) {
		return eachRun(sketch, func(first, n int, rank byte) {
			for i := first; i < first+n && rank > 0; i++ {
				r[i] = max(r[i], rank)
			}
		})
	}
	for i := range r {
		r[i] = max(r[i], register(sketch[headerLen:], i))
	}
	return nil
}

// Store raises the registers of a sketch, in place where that is possible, and
// returns it.
func (r *Registers) Store(sketch []byte) (result []byte, err error) {
	for i, rank := range r {
		if rank == 0 {
			continue
		}
		if sketch, _, err = set(sketch, i, rank); err != nil {
			return nil, err
		}
	}
	return sketch, nil
}

// Count estimates how many elements the registers have seen.
func (r *Registers) Count() int64 {
	var h histogram
	for _, rank := range r {
		h[rank&63]++
	}
	return h.count()
}

// Count estimates how many elements have been added to a sketch that Check has let
// pass. What Redis has noted in it is believed.
func Count(sketch []byte) (int64, error) {
	if noted := binary.LittleEndian.Uint64(sketch[countAt:]); noted>>63 == 0 {
		return int64(noted), nil
	}
	var h histogram
	if Dense(sketch) {
		for i := range registerLen {
			h[register(sketch[headerLen:], i)]++
		}
		return h.count(), nil
	}
	err := eachRun(sketch, func(_, n int, rank byte) { h[rank] += n })
	return h.count(), err
}

// histogram says how many registers have which rank.
type histogram [64]int

// count is the estimator of Otmar Ertl, "New cardinality estimation algorithms for
// HyperLogLog sketches" (arXiv:1702.01284), evaluated in the order of Redis, so that
// the results are the same to the last bit.
func (h *histogram) count() int64 {
	const (
		m     = float64(registerLen)
		alpha = 0.721347520444481703680 // 1 / (2 ln 2)
	)
	z := m * tau((m-float64(h[rankMax]))/m)
	for j := rankBits; j >= 1; j-- {
		z += float64(h[j])
		z *= 0.5
	}
	z += m * sigma(float64(h[0])/m)
	e := math.Round(alpha * m * m / z)
	if e >= math.MaxInt64 { // of registers that no elements make
		return math.MinInt64
	}
	return int64(e)
}

func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		x *= x
		before := z
		z += x * y // y is a power of two: exact, fused or not
		y += y
		if before == z {
			return z
		}
	}
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		before := z
		y *= 0.5
		z -= float64((1-x)*(1-x)) * y // the conversion forbids to fuse, which would round otherwise
		if before == z {
			return z / 3
		}
	}
}
