package peer

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"time"

	"tutti/internal/cluster"
)

// streamTimeout bounds the wait for one frame of a stream.
const streamTimeout = 30 * time.Second

// Conn is a connection of frames for one purpose, such as a snapshot. It is
// used by one goroutine; Close may be called by others, more than once, and ends
// what that one waits for.
type Conn struct {
	c   net.Conn
	r   *bufio.Reader
	buf []byte
	// stop ends the watch that closes the stream with the links; nil: another
	// closes it.
	stop func() bool
}

// OpenStream opens a stream to a peer, whose first frame says by its kind who
// takes it there. The caller closes it. It breaks, or is not opened, when ctx ends, and
// when the link to the peer does: a peer that lost its power in the middle is missed long
// before streamTimeout.
func (l *Links) OpenStream(ctx context.Context, node cluster.NodeID) (*Conn, error) {
	k := l.link(node)
	if k == nil {
		return nil, fmt.Errorf("open a stream to node %d: it is no peer", node)
	}
	conn, err := l.dial(ctx, k)
	if err != nil {
		return nil, err
	}
	ended := context.AfterFunc(ctx, func() { conn.Close() })
	h := l.hello(Stream)
	_ = conn.SetWriteDeadline(time.Now().Add(helloTimeout))
	if _, err := conn.Write(appendFrame(nil, kindHello, h.encode)); err != nil {
		ended()
		conn.Close()
		return nil, err
	}
	l.mu.Lock()
	l.streams[conn] = k
	l.mu.Unlock()
	unwatch := context.AfterFunc(k.ctx, func() { conn.Close() })
	stop := func() bool {
		l.mu.Lock()
		delete(l.streams, conn)
		l.mu.Unlock()
		ended()
		return unwatch()
	}
	return &Conn{c: conn, r: bufio.NewReaderSize(conn, 64<<10), stop: stop}, nil
}

// breakStreams ends all streams to a peer. Not under the lock, and without a word to the
// peer: TLS waits for room for one, up to five seconds, and nobody would be let in meanwhile.
func (l *Links) breakStreams(k *link) {
	var broken []net.Conn
	l.mu.Lock()
	for conn, to := range l.streams {
		if to == k {
			broken = append(broken, conn)
		}
	}
	l.mu.Unlock()
	for _, conn := range broken {
		if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
			conn = t.NetConn()
		}
		conn.Close()
	}
}

// WriteFrame sends a frame.
func (c *Conn) WriteFrame(kind Kind, build func(dst []byte) []byte) error {
	c.buf = appendFrame(c.buf[:0], kind, build)
	_ = c.c.SetWriteDeadline(time.Now().Add(streamTimeout))
	_, err := c.c.Write(c.buf)
	return err
}

// ReadFrame waits for a frame; the payload is the caller's.
func (c *Conn) ReadFrame() (Kind, []byte, error) {
	_ = c.c.SetReadDeadline(time.Now().Add(streamTimeout))
	return readFrame(c.r)
}

// Close closes the stream.
func (c *Conn) Close() error {
	if c.stop != nil {
		c.stop()
	}
	return c.c.Close()
}
