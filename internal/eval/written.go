package eval

import (
	"fmt"
	"slices"

	"tutti/internal/keyspace"
	"tutti/internal/store"
	"tutti/internal/waiter"
)

// Written is what an entry has done, for those who keep values of keys. What it refers
// to lies in the entry.
type Written struct {
	Keys [][]byte // whose objects were put or deleted
	// Renamed says that logical databases are others than before.
	Renamed bool
	// Served is the commands that have waited and are served by the entry.
	Served []waiter.ID
}

// ReadWritten finds out what an entry has done, whose rows each goes through: see
// store.Effects. dbs are the databases before. Rows of
// those that were flushed, which nobody reads any more, do not count.
func ReadWritten(each func(put func(row, val []byte) error, del func(row []byte) error) error, dbs *keyspace.Databases) (w Written, err error) {
	note := func(row []byte) (is bool) {
		key, pdb, is := keyspace.ObjectKey(row)
		if is && !slices.Contains(dbs.Trash(), pdb) {
			w.Keys = append(w.Keys, key)
		}
		return is
	}
	err = each(
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
			case kind == 'w' && len(key) == 16:
				w.Served = append(w.Served, waiter.ID{Session: be.Uint64(key), Seq: be.Uint64(key[8:])})
			}
			return nil
		},
		func(row []byte) error {
			note(row)
			return nil
		})
	if err != nil {
		err = fmt.Errorf("what an entry has written: %w", err)
	}
	return w, err
}
