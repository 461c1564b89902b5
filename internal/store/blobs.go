package store

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
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
	blobGarbage = 0.5
	blobAge     = 10 * time.Second
	// blobDepth is how many blob files a part of a table may refer to: as many as the
	// tables of the first level have on top of each other, see L0StopWritesThreshold.
	blobDepth = 64
)

// separate has large values of a store lie in blob files.
func (c *Config) separate(o *pebble.Options) {
	least := blobLeast
	if c.MemtableBytes > 0 { // as small
		least = int(min(blobLeast, max(c.MemtableBytes>>12, 32)))
	}
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: least, MaxBlobReferenceDepth: blobDepth,
			RewriteMinimumAge: blobAge, TargetGarbageRatio: blobGarbage}
	}
}
