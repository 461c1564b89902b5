package shard

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/peer"
)

// A large group goes to its leader over a connection of its own. Over that of all others, one
// of 16 MiB kept what its node confirms as a follower waiting, and so everybody who writes:
// 200 to 450 ms where four came at once. The receiver says that it has it, so that nobody
// has to send it again and again to be sure.

const (
	// carryFrom is how large a group is that is carried, unless the configuration says
	// otherwise: to connect costs as much as to send a tenth of it.
	carryFrom = 2 << 20
	// carryChunk is how much of one goes in a frame.
	carryChunk = 128 << 10
	// carryMost is how many are carried at once from a node; others wait.
	carryMost = 4
	// carryTimeout bounds the whole: its client does not wait longer.
	carryTimeout = 10 * time.Second
)

// Frames of the stream that carries a group; see package peer for what a number promises.
const (
	carryHead peer.Kind = 36 // size of the encoded group:4
	carryPart peer.Kind = 37 // of it
	carryOK   peer.Kind = 38 // nothing: the receiver has it
)

// carriers carry large groups to other nodes.
type carriers struct {
	cfg    *Config
	take   func(from cluster.NodeID, b []byte) // takes an encoded group that has come
	places chan struct{}                       // capacity carryMost
	ctx    context.Context
	stop   context.CancelFunc

	mu     sync.Mutex // guards what follows
	closed bool
	wg     sync.WaitGroup
}

func newCarriers(cfg *Config, take func(from cluster.NodeID, b []byte)) *carriers {
	c := &carriers{cfg: cfg, take: take, places: make(chan struct{}, carryMost)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// close ends all carrying, and waits for it.
func (c *carriers) close() {
	c.stop()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wg.Wait()
}

// wants reports whether a group is one to be carried: all members know how.
func (c *carriers) wants(g *group.Group) bool {
	return g.Size() > cmp.Or(c.cfg.Pieces.Carry, carryFrom) && c.cfg.Map.Map().Version >= cluster.V8
}

// Patience is how many times as long as others a group has before it is sent again though its
// leader is the same: one that is carried is known to have come.
func Patience(h *Host, g *group.Group) time.Duration {
	if h.carriers.wants(g) {
		return 4
	}
	return 1
}

// carry begins to carry a group, and reports whether it does. If the group does not come, its
// Done is told so.
func (c *carriers) carry(node cluster.NodeID, g *group.Group) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.cfg.Links.Up(node) {
		return false
	}
	c.wg.Go(func() {
		// At once: when its client is answered, of another attempt, its bytes are the
		// client's again.
		b := g.Append(make([]byte, 0, g.Size()+g.Size()/8))
		switch all, err := c.send(node, b); {
		case err == nil:
		case all: // it may have come
			g.Refuse(group.Lost, 0, 0)
		default:
			g.Refuse(group.NotLeader, 0, 0)
		}
	})
	return true
}

// send sends an encoded group; all says that the receiver may have all of it.
func (c *carriers) send(node cluster.NodeID, b []byte) (all bool, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, carryTimeout)
	defer cancel()
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	s, err := c.cfg.Links.OpenStream(ctx, node)
	if err != nil {
		return false, err
	}
	defer s.Close()
	if err := s.WriteFrame(carryHead, func(dst []byte) []byte { return be.AppendUint32(dst, uint32(len(b))) }); err != nil {
		return false, err
	}
	for len(b) > 0 {
		part := b[:min(len(b), carryChunk)]
		b = b[len(part):]
		all = len(b) == 0
		if err := s.WriteFrame(carryPart, func(dst []byte) []byte { return append(dst, part...) }); err != nil {
			return all, err
		}
	}
	kind, _, err := s.ReadFrame()
	if err == nil && kind != carryOK {
		err = fmt.Errorf("%w: kind %d confirms a group", peer.ErrFrame, kind)
	}
	return all, err
}

// receive takes a stream that a node opened to send a large group.
func (c *carriers) receive(from cluster.NodeID, head []byte, s *peer.Conn) {
	b, err := readCarried(head, s.ReadFrame)
	if err != nil {
		c.cfg.Logger.Debug("group did not come", slog.Uint64("from", uint64(from)), slog.Any("error", err))
		return
	}
	c.take(from, b)
	if err := s.WriteFrame(carryOK, func(dst []byte) []byte { return dst }); err != nil {
		c.cfg.Logger.Debug("confirm a group", slog.Uint64("to", uint64(from)), slog.Any("error", err))
	}
}

// readCarried puts the parts of a group together, of which next gives one after the other.
func readCarried(head []byte, next func() (peer.Kind, []byte, error)) ([]byte, error) {
	if len(head) != 4 || be.Uint32(head) > peer.FrameMax {
		return nil, fmt.Errorf("%w: a group begins with %x", peer.ErrFrame, head[:min(len(head), 8)])
	}
	size := int(be.Uint32(head))
	b := make([]byte, 0, size)
	for len(b) < size {
		kind, part, err := next()
		if err != nil {
			return nil, err
		}
		if kind != carryPart || len(part) == 0 || len(b)+len(part) > size {
			return nil, fmt.Errorf("%w: %d bytes of kind %d behind %d of a group's %d", peer.ErrFrame, len(part), kind, len(b), size)
		}
		b = append(b, part...)
	}
	return b, nil
}
