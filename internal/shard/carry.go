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

// A large group goes to its leader over a connection of its own, and so does a large reply to
// who asked. Over that of all others, 16 MiB kept what a node confirms as a follower, or what
// its leader sends it, waiting, and so everybody who writes: 200 to 450 ms where four came at
// once. The receiver of a group says that it has it, so that nobody has to send it again and
// again to be sure.

const (
	// carryFrom is how large is what is carried, unless the configuration says otherwise: to
	// connect costs as much as to send a tenth of it.
	carryFrom = 2 << 20
	// carryChunk is how much of one goes in a frame.
	carryChunk = 128 << 10
	// carryMost is how many are carried at once from a node; others wait.
	carryMost = 4
	// carryTimeout bounds the whole: no client waits as long.
	carryTimeout = 10 * time.Second
)

// Frames of the streams that carry what is large; see package peer for what a number promises.
const (
	carryGroup peer.Kind = 36 // size of the encoded group:4
	carryPart  peer.Kind = 37 // of what is carried
	carryOK    peer.Kind = 38 // nothing: the receiver has all of it
	carryReply peer.Kind = 39 // size of the encoded reply:4
)

// carriers carry what is large to other nodes.
type carriers struct {
	cfg    *Config
	places chan struct{} // capacity carryMost
	ctx    context.Context
	stop   context.CancelFunc

	mu     sync.Mutex // guards what follows
	closed bool
	wg     sync.WaitGroup
}

func newCarriers(cfg *Config) *carriers {
	c := &carriers{cfg: cfg, places: make(chan struct{}, carryMost)}
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

// wants reports whether something of so many bytes is to be carried: all members know how.
func (c *carriers) wants(size int) bool {
	return size > cmp.Or(c.cfg.Large.CarryFrom, carryFrom) && c.cfg.Map.Map().Version >= cluster.V8
}

// Carried reports whether a group is carried, if it goes to another node: whether it has come is
// known then.
func Carried(h *Host, g *group.Group) bool { return h.carriers.wants(g.Size()) }

// forward carries a group, and reports whether it begins to. If it does not come, its Done is
// told so.
func (c *carriers) forward(node cluster.NodeID, g *group.Group) bool {
	return c.carry(node, carryGroup, g.Size(), g.Append, func(all bool) {
		if all { // it may have come
			g.Refuse(group.Lost, 0, 0)
		} else {
			g.Refuse(group.NotLeader, 0, 0)
		}
	})
}

// carry begins to carry what build appends, about size bytes, and reports whether it does.
// failed is told if it does not come; all says that it may have.
func (c *carriers) carry(node cluster.NodeID, kind peer.Kind, size int, build func(dst []byte) []byte, failed func(all bool)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.cfg.Links.Up(node) {
		return false
	}
	c.wg.Go(func() {
		// At once: when the client of a group is answered, of another attempt, its bytes
		// are the client's again.
		b := build(make([]byte, 0, size+size/8))
		if all, err := c.send(node, kind, b); err != nil {
			failed(all)
		}
	})
	return true
}

// send sends what is encoded; all says that the receiver may have all of it.
func (c *carriers) send(node cluster.NodeID, kind peer.Kind, b []byte) (all bool, err error) {
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
	if err := s.WriteFrame(kind, func(dst []byte) []byte { return be.AppendUint32(dst, uint32(len(b))) }); err != nil {
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
	kind, _, err = s.ReadFrame()
	if err == nil && kind != carryOK {
		err = fmt.Errorf("%w: kind %d says that all is there", peer.ErrFrame, kind)
	}
	return all, err
}

// receiver takes streams of a kind, and hands on what each has carried.
func (c *carriers) receiver(take peer.Handler) peer.StreamHandler {
	return func(from cluster.NodeID, head []byte, s *peer.Conn) {
		b, err := readCarried(head, s.ReadFrame)
		if err == nil {
			take(from, b)
			err = s.WriteFrame(carryOK, func(dst []byte) []byte { return dst })
		}
		if err != nil {
			c.cfg.Logger.Debug("stream of one large thing ended", slog.Uint64("from", uint64(from)), slog.Any("error", err))
		}
	}
}

// readCarried puts parts together, of which next gives one after the other.
func readCarried(head []byte, next func() (peer.Kind, []byte, error)) ([]byte, error) {
	if len(head) != 4 || be.Uint32(head) > peer.FrameMax {
		return nil, fmt.Errorf("%w: what is carried begins with %x", peer.ErrFrame, head[:min(len(head), 8)])
	}
	size := int(be.Uint32(head))
	b := make([]byte, 0, size)
	for len(b) < size {
		kind, part, err := next()
		if err != nil {
			return nil, err
		}
		if kind != carryPart || len(part) == 0 || len(b)+len(part) > size {
			return nil, fmt.Errorf("%w: %d bytes of kind %d behind %d of %d", peer.ErrFrame, len(part), kind, len(b), size)
		}
		b = append(b, part...)
	}
	return b, nil
}
