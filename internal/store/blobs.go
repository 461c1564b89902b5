package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/blob"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
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
	virtual := int(binary.LittleEndian.Uint32(index))
	_ = colblk.DecodeColumn(&d, 0, virtual, colblk.DataTypeUint, colblk.DecodeUnsafeUints)
	offsets := colblk.DecodeColumn(&d, 1, d.Rows()+1, colblk.DataTypeUint, colblk.DecodeUnsafeUints)
	for i := range d.Rows() {
		at, end := offsets.At(i), offsets.At(i+1)
		blocks = append(blocks, block.Handle{Offset: at, Length: end - at - block.TrailerLen})
	}
	return blocks
}

// reading is an iterator that tells the node of damage which it meets: of tables Pebble does,
// of values beside them it does not.
type reading struct {
	*pebble.Iterator
	cfg *Config
}

// read walks over the rows from lower to before upper.
func read(cfg *Config, from pebble.Reader, lower, upper []byte) (reading, error) {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return reading{}, fmt.Errorf("read state: %w", damage(err))
	}
	return reading{it, cfg}, nil
}

// Value implements keyspace.Iterator. After an error the walk is over, and Close says why.
func (r reading) Value() []byte {
	value := r.Iterator.Value()
	if value == nil {
		noticed(r.cfg, r.Error())
	}
	return value
}

func (r reading) Close() error {
	err := r.Iterator.Close()
	noticed(r.cfg, err)
	return err
}

// noticed tells the node of damage that somebody has met, if err is that.
func noticed(cfg *Config, err error) {
	if err == nil {
		return
	}
	if err = damage(err); errors.Is(err, ErrDamaged) {
		cfg.Fatal(fmt.Errorf("state store: %w", err))
	}
}

// blobFile is a blob file that is written. Pebble 2.1.7 goes on with a file that it has
// closed if the end of one fails (pull request 6128 of cockroachdb/pebble), so that does not
// fail: it waits for room, and whatever else goes wrong ends the node, as it would without.
type blobFile struct {
	*spaceFile
	name string
}

// blobTail is what Pebble gathers until it writes: less comes at the end of a file only.
const blobTail = 4096

func (f blobFile) Write(p []byte) (int, error) {
	if len(p) >= blobTail {
		return f.spaceFile.Write(p)
	}
	_, err := f.insist(p)
	return len(p), f.ends(err)
}

func (f blobFile) Sync() error     { return f.ends(f.spaceFile.Sync()) }
func (f blobFile) SyncData() error { return f.ends(f.spaceFile.SyncData()) }

func (f blobFile) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = f.spaceFile.SyncTo(length)
	return fullSync, f.ends(err)
}

// Preallocate is a wish.
func (f blobFile) Preallocate(offset, length int64) error {
	_ = f.spaceFile.Preallocate(offset, length)
	return nil
}

// Close says nothing of what was synced before.
func (f blobFile) Close() error {
	_ = f.spaceFile.Close()
	return nil
}

// ends ends the node if err is one. Should that return, as it does where many nodes share a
// process, no table is synced until Pebble has removed the file: hence none refers to it.
func (f blobFile) ends(err error) error {
	if err != nil {
		f.space.broken.add(f.name, err)
		f.space.cfg.Fatal(fmt.Errorf("write values of the state store: %w", err))
	}
	return nil
}

// brokenBlobs are blob files that Pebble takes for written, and that are not.
type brokenBlobs struct {
	mu    sync.Mutex
	names map[string]error
}

func (b *brokenBlobs) add(name string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.names == nil {
		b.names = make(map[string]error)
	}
	b.names[name] = err
}

func (b *brokenBlobs) forget(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.names, name)
}

// any returns what has gone wrong with one of them, nil if there is none.
func (b *brokenBlobs) any() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, err := range b.names {
		return err
	}
	return nil
}
