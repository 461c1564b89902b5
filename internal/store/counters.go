package store

import (
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
)

// Counters is what a node must never count twice: its starts, the ids of
// objects it makes, and how often its data was made anew. File "counters":
// crc:4 incarnation:8 ids:8 generation:8, replaced as a whole; a file without
// the generation is of the first one.
type Counters struct {
	fs    vfs.FS
	dir   string
	fatal func(error)

	// Incarnation is the number of starts, this one included.
	Incarnation uint64
	// Generation counts how often the data of the node was set aside and made
	// anew, see Mark. It is part of the ids of the node's replicas.
	Generation uint64

	mu    sync.Mutex // guards what follows
	node  cluster.NodeID
	next  uint64 // next id's counter
	limit uint64 // reserved on disk up to here
}

// idBlock is how many ids are reserved at once: one fsync for a million of them.
const idBlock = 1 << 20

const (
	idCounterBits = 48
	// incarnationMax is what fits into the ids of sessions and rounds of reads.
	incarnationMax = 1<<32 - 1
)

// OpenCounters counts a start, durably. create makes the file of a new node;
// otherwise a missing file is an error: whoever lost it lost more.
func OpenCounters(cfg Config, node cluster.NodeID, create bool) (*Counters, error) {
	cfg.fill()
	c := &Counters{fs: cfg.FS, dir: cfg.Dir, fatal: cfg.Fatal, node: node}
	name := c.fs.PathJoin(c.dir, "counters")
	if !create {
		if err := c.load(name); err != nil {
			return nil, fmt.Errorf("read %s: %w. Nobody else knows these numbers, and a node must not invent them; replace the node by a new one", name, err)
		}
		c.Incarnation++
	}
	c.next = c.limit
	c.limit += idBlock
	if err := c.save(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Counters) load(name string) error {
	b, err := readFile(c.fs, name)
	if err != nil {
		return err
	}
	if first, err := unseal(b, 16); err == nil {
		b = be.AppendUint64(first, 0)
	} else if b, err = unseal(b, 24); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	c.Incarnation, c.limit, c.Generation = be.Uint64(b), be.Uint64(b[8:]), be.Uint64(b[16:])
	if c.Incarnation >= incarnationMax || c.limit >= 1<<idCounterBits-idBlock {
		return fmt.Errorf("start %d, id %d: %w", c.Incarnation, c.limit, ErrFormat)
	}
	return nil
}

// RaiseGeneration makes generation, if it is higher, the node's one, durably.
// It is called before anything else uses the counters.
func (c *Counters) RaiseGeneration(generation uint64) error {
	if generation <= c.Generation {
		return nil
	}
	c.Generation = generation
	return c.save()
}

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (c *Counters) save() error {
	body := be.AppendUint64(be.AppendUint64(nil, c.Incarnation), c.limit)
	body = be.AppendUint64(body, c.Generation)
	return WriteFile(c.fs, c.fs.PathJoin(c.dir, "counters"), sealed(body))
}

// WriteFile replaces a file as a whole, durably.
func WriteFile(fs vfs.FS, name string, data []byte) error {
	tmp := name + ".new"
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create %s: %w", tmp, err)
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.Rename(tmp, name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return syncDir(fs, fs.PathDir(name))
}

// NewID returns an object id that no node ever returned before: node:16
// counter:48. It is safe for concurrent use.
func (c *Counters) NewID() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == c.limit {
		err := fmt.Errorf("node %d has made all its object ids", c.node)
		if c.limit += idBlock; c.limit < 1<<idCounterBits {
			err = c.save()
		}
		if err != nil {
			c.fatal(err)
		}
	}
	c.next++
	return uint64(c.node)<<idCounterBits | c.next
}
