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

// NewJoined starts a write set that advances the shard time to time, whose rows begin in n
// pieces with the hash sum: rest is what is behind them, and there is room for size bytes
// more.
func NewJoined(time int64, n int, sum uint64, rest []byte, size int) WriteSet {
	w := make(WriteSet, 0, joinedHead+len(rest)+size+64)
	w = WriteSet(be.AppendUint64(append(w, joinedFormat), uint64(time)))
	w = be.AppendUint64(be.AppendUint32(w, uint32(n)), sum)
	return append(w, rest...)
}

// Rows returns what follows the head of a write set that does not come in pieces.
func (w WriteSet) Rows() []byte { return w[writeSetHead:] }

// parts returns the rows that are in a write set, and how many pieces come before them, with
// which hash; 0: it is whole.
func (w WriteSet) parts() (rows []byte, n int, sum uint64, err error) {
	switch {
	case len(w) >= writeSetHead && w[0] == writeSetFormat:
		return w[writeSetHead:], 0, 0, nil
	case len(w) >= joinedHead && w[0] == joinedFormat && be.Uint32(w[writeSetHead:]) > 0:
		return w[joinedHead:], int(be.Uint32(w[writeSetHead:])), be.Uint64(w[writeSetHead+4:]), nil
	}
	return nil, 0, 0, fmt.Errorf("write set of %d bytes: %w", len(w), ErrFormat)
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
// comes in pieces is an error: without them it is not whole, see Effects.
func (w WriteSet) Each(put func(row, val []byte) error, del func(row []byte) error) error {
	rows, n, _, err := w.parts()
	if err == nil && n > 0 {
		err = fmt.Errorf("write set of which %d pieces are missing: %w", n, ErrFormat)
	}
	if err != nil {
		return err
	}
	return eachRow(rows, put, del)
}

// eachRow calls put or del for every row of a write set.
func eachRow(rows []byte, put func(row, val []byte) error, del func(row []byte) error) error {
	for b := rows; len(b) > 0; {
		row, val, size, err := nextRow(b)
		switch {
		case err == nil && size > len(b):
			err = ErrFormat
		case err == nil && val == nil:
			err = del(row)
		case err == nil:
			err = put(row, val)
		}
		if err != nil {
			return fmt.Errorf("write set: row at byte %d: %w", len(rows)-len(b), err)
		}
		b = b[size:]
	}
	return nil
}

// rowMost is more than any row and any value has.
const rowMost = 1 << 31

// nextRow reads the first row of b and its value, nil if it is deleted, and returns how many
// bytes they take. If b has fewer there are neither, and it takes as many at least.
func nextRow(b []byte) (row, val []byte, size int, err error) {
	head, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return nil, nil, len(b) + 1, nil
	case n < 0, head>>1 > rowMost:
		return nil, nil, 0, ErrFormat
	}
	at, end := n, n+int(head>>1)
	if gone := head&1 != 0; gone || end >= len(b) {
		if gone && end <= len(b) {
			row = b[at:end:end]
		}
		if !gone {
			end++ // how long the value is
		}
		return row, nil, end, nil
	}
	length, n := binary.Uvarint(b[end:])
	switch {
	case n == 0:
		return nil, nil, len(b) + 1, nil
	case n < 0, length > rowMost:
		return nil, nil, 0, ErrFormat
	}
	from := end + n
	to := from + int(length)
	if to > len(b) {
		return nil, nil, to, nil
	}
	return b[at:end:end], b[from:to:to], to, nil
}
