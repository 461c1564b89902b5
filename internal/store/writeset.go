package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

var be = binary.BigEndian

// castagnoli is CRC-32C, which amd64 and arm64 compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A WriteSet is what one raft entry does to the state: it advances the shard
// time and puts and deletes rows. Layout:
//
//	format:1 time:8 { klen<<1|delete:uvarint key [vlen:uvarint val] }
type WriteSet []byte

const (
	writeSetFormat = 1
	writeSetHead   = 9
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
func (w *WriteSet) Append(rows WriteSet) { *w = append(*w, rows[writeSetHead:]...) }

// Time returns the shard time that the write set carries.
func (w WriteSet) Time() int64 { return int64(be.Uint64(w[1:])) }

// Each calls put or del for every row, in the order in which they were added.
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
