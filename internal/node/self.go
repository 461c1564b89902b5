package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// Self is what a node knows of itself without asking anybody: file node.json, in
// two copies (see package store, twice.go), version 1: JSON. Who else belongs to
// the cluster is in the file map, which others replace: in two copies, version 1:
// the record of a map, see package cluster.
type Self struct {
	Cluster string         `json:"cluster"`
	Node    cluster.NodeID `json:"node"`
	Peer    string         `json:"peer"`   // host:port where it serves nodes
	Client  string         `json:"client"` // host:port where it serves clients
	// ListenPeer and ListenClient are where it listens, if others reach it under
	// another address.
	ListenPeer   string `json:"listen_peer,omitempty"`
	ListenClient string `json:"listen_client,omitempty"`
	Small        bool   `json:"small"` // little memory
	Service
	// Runners is how many commands of others it runs at once; RunnersAuto: one for each
	// core.
	Runners int `json:"runners,omitempty"`
	// Via are addresses under which this node reaches others, where they differ
	// from those in the map.
	Via map[cluster.NodeID]string `json:"via,omitempty"`
}

// Service is what clients speak with a node.
type Service struct {
	TLS bool `json:"tls,omitempty"` // else plain RESP
	// Cert and Key are the files of a certificate that the node's user brings;
	// empty: the cluster's authority signs one.
	Cert string `json:"tls_cert,omitempty"`
	Key  string `json:"tls_key,omitempty"`
}

// check refuses half of a pair.
func (s Service) check() error {
	if (s.Cert == "") != (s.Key == "") || s.Cert != "" && !s.TLS {
		return fmt.Errorf("the certificate for clients: %w: it needs its key, and TLS", ErrPair)
	}
	return nil
}

const (
	selfFile    = "node.json"
	selfVersion = 1
	mapFile     = "map"
	mapVersion  = 1
)

// What helps if both copies are damaged.
const (
	restoreSelf = "nothing else says who this node is: put either copy back from a backup, it hardly grows old; without one remove the node and add a new one"
	restoreMap  = "copy the file map of any other node of the cluster to its place, it is the same there; or put either copy back from a backup"
)

// ErrNoNode says that a folder holds no node.
var ErrNoNode = errors.New("there is no tutti node in this folder")

// reader reads a small file: store.ReadTwice, or store.MendTwice for whoever
// holds the lock of the folder.
type reader func(fs vfs.FS, dir, name string, newest uint32) (store.Twice, error)

// ReadSelf reads who the node in dir is, and changes nothing.
func ReadSelf(fs vfs.FS, dir string) (Self, error) { return readSelf(fs, dir, store.ReadTwice) }

func readSelf(fs vfs.FS, dir string, read reader) (Self, error) {
	var s Self
	t, err := read(fs, dir, selfFile, selfVersion)
	if errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("%s: %w", dir, ErrNoNode)
	}
	if lost, of := errors.AsType[*store.LostError](err); of {
		return s, fmt.Errorf("%w, and %s", lost, restoreSelf)
	}
	if err == nil {
		err = json.Unmarshal(t.Body, &s)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return s, fmt.Errorf("read %s: %w", fs.PathJoin(dir, selfFile), err)
	}
	return s, nil
}

// check refuses what is not written here.
func (s Self) check() error {
	if s.Node == 0 || s.Node > cluster.NodeMax {
		return fmt.Errorf("node id %d is not between 1 and %d", s.Node, cluster.NodeMax)
	}
	return s.Service.check()
}

func (s Self) write(fs vfs.FS, dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return store.WriteTwice(fs, dir, selfFile, selfVersion, append(b, '\n'))
}

// ReadMap reads the map that the node in dir had last, and changes nothing.
func ReadMap(fs vfs.FS, dir string) (*cluster.Map, error) { return readMap(fs, dir, store.ReadTwice) }

func readMap(fs vfs.FS, dir string, read reader) (*cluster.Map, error) {
	t, err := read(fs, dir, mapFile, mapVersion)
	if lost, of := errors.AsType[*store.LostError](err); of {
		return nil, fmt.Errorf("%w: %s", lost, restoreMap)
	}
	var m *cluster.Map
	if err == nil {
		m, err = cluster.DecodeMap(t.Body)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", fs.PathJoin(dir, mapFile), err)
	}
	return m, nil
}

func writeMap(fs vfs.FS, dir string, record []byte) error {
	return store.WriteTwice(fs, dir, mapFile, mapVersion, record)
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
		old := s
		s.Via = make(map[cluster.NodeID]string)
		for _, m := range members {
			if m.ID == s.Node {
				s.Peer, s.Client = m.Peer, m.Client
			} else {
				s.Via[m.ID] = m.Peer
			}
		}
		if reflect.DeepEqual(s, old) {
			continue
		}
		if err := s.write(fs, dir); err != nil {
			return err
		}
	}
	return nil
}
