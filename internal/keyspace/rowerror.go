package keyspace

import (
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Format is the newest format of rows that this version reads and writes. The
// number of a format is that of the cluster version from which on it may be
// written: as long as a member knows less, nobody writes it.
const Format = 8

// What a RowError may be.
var (
	// ErrMalformed says that a row holds what no version of this program writes.
	ErrMalformed = errors.New("malformed row")
	// ErrLater says that a row has a format that only a later version knows. It is
	// no damage: whoever wrote it can read it.
	ErrLater = errors.New("row of a later format")
)

// RowError says that a row can't be read. It concerns the key of the row alone:
// the command that met it fails, and nothing else does. Whether the row differs
// from that of the other replicas, so that this node's data must be made anew, is
// for the scrub to find out.
type RowError struct {
	Key    []byte // nil: a row of a whole slot or shard
	What   string // what of the row, and what is wrong
	Format byte   // that the row needs; 0: it is malformed
	sum    uint64 // of the row
}

// Error names the key and what is wrong.
func (e *RowError) Error() string {
	what := e.What
	if e.Key != nil {
		what = fmt.Sprintf("key %.100q: %s", e.Key, e.What)
	}
	if e.Format != 0 {
		return fmt.Sprintf("%v: %s needs format %d, this version knows %d", ErrLater, what, e.Format, Format)
	}
	return fmt.Sprintf("%v: %s", ErrMalformed, what)
}

// Unwrap returns ErrLater or ErrMalformed.
func (e *RowError) Unwrap() error {
	if e.Format != 0 {
		return ErrLater
	}
	return ErrMalformed
}

// damaged refuses the object: what its rows hold can't be trusted.
func (o *Object) damaged(format string, args ...any) bool {
	o.tx.refuse(malformed(o.Key, format, args...))
	return false
}

func malformed(key []byte, format string, args ...any) *RowError {
	return &RowError{Key: key, What: fmt.Sprintf(format, args...)}
}

// load decodes an object row and all that lies in it; if it can't, the
// transaction refuses the key.
func (o *Object) load(row []byte) bool {
	err := o.decode(row)
	if err == nil && !o.rowed {
		err = o.decodeItems()
	}
	if err != nil {
		err.sum = xxhash.Sum64(row)
		o.tx.refuse(err)
	}
	return err == nil
}

// unknownRow tells what a first byte is that this version does not write: the
// format behind it says whether a later one does.
func unknownRow(key, row []byte, what string) *RowError {
	if len(row) > 1 && row[1] > Format {
		return &RowError{Key: key, What: what, Format: row[1]}
	}
	return &RowError{Key: key, What: fmt.Sprintf("%s %#x", what, row[0])}
}
