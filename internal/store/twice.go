package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/durable"
)

// A small file that nobody else has is kept in two copies, NAME and NAME.2, so
// that one flipped bit never ends a node. Each begins with a line of text that
// people and tools can skip; what follows is the file's own:
//
//	tutti NAME, version V, write N, CRC-32C XXXXXXXX
//
// The checksum is that of name, version, write and body, so a copy that was put
// in another file's place is a damaged one. Writes are counted: both copies are
// durable before WriteTwice returns, so if only one of two good copies has the
// last write, nobody has relied on it yet, and either would do; the newer one
// is taken, and written again. Nobody but the owner of the folder may read them:
// one holds what passwords are compared with.

// Twice is a small file as it was read.
type Twice struct {
	Version uint32 // of the body's format
	Body    []byte
	// Worn says that one of the copies is damaged, missing or older: it should
	// be written again before anybody relies on what was read, see MendTwice.
	Worn bool
}

// LostError says that no copy of a small file is good, although at least one is
// there. What it means is for the file's owner to say, so it is not ErrDamaged.
type LostError struct {
	Name string // with its folder
}

// Error names the file.
func (e *LostError) Error() string { return fmt.Sprintf("both copies of %s are damaged", e.Name) }

const (
	secondCopy = ".2"
	twiceLine  = "tutti %s, version %d, write %d, CRC-32C %08x\n"
	// twiceMax is more than any small file has.
	twiceMax = 16 << 20
)

// WriteTwice replaces a small file by version and body, durably in both copies.
// Only the owner of the folder's lock may write, one at a time for each file.
func WriteTwice(fs vfs.FS, dir, name string, version uint32, body []byte) error {
	if len(body) > twiceMax {
		return fmt.Errorf("write %s: %d bytes are too many", fs.PathJoin(dir, name), len(body))
	}
	copies := readCopies(fs, dir, name)
	write := max(copies[0].write, copies[1].write) + 1
	// The bad or older one first: at every moment one copy is good.
	order := []int{0, 1}
	if copies[1].err != nil || copies[0].err == nil && copies[1].write < copies[0].write {
		order = []int{1, 0}
	}
	data := encodeTwice(name, version, write, body)
	for _, i := range order {
		// Replace leaves its argument alone, a file system of a test may not.
		if err := durable.Replace(fs, copyName(fs, dir, name, i), bytes.Clone(data), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// ReadTwice reads a small file and changes nothing. newest is the newest version
// of its body that the caller knows. The error is os.ErrNotExist if there is no
// copy, a LostError if none is good, and cluster.ErrVersion if a later version
// has written the file: that is not damaged.
func ReadTwice(fs vfs.FS, dir, name string, newest uint32) (Twice, error) {
	copies := readCopies(fs, dir, name)
	a, b := copies[0], copies[1]
	path := fs.PathJoin(dir, name)
	best := a
	switch {
	case a.err != nil && b.err != nil:
		return Twice{}, noCopy(path, a.err, b.err)
	case a.err != nil, b.err == nil && b.write > a.write:
		best = b
	}
	if best.version > newest {
		return Twice{}, fmt.Errorf("%s has version %d, this tutti reads it up to version %d: %w", path, best.version, newest, cluster.ErrVersion)
	}
	return Twice{best.version, best.body, a.err != nil || b.err != nil || a.write != b.write}, nil
}

// noCopy is what ReadTwice says of a file without a good copy.
func noCopy(path string, a, b error) error {
	for _, err := range []error{a, b} {
		if !errors.Is(err, errCopy) && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("read %s: %w", path, err) // the disk does not answer: what lies there may be good
		}
	}
	if !errors.Is(a, errCopy) && !errors.Is(b, errCopy) {
		return fmt.Errorf("read %s: %w", path, a)
	}
	return &LostError{path}
}

// MendTwice is ReadTwice for the owner of the file: a copy that is not as it
// should be is written again before it returns, and one that others may read is
// closed to them: earlier versions left the mode to the process.
func MendTwice(fs vfs.FS, dir, name string, newest uint32) (Twice, error) {
	t, err := ReadTwice(fs, dir, name, newest)
	if err == nil && t.Worn {
		err = WriteTwice(fs, dir, name, t.Version, t.Body)
	}
	for i := range 2 {
		if err == nil {
			err = durable.Shut(fs, copyName(fs, dir, name, i))
		}
	}
	return t, err
}

// RemoveTwice removes a small file, durably.
func RemoveTwice(fs vfs.FS, dir, name string) error {
	for i := range 2 {
		if err := fs.Remove(copyName(fs, dir, name, i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return durable.SyncDir(fs, dir)
}

// HasTwice reports whether there is a copy of a small file, good or not.
func HasTwice(fs vfs.FS, dir, name string) bool {
	for i := range 2 {
		if _, err := fs.Stat(copyName(fs, dir, name, i)); err == nil {
			return true
		}
	}
	return false
}

func copyName(fs vfs.FS, dir, name string, i int) string {
	return fs.PathJoin(dir, name+[...]string{"", secondCopy}[i])
}

// errCopy says that a copy is not what was written.
var errCopy = errors.New("it is not what was written")

// fileCopy is one of the copies of a small file.
type fileCopy struct {
	version uint32
	write   uint64
	body    []byte
	err     error // os.ErrNotExist, errCopy, or that of the disk
}

func readCopies(fs vfs.FS, dir, name string) (copies [2]fileCopy) {
	for i := range copies {
		b, err := readFile(fs, copyName(fs, dir, name, i))
		if err == nil {
			copies[i], err = decodeTwice(name, b)
		}
		if err != nil {
			copies[i].err = err
		}
	}
	return copies
}

func encodeTwice(name string, version uint32, write uint64, body []byte) []byte {
	return append(fmt.Appendf(nil, twiceLine, name, version, write, twiceSum(name, version, write, body)), body...)
}

// decodeTwice takes exactly what encodeTwice returns.
func decodeTwice(name string, b []byte) (fileCopy, error) {
	line, body, _ := bytes.Cut(b, []byte("\n"))
	var c fileCopy
	if _, err := fmt.Sscanf(string(line), "tutti "+name+", version %d, write %d,", &c.version, &c.write); err != nil {
		return fileCopy{}, errCopy
	}
	// So the checksum is compared, and every byte of the line.
	if !bytes.Equal(encodeTwice(name, c.version, c.write, body), b) {
		return fileCopy{}, errCopy
	}
	c.body = body
	return c, nil
}

func twiceSum(name string, version uint32, write uint64, body []byte) uint32 {
	head := fmt.Appendf(nil, "%s %d %d\n", name, version, write)
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body)
}
