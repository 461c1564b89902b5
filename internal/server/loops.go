package server

import (
	"log/slog"
	"net"
	"runtime"
	"sync"

	"tutti/internal/server/epoll"
)

// loops serve the clients of a server that are plain. They are started for the
// first client that they can serve, and what they need for TCP for the first of
// those.
type loops struct {
	all  []*loop
	tcp  bool  // they have pollers, or can't have them
	none error // why they can't
	turn int
	wg   sync.WaitGroup
}

// loopsMax is the most loops that a server has, one for every second processor: the
// shards' own loops need the others.
const loopsMax = 8

// fed is what a connection says that is not TCP and can be served by a loop: a
// goroutine reads from it, see fedSocket. Those of a simulation do.
type fed interface{ Fed() bool }

// seatAt gives a new client its loop, if there is one for connections like its own.
// s.mu is held.
func (s *Server) seatAt(c *conn, nc net.Conn) {
	tcp, isTCP := nc.(*net.TCPConn)
	other, isFed := nc.(fed)
	if s.cfg.TLS != nil || s.cfg.Loops < 0 || !isTCP && !(isFed && other.Fed()) {
		return
	}
	ls := &s.door.loops
	if ls.all == nil {
		ls.open(s)
	}
	ls.turn++
	l := ls.all[ls.turn%len(ls.all)]
	c.seat.stay = stayFirst
	if !isTCP {
		c.seat.loop, c.seat.sock = l, newFedSocket(c)
		return
	}
	if !ls.tcp {
		ls.tcp = true
		ls.openPollers(s)
	}
	if ls.none != nil {
		return
	}
	if raw, err := epoll.NewSocket(tcp); err == nil {
		c.seat.loop, c.seat.sock = l, &tcpSocket{Socket: raw, poller: l.poller, id: c.id}
	}
}

// open makes the loops. s.mu is held.
func (ls *loops) open(s *Server) {
	n := s.cfg.Loops
	if n == 0 {
		n = max(1, min(runtime.GOMAXPROCS(0)/2, loopsMax))
	}
	for range n {
		l := newLoop(s)
		ls.all = append(ls.all, l)
		ls.wg.Go(l.run)
	}
}

// openPollers gives each loop a poller, if the system has them. s.mu is held.
func (ls *loops) openPollers(s *Server) {
	for _, l := range ls.all {
		p, err := epoll.New()
		if err != nil {
			s.cfg.Logger.Debug("clients are served by goroutines only", slog.Any("error", err))
			ls.none = err
			return
		}
		l.use(p)
		ls.wg.Go(l.watch)
	}
}

// dismiss has the loops give up their clients. s.mu is held.
func (ls *loops) dismiss() {
	for _, l := range ls.all {
		l.post(dismissed{})
	}
}

// tcpSocket is the socket of a TCP connection.
type tcpSocket struct {
	*epoll.Socket
	poller *epoll.Poller
	id     uint64 // of the client
}

func (t *tcpSocket) Watch() error { return t.poller.Add(t.Socket, t.id) }

// Unwatch fails only for a connection that has been closed, which nobody is told
// of any more.
func (t *tcpSocket) Unwatch() { _ = t.poller.Remove(t.Socket) }
