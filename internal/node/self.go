package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// Self is what a node knows of itself without asking anybody: file node.json.
// Who else belongs to the cluster is in the file map, which others replace.
type Self struct {
	Format  int            `json:"format"`
	Cluster string         `json:"cluster"`
	Node    cluster.NodeID `json:"node"`
	Peer    string         `json:"peer"`   // host:port where it serves nodes
	Client  string         `json:"client"` // host:port where it serves clients
	Small   bool           `json:"small"`  // little memory
	// Via are addresses under which this node reaches others, where they differ
	// from those in the map.
	Via map[cluster.NodeID]string `json:"via,omitempty"`
}

const (
	selfFormat = 2
	selfFile   = "node.json"
	mapFile    = "map"
)

// ErrNoNode says that a folder holds no node.
var ErrNoNode = errors.New("there is no tutti node in this folder")

// ReadSelf reads who the node in dir is.
func ReadSelf(fs vfs.FS, dir string) (Self, error) {
	var s Self
	name := fs.PathJoin(dir, selfFile)
	b, err := readFile(fs, name)
	if errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("%s: %w", dir, ErrNoNode)
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return s, fmt.Errorf("read %s: %w", name, err)
	}
	return s, nil
}

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// check refuses what is not written here.
func (s Self) check() error {
	switch {
	case s.Format != selfFormat:
		return fmt.Errorf("format %d, this version of tutti knows %d", s.Format, selfFormat)
	case s.Node == 0 || s.Node > cluster.NodeMax:
		return fmt.Errorf("node id %d is not between 1 and %d", s.Node, cluster.NodeMax)
	}
	return nil
}

func (s Self) write(fs vfs.FS, dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return store.WriteFile(fs, fs.PathJoin(dir, selfFile), append(b, '\n'))
}

// ReadMap reads the map that the node in dir had last.
func ReadMap(fs vfs.FS, dir string) (*cluster.Map, error) {
	name := fs.PathJoin(dir, mapFile)
	b, err := readFile(fs, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	m, err := cluster.DecodeMap(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return m, nil
}

// Readdress gives stopped nodes other addresses, and lets them find each other
// there: for a local cluster that is started on other ports. Once they run they
// tell the map.
func Readdress(fs vfs.FS, dirs []string, members []Member) error {
	for _, dir := range dirs {
		s, err := ReadSelf(fs, dir)
		if err != nil {
			return err
		}
		s.Via = make(map[cluster.NodeID]string)
		for _, m := range members {
			if m.ID == s.Node {
				s.Peer, s.Client = m.Peer, m.Client
			} else {
				s.Via[m.ID] = m.Peer
			}
		}
		if err := s.write(fs, dir); err != nil {
			return err
		}
	}
	return nil
}
