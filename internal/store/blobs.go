package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/blob"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Large values of the state lie beside its tables, in blob files: a flush writes them once,
// and what merges tables later moves references. With parts of 64 KiB in the tables a value
// was written 1.7 times behind the log, and merging took a quarter of the processor time
// of SETs of 1 MiB (docs/RATIONALE.md). A blob file goes when nothing in it is referred to,
// and is written again without what is not when that is most of it.

const (
	// blobLeast is how large a value is that lies in a blob file: a read of it is two, of
	// the table and of the file.
	blobLeast = 16 << 10
	// blobGarbage is the part of the blob files that nobody refers to before some are
	// written again, blobAge how old those are: what is overwritten all the time goes
	// sooner without.
	blobGarbage  = 0.5
	blobAge      = 10 * time.Second
	blobAgeSmall = time.Hour
	// blobDepth is how many blob files a part of a table may refer to: as many as the
	// tables of the first level have on top of each other, see L0StopWritesThreshold.
	blobDepth = 64
)

// blobsFS opens only blob files that are whole at their end. Pebble 2.1.7 panics when it
// opens one that is not, on whichever goroutine that is (findOrCreateBlob of its file_cache.go
// reports damage without saying of what), and does so after every start.
type blobsFS struct {
	vfs.FS
	fatal func(error)
}

// Unwrap implements vfs.FS.
func (fs *blobsFS) Unwrap() vfs.FS { return fs.FS }

// Open implements vfs.FS. The node is told of damage here; what Pebble is told is none to it.
func (fs *blobsFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, opts...)
	if err != nil || !strings.HasSuffix(name, ".blob") {
		return f, err
	}
	err = blobEnds(f)
	if err == nil {
		return f, nil
	}
	if pebble.IsCorruptionError(err) {
		err = fmt.Errorf("%w: %s: %s", ErrDamaged, name, err) //nolint:errorlint // whatever Pebble knows of it
		fs.fatal(fmt.Errorf("state store: %w", err))
	}
	return nil, errors.Join(err, f.Close())
}

// blobEnds reads what a blob file has at its end.
func blobEnds(f vfs.File) error {
	readable, err := sstable.NewSimpleReadable(unclosed{f})
	if err != nil {
		return err
	}
	r, err := blob.NewFileReader(context.Background(), readable, blob.FileReaderOptions{})
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return r.Close()
}

// unclosed is a file that others go on with.
type unclosed struct{ vfs.File }

func (unclosed) Close() error { return nil }

// separate has large values of a store lie in blob files.
func (c *Config) separate(o *pebble.Options) {
	o.FS = &blobsFS{o.FS, c.Fatal}
	least, age := blobLeast, blobAge
	if c.MemtableBytes > 0 { // as small
		least = int(min(blobLeast, max(c.MemtableBytes>>12, 32)))
		// A goroutine of Pebble 2.1.7 stays when it meets damage while it writes a file
		// again (Rewrite of its blob_rewrite.go). A process ends then; a simulation has many
		// nodes in one, and waits for it.
		age = blobAgeSmall
	}
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: least, MaxBlobReferenceDepth: blobDepth,
			RewriteMinimumAge: age, TargetGarbageRatio: blobGarbage}
	}
}
