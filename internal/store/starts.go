package store

import (
	"errors"
	"fmt"
	"log/slog"
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
// "starts", in two copies (see twice.go), version 1, by node:
//
//	{ node:8 count:8 nonce:8 }×n
type Starts struct {
	cfg Config

	mu    sync.Mutex // guards known, and orders writes of the file
	known map[cluster.NodeID]Start
}

// ErrOldStart says that a peer's start is not its newest.
var ErrOldStart = errors.New("the node has been started since, with another copy of its disk")

const (
	startsFile    = "starts"
	startsVersion = 1
	startBytes    = 24
)

// OpenStarts reads what is known. If nothing is, because the node is new or both
// copies of the file are damaged, remembered tells what the node's shards still
// know: the newest start of each node that has opened a session.
func OpenStarts(cfg Config, remembered func() (map[cluster.NodeID]uint64, error)) (*Starts, error) {
	cfg.fill()
	s := &Starts{cfg: cfg, known: make(map[cluster.NodeID]Start)}
	t, err := MendTwice(cfg.FS, cfg.Dir, startsFile, startsVersion)
	_, lost := errors.AsType[*LostError](err)
	switch {
	case lost, errors.Is(err, os.ErrNotExist):
		return s, s.renew(lost, remembered)
	case err == nil:
		s.known, err = decodeStarts(t.Body)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", cfg.FS.PathJoin(cfg.Dir, startsFile), err)
	}
	return s, nil
}

// renew begins with what the shards remember: a start that opened a session may
// come, an older one may not.
func (s *Starts) renew(lost bool, remembered func() (map[cluster.NodeID]uint64, error)) error {
	counts, err := remembered()
	if err != nil {
		return err
	}
	for node, count := range counts {
		if count > 0 {
			s.known[node] = Start{Count: count - 1}
		}
	}
	if !lost {
		return nil
	}
	s.cfg.Logger.Error("what was known of the starts of other nodes is lost: one that comes back from an old copy of its disk may be taken for itself until its next start",
		slog.String("file", s.cfg.FS.PathJoin(s.cfg.Dir, startsFile)))
	return s.save(s.known)
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
	if err := s.save(next); err != nil {
		return err
	}
	s.known = next
	return nil
}

// Newest returns the newest start of a peer that is known.
func (s *Starts) Newest(node cluster.NodeID) Start {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[node]
}

func (s *Starts) save(known map[cluster.NodeID]Start) error {
	return WriteTwice(s.cfg.FS, s.cfg.Dir, startsFile, startsVersion, encodeStarts(known))
}

func encodeStarts(known map[cluster.NodeID]Start) (body []byte) {
	for _, node := range slices.Sorted(maps.Keys(known)) {
		for _, n := range [...]uint64{uint64(node), known[node].Count, known[node].Nonce} {
			body = be.AppendUint64(body, n)
		}
	}
	return body
}

func decodeStarts(body []byte) (map[cluster.NodeID]Start, error) {
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
