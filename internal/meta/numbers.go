package meta

import (
	"fmt"

	"tutti/internal/cluster"
)

// The rows that hold nothing but numbers.

// numbersVersion is the first byte of such a row.
const numbersVersion = 1

func encodeNumbers(numbers ...uint64) []byte {
	b := []byte{numbersVersion}
	for _, n := range numbers {
		b = be.AppendUint64(b, n)
	}
	return b
}

// decodeNumbers reads a row of so many numbers as there is room for.
func decodeNumbers(val []byte, numbers ...*uint64) error {
	switch {
	case len(val) > 0 && val[0] > numbersVersion:
		return fmt.Errorf("version %d, this node reads %d: %w", val[0], numbersVersion, cluster.ErrVersion)
	case len(val) != 1+8*len(numbers) || val[0] != numbersVersion:
		return fmt.Errorf("%d bytes, want %d: %w", len(val), 1+8*len(numbers), cluster.ErrMap)
	}
	for i, n := range numbers {
		*n = be.Uint64(val[1+8*i:])
	}
	return nil
}
