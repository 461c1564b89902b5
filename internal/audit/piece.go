package audit

import (
	"encoding/binary"
	"errors"

	"github.com/cespare/xxhash/v2"

	"tutti/internal/store"
)

// ErrStopped says that the hashing of a piece was stopped.
var ErrStopped = errors.New("stopped")

// HashPiece hashes about size bytes of the rows of a view, from the row from on,
// and returns where the next piece begins; nil: that was the last. pause is told
// of the bytes read, so that others get their turn; if it says false the hashing
// is stopped.
func HashPiece(v *store.View, from []byte, size int, pause func(bytes int) bool) (hash uint64, next []byte, err error) {
	var d xxhash.Digest
	d.Reset()
	var head [2 * binary.MaxVarintLen64]byte
	next, err = v.Piece(v.Owned.Slots, from, size, func(row, val []byte) error {
		h := binary.AppendUvarint(head[:0], uint64(len(row)))
		_, _ = d.Write(binary.AppendUvarint(h, uint64(len(val))))
		_, _ = d.Write(row)
		_, _ = d.Write(val)
		if !pause(len(row) + len(val)) {
			return ErrStopped
		}
		return nil
	})
	return d.Sum64(), next, err
}
