package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"tutti/internal/cluster"
)

// inbound is an accepted connection.
type inbound struct {
	from cluster.NodeID // 0: it has not proved yet whose it is; guarded by Links.mu until then
	gone atomic.Bool    // the peer was forgotten
}

var (
	errForgotten = errors.New("the peer was forgotten")
	errStranger  = errors.New("this is no node")
)

func (l *Links) accept() {
	for {
		conn, err := l.cfg.Listener.Accept()
		if err != nil {
			if l.ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				l.cfg.Logger.Warn("accept peer", slog.Any("error", err))
				select {
				case <-l.ctx.Done():
				case <-time.After(redialMin): // out of descriptors, for instance
				}
				continue
			}
			return
		}
		in := &inbound{}
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			conn.Close()
			return
		}
		l.conns[conn] = in
		l.mu.Unlock()
		l.wg.Go(func() {
			err := l.serve(conn, in)
			l.cfg.Logger.Debug("peer connection ended", slog.String("remote", conn.RemoteAddr().String()), slog.Any("error", err))
			conn.Close()
			l.mu.Lock()
			delete(l.conns, conn)
			l.mu.Unlock()
		})
	}
}

// serve reads one accepted connection to its end.
func (l *Links) serve(raw net.Conn, in *inbound) error {
	ctx, cancel := context.WithTimeout(l.ctx, helloTimeout)
	defer cancel()
	_ = raw.SetDeadline(time.Now().Add(helloTimeout))
	conn, from, err := l.cfg.Secure(ctx, raw)
	if err != nil {
		return fmt.Errorf("secure: %w", err)
	}
	if from == 0 {
		if l.cfg.Stranger == nil {
			return errStranger
		}
		l.cfg.Stranger(l.ctx, conn)
		return nil
	}
	l.mu.Lock()
	in.from = from
	l.mu.Unlock()
	if in.gone.Load() { // it, or another: who it is was not known yet
		return errForgotten
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	kind, payload, err := readFrame(r)
	if err != nil {
		return err
	}
	h, err := l.readHello(from, kind, payload)
	if err != nil {
		l.refusals.tell(from, err, l.cfg.Logger)
		return err
	}
	// First, so that what Hello notes is not of one who is then refused.
	at, err := l.seats.take(h)
	if err != nil {
		if taken, ok := errors.AsType[*seatTakenError](err); ok {
			l.Twins.turnAway(conn, h, taken.sits)
		}
		l.refusals.tell(from, err, l.cfg.Logger)
		return err
	}
	defer l.seats.leave(from, at)
	if l.cfg.Hello != nil {
		if err := l.cfg.Hello(h); err != nil {
			if refused, ok := errors.AsType[*RefusedError](err); ok {
				refused.tell(conn)
			}
			return err
		}
	}
	l.refusals.end(from)
	_ = raw.SetDeadline(time.Time{})
	in.heardWall(l, h.Wall)
	if h.Class == Stream {
		return l.receiveStream(h, &Conn{c: conn, r: r})
	}
	if k := l.link(from); k != nil {
		for _, q := range k.lanes {
			select {
			case q.knock <- struct{}{}:
			default:
			}
		}
	}
	if h.Class == Control {
		l.AskClock(from) // it may not have been able to answer before
	}
	return l.receive(h, in, conn, r)
}

func (l *Links) receive(h Hello, in *inbound, conn net.Conn, r *bufio.Reader) error {
	told := false
	for {
		_ = conn.SetReadDeadline(time.Now().Add(silenceMax))
		kind, payload, err := readFrame(r)
		if err != nil {
			return err
		}
		if in.gone.Load() {
			return errForgotten
		}
		if k := l.link(h.Node); k != nil {
			k.heard.Store(time.Now().UnixNano())
			k.spoke.Store(int64(l.cfg.Mono()))
			k.tally.received.Add(uint64(headBytes + len(payload)))
		}
		handle := l.mux.frames[kind]
		switch {
		case kind >= kindHello && kind <= kindClock:
			if err := l.receiveOwn(in, kind, payload); err != nil {
				return err
			}
		case handle != nil:
			handle(h.Node, payload)
		case !told:
			// A later version may send it. It is lost, as a network may lose a
			// frame; the connection and what else it carries are not.
			told = true
			l.cfg.Logger.Warn("frames refused", slog.Any("error", unknownKind(h, kind, l.cfg.Newest)))
		}
	}
}

// receiveOwn takes a frame of this package.
func (l *Links) receiveOwn(in *inbound, kind Kind, payload []byte) error {
	switch kind {
	case kindPing:
		p, err := decodePing(payload)
		if err == nil {
			in.pinged(l, p)
		}
		return err
	case kindClockAsk:
		return in.clockAsked(l, payload)
	case kindClock:
		return in.clockTold(l, payload)
	}
	return fmt.Errorf("%w: a second hello", ErrFrame)
}

func (l *Links) receiveStream(h Hello, s *Conn) error {
	kind, first, err := s.ReadFrame()
	if err != nil {
		return err
	}
	handle := l.mux.streams[kind]
	if handle == nil {
		err := unknownKind(h, kind, l.cfg.Newest)
		l.cfg.Logger.Warn("stream refused", slog.Any("error", err))
		return err
	}
	handle(h.Node, first, s)
	return nil
}
