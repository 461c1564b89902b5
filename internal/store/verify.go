package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// VerifyTables reads all tables of the state from the disk, past the cache, and
// compares their checksums: what is served from memory may have rotted on the
// disk long ago. pause is called after some bytes were read and may wait; if it
// says false the rest is left out. The error is ErrDamaged if one differs.
func (s *State) VerifyTables(pause func(bytes int) bool) error {
	levels, err := s.db.SSTables()
	return verifyTables(s.cfg.FS, s.cfg.FS.PathJoin(s.cfg.Dir, "state"), levels, err, pause)
}

// VerifyTables is that of State for the tables of the log.
func (l *Log) VerifyTables(pause func(bytes int) bool) error {
	db, done := l.use()
	levels, err := db.SSTables()
	done() // reading them takes its time
	return verifyTables(l.cfg.FS, l.cfg.FS.PathJoin(l.cfg.Dir, "log"), levels, err, pause)
}

func verifyTables(fs vfs.FS, dir string, levels [][]pebble.SSTableInfo, err error, pause func(bytes int) bool) error {
	if err != nil {
		return fmt.Errorf("list tables of %s: %w", dir, err)
	}
	var defaults pebble.Options
	defaults.EnsureDefaults()
	opts := defaults.MakeReaderOptions()
	seen := make(map[string]bool) // one file may back several tables
	for _, level := range levels {
		for _, t := range level {
			name := fs.PathJoin(dir, t.BackingSSTNum.String()+".sst")
			if seen[name] {
				continue
			}
			seen[name] = true
			switch err := verifyTable(fs, name, opts, pause); {
			case errors.Is(err, errEnough):
				return nil
			case errors.Is(err, os.ErrNotExist):
				// Compacted away meanwhile. If not, its reader will notice.
			case err != nil:
				return fmt.Errorf("verify %s: %w", name, damage(err))
			}
		}
	}
	return nil
}

func verifyTable(fs vfs.FS, name string, opts sstable.ReaderOptions, pause func(bytes int) bool) error {
	f, err := fs.Open(name)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(&pacedFile{File: f, pause: pause})
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, opts)
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// pacedFile is a file whose reader lets others go first.
type pacedFile struct {
	vfs.File
	pause func(bytes int) bool
}

func (f *pacedFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	if err == nil && !f.pause(n) {
		err = errEnough
	}
	return n, err
}
