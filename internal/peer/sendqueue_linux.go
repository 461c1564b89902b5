package peer

import (
	"net"
	"syscall"

	"tutti/internal/rawsock"
)

// sendQueue returns a function that tells how many bytes lie in the send buffer
// of the socket below conn, sent or not, until the peer has acknowledged them.
// It is nil if there is no socket, as in a simulation.
func sendQueue(conn net.Conn) func() int {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	n := 0
	ask := func(fd uintptr) {
		if n, err = rawsock.Unsent(fd); err != nil {
			n = flushMax // unknown: as if it were full
		}
	}
	return func() int {
		if raw.Control(ask) != nil {
			return flushMax
		}
		return n
	}
}
