package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/store"
	"tutti/internal/trust"
)

// formingFile stands in a folder while a node is made there that has never run.
// What else is there may be made again then, and only then. If it is the first of a
// cluster, the file holds the cluster's name.
const (
	formingFile    = "forming"
	formingVersion = 1
)

// Reasons not to make a node in a folder.
var (
	// ErrNodeThere says that there is a node already.
	ErrNodeThere = errors.New("there is a node already")
	// ErrNotEmpty says that there is something else.
	ErrNotEmpty = errors.New("the folder is not empty")
	// ErrInUse says that another process has the folder.
	ErrInUse = errors.New("another process uses")
)

func isMissing(err error) bool { return errors.Is(err, os.ErrNotExist) }

// Vacant is an error unless a new node may be made in a folder.
func Vacant(cfg Config, dir string) error {
	cfg.fill()
	if _, err := rubble(cfg.FS, dir); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// beginFolder makes the folder of a new node, or finds one whose making was cut
// off, which it empties but for the key that the node has asked a certificate
// for. Nobody else uses the folder until the lock is closed.
func beginFolder(fs vfs.FS, dir string) (io.Closer, error) {
	// Before anything is made there, the file of the lock included.
	if _, err := rubble(fs, dir); err != nil && !isMissing(err) {
		return nil, err
	}
	if err := store.MakeDir(fs, dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(fs, dir)
	if err != nil {
		return nil, err
	}
	if err := clearFolder(fs, dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// rubble lists what an attempt that was cut off has left in a folder. A node, or
// anything that is not ours to remove, is an error.
func rubble(fs vfs.FS, dir string) ([]string, error) {
	s, err := ReadSelf(fs, dir)
	if err == nil {
		return nil, fmt.Errorf("%s: %w: node %d of cluster %s", dir, ErrNodeThere, s.Node, s.Cluster)
	}
	if !errors.Is(err, ErrNoNode) {
		return nil, err
	}
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	// A mark that was cut off in the middle is ours, and says nothing yet.
	names = slices.DeleteFunc(names, func(name string) bool { return name == lockFile || strings.HasPrefix(name, formingFile) })
	if len(names) > 0 && !store.HasTwice(fs, dir, formingFile) {
		slices.Sort(names)
		return nil, fmt.Errorf("%s: %w: there is %s", dir, ErrNotEmpty, names[0])
	}
	return names, nil
}

// clearFolder marks the folder as one in which a node is made, and removes what
// an earlier attempt has left.
func clearFolder(fs vfs.FS, dir string) error {
	names, err := rubble(fs, dir)
	if err != nil {
		return err
	}
	if !store.HasTwice(fs, dir, formingFile) {
		return store.WriteTwice(fs, dir, formingFile, formingVersion, nil)
	}
	for _, name := range names {
		if strings.HasPrefix(name, trust.RequestFile) {
			continue
		}
		if err := fs.RemoveAll(fs.PathJoin(dir, name)); err != nil {
			return fmt.Errorf("remove what is left of a node that was not completed: %w", err)
		}
	}
	return nil
}

const lockFile = "LOCK"

func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	lock, err := fs.Lock(fs.PathJoin(dir, lockFile))
	if err == nil {
		return lock, nil
	}
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	return nil, fmt.Errorf("%w %s (%w)", ErrInUse, dir, err)
}
