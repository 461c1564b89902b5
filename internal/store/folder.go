package store

import (
	"errors"
	"fmt"
	"io/fs"
)

// A folder that is removed, or moved away, under a node that runs keeps its open
// files: the node would go on to confirm writes that nobody can find after its
// end. So whoever watches the disk looks whether the folder is there as well.

// ErrGone says that the folder of a node that runs has gone.
var ErrGone = errors.New("the data of this node is gone while it runs")

// partsOf lists what a node's folder has now of that which stays as long as the
// node runs.
func partsOf(cfg Config) (paths []string) {
	for _, name := range []string{"log", "state", "vow"} {
		path := cfg.FS.PathJoin(cfg.Dir, name)
		if _, err := cfg.FS.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// checkFolder ends the node when a part of its folder is gone. Of the
// goroutine.
func (s *Space) checkFolder() {
	for _, path := range s.parts {
		if _, err := s.cfg.FS.Stat(path); errors.Is(err, fs.ErrNotExist) {
			s.parts = nil // said once
			s.cfg.Fatal(fmt.Errorf("%w: there is no %s any more", ErrGone, path))
			return
		}
	}
}
