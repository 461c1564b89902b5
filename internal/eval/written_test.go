package eval

import (
	"testing"

	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// Which databases there are is in a row that is also written for other reasons: only
// where they are others than before everything was renamed.
func TestRenamedDatabases(t *testing.T) {
	before := keyspace.NewDatabases().Flush(3)
	for _, c := range []struct {
		what string
		now  *keyspace.Databases
		want bool
	}{
		{"as before", before, false},
		{"what was flushed is purged", before.Purged(before.Trash()[0]), false},
		{"flushed", before.Flush(0), true},
		{"swapped", before.Swap(0, 1), true},
	} {
		b := store.NewWriteSet(1, 0)
		b.Put(store.DatabasesRow(1), c.now.Encode())
		w, err := ReadWritten(b.Each, before)
		if err != nil || w.Renamed != c.want {
			t.Errorf("%s: renamed %t, %v", c.what, w.Renamed, err)
		}
	}
}
