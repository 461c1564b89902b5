package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
)

var be = binary.BigEndian

// castagnoli is CRC-32C, which amd64 and arm64 compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A WriteSet is what one raft entry does to the state: it advances the shard
// time and puts and deletes rows. Layout:
//
//	format:1=1 time:8 { klen<<1|delete:uvarint key [vlen:uvarint val] }
//
// The rows of one that comes in pieces (pieces.go) begin in those, whose xxhash64 it has:
//
//	format:1=2 time:8 pieces:4 hash:8 rest of the rows
type WriteSet []byte

const (
	writeSetFormat = 1
	writeSetHead   = 9
	joinedFormat   = 2
	joinedHead     = writeSetHead + 12
)

// ErrFormat says that bytes on disk or from a peer have a form that this
// version does not know.
var ErrFormat = errors.New("unknown format")

// NewWriteSet starts a write set that advances the shard time to time
// (milliseconds), with room for size bytes of rows.
func NewWriteSet(time int64, size int) WriteSet {
	w := make(WriteSet, 0, writeSetHead+size+size/16+64)
	return WriteSet(be.AppendUint64(append(w, writeSetFormat), uint64(time)))
}

// NewJoined starts a write set that advances the shard time to time, whose first n pieces
// are the first bytes of rows, another write set without its head: what is behind them is
// in it, and there is room for size bytes more.
func NewJoined(time int64, n int, rows []byte, inPieces, size int) WriteSet {
	w := make(WriteSet, 0, joinedHead+len(rows)-inPieces+size+64)
	w = WriteSet(be.AppendUint64(append(w, joinedFormat), uint64(time)))
	w = be.AppendUint64(be.AppendUint32(w, uint32(n)), xxhash.Sum64(rows[:inPieces]))
	return append(w, rows[inPieces:]...)
}

// Rows returns what follows the head of a write set that does not come in pieces.
func (w WriteSet) Rows() []byte { return w[writeSetHead:] }

// joined says how many pieces come before what is in the write set, what their hash is, and
// what that is; 0: it is whole.
func (w WriteSet) joined() (n int, sum uint64, rest []byte, err error) {
	if len(w) == 0 || w[0] != joinedFormat {
		return 0, 0, nil, nil
	}
	if len(w) < joinedHead || be.Uint32(w[writeSetHead:]) == 0 {
		return 0, 0, nil, fmt.Errorf("write set in pieces, of %d bytes: %w", len(w), ErrFormat)
	}
	return int(be.Uint32(w[writeSetHead:])), be.Uint64(w[writeSetHead+4:]), w[joinedHead:], nil
}

// Put adds a row.
func (w *WriteSet) Put(row, val []byte) {
	b := binary.AppendUvarint(*w, uint64(len(row))<<1)
	b = append(b, row...)
	b = binary.AppendUvarint(b, uint64(len(val)))
	*w = append(b, val...)
}

// Delete adds the removal of a row.
func (w *WriteSet) Delete(row []byte) {
	b := binary.AppendUvarint(*w, uint64(len(row))<<1|1)
	*w = append(b, row...)
}

// Append adds the rows of another write set, whose time does not count.
func (w *WriteSet) Append(rows WriteSet) { *w = append(*w, rows.Rows()...) }

// Time returns the shard time that the write set carries.
func (w WriteSet) Time() int64 { return int64(be.Uint64(w[1:])) }

// Each calls put or del for every row, in the order in which they were added. One that
// comes in pieces has to be joined before.
func (w WriteSet) Each(put func(row, val []byte) error, del func(row []byte) error) error {
	if len(w) < writeSetHead || w[0] != writeSetFormat {
		return fmt.Errorf("write set of %d bytes: %w", len(w), ErrFormat)
	}
	for b := w[writeSetHead:]; len(b) > 0; {
		head, n := binary.Uvarint(b)
		if n <= 0 || head>>1 > uint64(len(b)-n) {
			return fmt.Errorf("write set: row at byte %d: %w", len(w)-len(b), ErrFormat)
		}
		b = b[n:]
		row := b[:head>>1]
		b = b[head>>1:]
		if head&1 != 0 {
			if err := del(row); err != nil {
				return err
			}
			continue
		}
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return fmt.Errorf("write set: value at byte %d: %w", len(w)-len(b), ErrFormat)
		}
		if err := put(row, b[n:n+int(size)]); err != nil {
			return err
		}
		b = b[n+int(size):]
	}
	return nil
}
