package hyperloglog

import (
	"fmt"
	"strings"
)

const (
	encodeSparse = 1

	zerosMax     = 64    // registers in a short run of zeros
	longZerosMax = 16384 // in a long one
	valuesMax    = 4     // in a run of others
	sparseRank   = 32    // the highest that a sparse sketch can hold
	runAhead     = 5     // runs that are looked at for neighbours to join
	longZerosBit = byte(1 << 6)
	valueBit     = byte(1 << 7)
)

// New returns an empty sketch.
func New() []byte {
	sketch := make([]byte, headerLen, 64)
	copy(sketch, magic)
	sketch[encodingAt] = encodeSparse
	return appendZeros(sketch, registerLen)
}

func appendZeros(dst []byte, n int) []byte {
	if n > zerosMax {
		return append(dst, longZerosBit|byte((n-1)>>8), byte(n-1))
	}
	return append(dst, byte(n-1))
}

func appendValue(dst []byte, rank byte, n int) []byte {
	return append(dst, valueBit|(rank-1)<<2|byte(n-1))
}

// run is a run of equal registers, of length bytes; length 0: there is none.
type run struct {
	n, length int
	rank      byte
}

func runAt(b []byte) run {
	switch {
	case len(b) == 0:
		return run{}
	case b[0]&valueBit != 0:
		return run{int(b[0]&3) + 1, 1, (b[0]>>2)&31 + 1}
	case b[0]&longZerosBit == 0:
		return run{int(b[0]) + 1, 1, 0}
	case len(b) == 1:
		return run{}
	}
	return run{int(b[0]&63)<<8 + int(b[1]) + 1, 2, 0}
}

// eachRun calls f for the runs of a sparse sketch, whose registers are those of a
// sketch even if it then returns ErrCorrupt.
func eachRun(sketch []byte, f func(first, n int, rank byte)) error {
	first := 0
	for at := headerLen; at < len(sketch); {
		r := runAt(sketch[at:])
		if r.length == 0 || first+r.n > registerLen {
			return ErrCorrupt
		}
		f(first, r.n, r.rank)
		first += r.n
		at += r.length
	}
	if first != registerLen {
		return ErrCorrupt
	}
	return nil
}

// Runs spells out the runs of a sparse sketch, as far as they can be read: z for short
// runs of zeros, Z for long ones, v for others with their rank, each with its length.
func Runs(sketch []byte) string {
	var words []string
	for at := headerLen; at < len(sketch); {
		r := runAt(sketch[at:])
		switch {
		case r.length == 0:
			return strings.Join(words, " ")
		case r.rank > 0:
			words = append(words, fmt.Sprintf("v:%d,%d", r.rank, r.n))
		case r.length == 1:
			words = append(words, fmt.Sprintf("z:%d", r.n))
		default:
			words = append(words, fmt.Sprintf("Z:%d", r.n))
		}
		at += r.length
	}
	return strings.Join(words, " ")
}

// ToDense returns a sketch in the dense encoding.
func ToDense(sketch []byte) ([]byte, error) {
	if Dense(sketch) {
		return sketch, nil
	}
	dense := make([]byte, denseLen)
	copy(dense, sketch[:headerLen])
	dense[encodingAt] = encodeDense
	err := eachRun(sketch, func(first, n int, rank byte) {
		for i := first; i < first+n && rank > 0; i++ {
			setDense(dense[headerLen:], i, rank)
		}
	})
	return dense, err
}

// setSparse raises a register of a sparse sketch. It does what Redis does and not
// more, as the bytes are to be the same: the run of the register is split, at most
// some neighbours are joined, and what would get too long becomes dense.
func setSparse(sketch []byte, index int, rank byte) (result []byte, changed bool, err error) {
	if rank > sparseRank {
		return promote(sketch, index, rank)
	}
	before, at, first := headerLen, headerLen, 0 // the run before, the run, and its first register
	r := runAt(sketch[at:])
	for r.length > 0 && index >= first+r.n {
		before, first = at, first+r.n
		at += r.length
		r = runAt(sketch[at:])
	}
	switch {
	case r.length == 0:
		return nil, false, ErrCorrupt
	case r.rank >= rank:
		return sketch, false, nil
	}
	var room [5]byte
	split := room[:0]
	if n := index - first; n > 0 {
		split = r.append(split, n)
	}
	split = appendValue(split, rank, 1)
	if n := first + r.n - 1 - index; n > 0 {
		split = r.append(split, n)
	}
	grows := len(split) - r.length
	if grows > 0 && len(sketch)+grows > SparseLenMax {
		return promote(sketch, index, rank)
	}
	end := len(sketch)
	if grows > 0 {
		sketch = append(sketch, split[:grows]...)
	}
	copy(sketch[at+len(split):], sketch[at+r.length:end])
	copy(sketch[at:], split)
	sketch = join(sketch[:end+grows], before)
	Forget(sketch)
	return sketch, true, nil
}

// append appends n of the registers of the run.
func (r run) append(dst []byte, n int) []byte {
	if r.rank == 0 {
		return appendZeros(dst, n)
	}
	return appendValue(dst, r.rank, n)
}

func promote(sketch []byte, index int, rank byte) (result []byte, changed bool, err error) {
	if sketch, err = ToDense(sketch); err != nil {
		return nil, false, err
	}
	return sketch, setDense(sketch[headerLen:], index, rank), nil
}

// join makes one of neighbours of the same rank, from the run at on.
func join(sketch []byte, at int) []byte {
	for range runAhead {
		if at >= len(sketch) {
			break
		}
		r, next := runAt(sketch[at:]), run{}
		if r.rank == 0 {
			at += max(r.length, 1)
			continue
		}
		if next = runAt(sketch[at+1:]); next.rank == r.rank && r.n+next.n <= valuesMax {
			sketch = append(sketch[:at], sketch[at+1:]...)
			appendValue(sketch[:at], r.rank, r.n+next.n)
			continue
		}
		at++
	}
	return sketch
}
