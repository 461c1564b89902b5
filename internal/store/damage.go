package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/durable"
)

// ErrDamaged says that the stored data lacks or garbles what had been made
// durable: the replicas on it must neither vote nor serve any more. All shards
// of a node share the stores, so it concerns all of them.
var ErrDamaged = errors.New("the stored data is damaged")

// damage marks errors that tell of damaged files.
func damage(err error) error {
	if err == nil || errors.Is(err, ErrDamaged) || ofDevice(err) {
		return err
	}
	// A store whose folder exists does not lose files by itself.
	if pebble.IsCorruptionError(err) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// ofDevice reports whether err tells of a disk that does not answer or may not
// be used: what lies there may be good.
func ofDevice(err error) bool {
	errno := syscall.Errno(0)
	return errors.As(err, &errno) && errno != syscall.ENOENT
}

// openPebble opens a store or makes it. What it can't read is damaged, unless
// another version wrote it: that stands in the name of a file, which no flipped
// bit changes. The folder is the owner's alone: in it are the keys of the authorities,
// and what users keep.
func openPebble(dir string, opts *pebble.Options) (*pebble.DB, error) {
	if err := durable.MakePrivate(opts.FS, dir); err != nil {
		return nil, err
	}
	if _, err := pebble.Peek(dir, opts.FS); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	db, err := pebble.Open(dir, opts)
	if err != nil && !ofDevice(err) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return db, err
}

// A damaged node is rebuilt in steps, each of which may be interrupted: the
// file "damaged" is written (Mark), the node's generation is raised, the stores
// are set aside in the folder damaged-N (SetAside), empty ones are made, and
// the file is removed (Unmark). As long as the file is there nothing of the
// node's data is used. Data that is good, but that the other nodes went on
// without, takes the same way into the folder kept-N, which nobody removes but
// a person.

// Mark is the content of the file "damaged": JSON, in two copies (see twice.go), of
// version 1, or of version 2 where Keep is true: a tutti that knows no Keep would remove
// what was set aside.
type Mark struct {
	// Generation is what the node's generation must be raised to; the data
	// belongs to the one before.
	Generation uint64 `json:"generation"`
	Why        string `json:"why"`
	// Keep says that the data may hold what is nowhere else.
	Keep bool `json:"keep,omitempty"`
}

const (
	markFile    = "damaged"
	markVersion = 1
	keepVersion = 2
	whyFile     = "why"
	aside       = "damaged-"
	kept        = "kept-"
)

// data is what is set aside.
var data = [...]string{"log", "state", "vow"}

// Mark makes durable that the data of this node is damaged, unless that is
// known already.
func (c *Counters) Mark(why error) error {
	_, ok, err := ReadMark(c.fs, c.dir)
	if _, lost := errors.AsType[*LostError](err); ok || err != nil && !lost {
		return err
	}
	return Mark{Generation: c.Generation + 1, Why: why.Error()}.write(c.fs, c.dir)
}

// MarkKept makes durable that the other nodes went on without what this node's data
// holds: it is made anew from theirs, and this data is kept until a person removes it.
func (c *Counters) MarkKept(why error) error {
	return Mark{Generation: c.Generation + 1, Why: why.Error(), Keep: true}.write(c.fs, c.dir)
}

// Marked is ReadMark for the owner of the folder. A mark that can't be read is
// one all the same, and is written anew: the generation may then be raised twice
// for one damage, which is harmless.
func (c *Counters) Marked() (m Mark, ok bool, err error) {
	m, ok, err = ReadMark(c.fs, c.dir)
	if lost, of := errors.AsType[*LostError](err); of {
		if err := c.Mark(lost); err != nil {
			return m, false, err
		}
		return ReadMark(c.fs, c.dir)
	}
	return m, ok, err
}

func (m Mark) write(fs vfs.FS, dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	version := uint32(markVersion)
	if m.Keep {
		version = keepVersion
	}
	return WriteTwice(fs, dir, markFile, version, append(b, '\n'))
}

// ReadMark reads the mark of the node in dir; ok is false if there is none.
func ReadMark(fs vfs.FS, dir string) (m Mark, ok bool, err error) {
	t, err := ReadTwice(fs, dir, markFile, keepVersion)
	if errors.Is(err, os.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	if err = json.Unmarshal(t.Body, &m); err == nil && m.Generation == 0 {
		err = ErrFormat
	}
	if err != nil {
		return m, false, fmt.Errorf("read %s: %w", fs.PathJoin(dir, markFile), err)
	}
	return m, true, nil
}

// SetAside moves the data that is marked into a folder of its own. What it finds in
// both places is new, made after an earlier call and never used.
func SetAside(fs vfs.FS, dir string, m Mark) error {
	prefix := aside
	if m.Keep {
		prefix = kept
	}
	to := fs.PathJoin(dir, fmt.Sprint(prefix, m.Generation-1))
	if err := MakeDir(fs, to); err != nil {
		return err
	}
	for _, name := range data {
		from, to := fs.PathJoin(dir, name), fs.PathJoin(to, name)
		if _, err := fs.Stat(from); errors.Is(err, os.ErrNotExist) {
			continue
		}
		move := func() error { return fs.Rename(from, to) }
		if _, err := fs.Stat(to); err == nil {
			move = func() error { return fs.RemoveAll(from) }
		}
		if err := move(); err != nil {
			return fmt.Errorf("set %s aside: %w", from, err)
		}
	}
	if err := durable.Replace(fs, fs.PathJoin(to, whyFile), []byte(m.Why+"\n"), 0); err != nil {
		return err
	}
	return durable.SyncDir(fs, dir)
}

// Unmark ends a rebuild: the new stores are complete.
func Unmark(fs vfs.FS, dir string) error {
	if err := RemoveTwice(fs, dir, markFile); err != nil {
		return fmt.Errorf("end the rebuild: %w", err)
	}
	return nil
}

// Aside is data that was set aside.
type Aside struct {
	Dir        string
	Why        string
	Generation uint64 // of the data
	// Kept says that it is not damaged and that only a person may remove it.
	Kept bool
}

// ListAside lists what was set aside in dir.
func ListAside(fs vfs.FS, dir string) ([]Aside, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	var list []Aside
	for _, name := range names {
		number, damaged := strings.CutPrefix(name, aside)
		isKept := false
		if !damaged {
			if number, isKept = strings.CutPrefix(name, kept); !isKept {
				continue
			}
		}
		a := Aside{Dir: fs.PathJoin(dir, name), Kept: isKept}
		if a.Generation, err = strconv.ParseUint(number, 10, 64); err != nil {
			continue // somebody else's
		}
		// The reason is for people; a rebuild goes on without it.
		if b, err := readFile(fs, fs.PathJoin(a.Dir, whyFile)); err == nil {
			a.Why = strings.TrimSpace(string(b))
		}
		list = append(list, a)
	}
	return list, nil
}
