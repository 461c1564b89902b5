package eval

import (
	"encoding/binary"
	"fmt"
	"slices"

	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// Written is what an entry has done, for those who keep values of keys. What it refers
// to lies in the entry.
type Written struct {
	Keys [][]byte // whose objects were put or deleted
	// Renamed says that logical databases are others than before.
	Renamed bool
	// Session and Seq are those of the group that alone has made the entry. Zero: there
	// are several, or nobody has that waits for an answer.
	Session, Seq uint64
}

// ReadWritten finds out what an entry has done. dbs are the databases before. Rows of
// those that were flushed, which nobody reads any more, do not count.
func ReadWritten(data []byte, dbs *keyspace.Databases) (w Written, err error) {
	authors := 0
	note := func(row []byte) (is bool) {
		key, pdb, is := keyspace.ObjectKey(row)
		if is && !slices.Contains(dbs.Trash(), pdb) {
			w.Keys = append(w.Keys, key)
		}
		return is
	}
	err = store.WriteSet(data).Each(
		func(row, val []byte) error {
			if note(row) {
				return nil
			}
			kind, key, local := store.LocalKey(row)
			switch {
			case !local:
			case kind == 'b':
				now, err := keyspace.DecodeDatabases(val)
				w.Renamed = err == nil && !now.SameAs(dbs)
				return err
			case kind == 'w':
				authors += 2 // who was served has changed something too
			case kind == 'r' && len(key) == 16:
				w.Session = binary.BigEndian.Uint64(key)
				return eachRecorded(val, func(seq uint64, _ []byte) { w.Seq, authors = seq, authors+1 })
			}
			return nil
		},
		func(row []byte) error {
			note(row)
			return nil
		})
	if authors != 1 {
		w.Session, w.Seq = 0, 0
	}
	if err != nil {
		err = fmt.Errorf("what an entry has written: %w", err)
	}
	return w, err
}
