package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/blob"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// VerifyTables reads all tables of the state, and the values beside them, from the disk,
// past the cache, and compares their checksums: what is served from memory may have rotted
// on the disk long ago. pause is called after some bytes were read and may wait; if it says
// false the rest is left out. The error is ErrDamaged if one differs.
func (s *State) VerifyTables(pause func(bytes int) bool) error {
	levels, err := s.db.SSTables()
	var blobs []string
	if err == nil {
		blobs, err = blobNames(s.db)
	}
	return verifyTables(s.cfg.FS, s.cfg.FS.PathJoin(s.cfg.Dir, "state"), levels, blobs, err, pause)
}

// VerifyTables is that of State for the tables of the log.
func (l *Log) VerifyTables(pause func(bytes int) bool) error {
	db, done := l.use()
	levels, err := db.SSTables()
	done() // reading them takes its time
	return verifyTables(l.cfg.FS, l.cfg.FS.PathJoin(l.cfg.Dir, "log"), levels, nil, err, pause)
}

func verifyTables(fs vfs.FS, dir string, levels [][]pebble.SSTableInfo, blobs []string, err error, pause func(bytes int) bool) error {
	if err != nil {
		return fmt.Errorf("list tables of %s: %w", dir, err)
	}
	var names []string // one file may back several tables
	for _, level := range levels {
		for _, t := range level {
			names = append(names, t.BackingSSTNum.String()+".sst")
		}
	}
	slices.Sort(names)
	for _, name := range append(slices.Compact(names), blobs...) {
		name, verify := fs.PathJoin(dir, name), verifyTable
		if strings.HasSuffix(name, ".blob") {
			verify = verifyBlob
		}
		switch err := verify(fs, name, pause); {
		case errors.Is(err, errEnough):
			return nil
		case errors.Is(err, os.ErrNotExist):
			// Compacted away meanwhile. If not, its reader will notice.
		case err != nil:
			return fmt.Errorf("verify %s: %w", name, damage(err))
		}
	}
	return nil
}

func verifyTable(fs vfs.FS, name string, pause func(bytes int) bool) error {
	readable, err := openPaced(fs, name, pause)
	if err != nil {
		return err
	}
	var opts pebble.Options
	opts.EnsureDefaults()
	r, err := sstable.NewReader(context.Background(), readable, opts.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// blobNames lists the blob files that the tables of a store refer to now.
func blobNames(db *pebble.DB) (names []string, err error) {
	for {
		// What Pebble has of them is valid while somebody reads; an iterator does, of the
		// tables that there are before and behind.
		v := db.DebugCurrentVersion()
		it, err := db.NewIter(nil)
		if err != nil {
			return nil, err
		}
		if db.DebugCurrentVersion() == v {
			for f := range v.BlobFiles.All() {
				names = append(names, f.Physical.FileNum.String()+".blob")
			}
			return names, it.Close()
		}
		if err := it.Close(); err != nil {
			return nil, err
		}
	}
}

// verifyBlob reads a blob file, and compares its checksums.
func verifyBlob(fs vfs.FS, name string, pause func(bytes int) bool) (err error) {
	readable, err := openPaced(fs, name, pause)
	if err != nil {
		return err
	}
	ctx := context.Background()
	r, err := blob.NewFileReader(ctx, readable, blob.FileReaderOptions{})
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	index, err := r.ReadIndexBlock(ctx, block.NoReadEnv, nil)
	if err != nil {
		return err
	}
	defer index.Release()
	for _, h := range blobBlocks(index.BlockData()) {
		values, err := r.ReadValueBlock(ctx, block.NoReadEnv, nil, h)
		if err != nil {
			return err
		}
		values.Release()
	}
	return nil
}

// blobBlocks returns where the blocks of a blob file lie, by its index: a header of four
// bytes, a column that is of no use here, and the offset of each block and of their end.
func blobBlocks(index []byte) (blocks []block.Handle) {
	var d colblk.BlockDecoder
	d.Init(index, 4)
	offsets := colblk.DecodeColumn(&d, 1, d.Rows()+1, colblk.DataTypeUint, colblk.DecodeUnsafeUints)
	for i := range d.Rows() {
		at, end := offsets.At(i), offsets.At(i+1)
		blocks = append(blocks, block.Handle{Offset: at, Length: end - at - block.TrailerLen})
	}
	return blocks
}

// openPaced opens a file whose reader lets others go first.
func openPaced(fs vfs.FS, name string, pause func(bytes int) bool) (objstorage.Readable, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(&pacedFile{File: f, pause: pause})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return readable, nil
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
