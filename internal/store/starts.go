package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"tutti/internal/cluster"
)

// Start is one start of a node.
type Start struct {
	Count uint64 // of starts of the node, this one included
	Nonce uint64 // tells two starts with one count apart
}

// Starts is what a node durably knows of the starts of its peers: a peer that
// has been restored from an old copy of its disk has forgotten promises, and
// must be refused even if everyone else has been started again since. File
// "starts": crc:4 { node:8 count:8 nonce:8 }×n, replaced as a whole.
type Starts struct {
	cfg Config

	mu    sync.Mutex // guards known, and orders writes of the file
	known map[cluster.NodeID]Start
}

// ErrOldStart says that a peer's start is not its newest.
var ErrOldStart = errors.New("the node has been started since, with another copy of its disk")

const (
	startsFile = "starts"
	startBytes = 24
)

// OpenStarts reads what is known. A new node knows nothing.
func OpenStarts(cfg Config) (*Starts, error) {
	cfg.fill()
	s := &Starts{cfg: cfg, known: make(map[cluster.NodeID]Start)}
	name := cfg.FS.PathJoin(cfg.Dir, startsFile)
	b, err := readFile(cfg.FS, name)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		s.known, err = decodeStarts(b)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return s, nil
}

// Accept takes note of a peer's start, durably before it returns, or refuses
// it. A refused start was lower than a known one, or has its count and is
// another.
func (s *Starts) Accept(node cluster.NodeID, start Start) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := s.known[node]
	switch {
	case start == had:
		return nil
	case start.Count <= had.Count:
		return fmt.Errorf("node %d, start %d, had %d: %w", node, start.Count, had.Count, ErrOldStart)
	}
	next := maps.Clone(s.known)
	next[node] = start
	if err := WriteFile(s.cfg.FS, s.cfg.FS.PathJoin(s.cfg.Dir, startsFile), encodeStarts(next)); err != nil {
		return err
	}
	s.known = next
	return nil
}

func encodeStarts(known map[cluster.NodeID]Start) []byte {
	var body []byte
	for _, node := range slices.Sorted(maps.Keys(known)) {
		for _, n := range [...]uint64{uint64(node), known[node].Count, known[node].Nonce} {
			body = be.AppendUint64(body, n)
		}
	}
	return sealed(body)
}

func decodeStarts(b []byte) (map[cluster.NodeID]Start, error) {
	body, err := unseal(b, max(len(b)-4, 0))
	if err != nil {
		return nil, err
	}
	if len(body)%startBytes != 0 {
		return nil, fmt.Errorf("%d bytes of starts: %w", len(body), ErrFormat)
	}
	known := make(map[cluster.NodeID]Start)
	for last := cluster.NodeID(0); len(body) > 0; body = body[startBytes:] {
		node := cluster.NodeID(be.Uint64(body))
		if len(known) > 0 && node <= last {
			return nil, fmt.Errorf("node %d after %d: %w", node, last, ErrFormat)
		}
		known[node], last = Start{be.Uint64(body[8:]), be.Uint64(body[16:])}, node
	}
	return known, nil
}
