package peer

import (
	"bufio"
	"net"
)

// Who is refused is told why on the connection that he has opened, which then
// ends. The link to where his node should be may lead to nobody, or to another
// process of that name: a copy of a node's folder is started where the copy is.

// RefusedError refuses a peer and tells it so by a frame, which whoever takes its
// kind there (Handle) takes.
type RefusedError struct {
	Err   error
	Kind  Kind
	Build func(dst []byte) []byte
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *RefusedError) Unwrap() error { return e.Err }

// tell says so. It may be lost: who is refused comes again.
func (e *RefusedError) tell(conn net.Conn) {
	// The deadline of a hello holds.
	_, _ = conn.Write(appendFrame(nil, e.Kind, e.Build))
}

// refusedMax bounds what is read of a refusal.
const refusedMax = 4 << 10

// lookBack reads what comes back on a connection to a peer until it ends: nothing
// does but why the peer refuses it. A read ends with the connection, so that a
// process was killed shows at once, not when writing fails.
func (k *link) lookBack(l *Links, conn net.Conn) {
	kind, payload, err := readFrame(bufio.NewReaderSize(conn, refusedMax))
	switch {
	case err != nil:
	case kind == kindTwin:
		l.Twins.told(k.node, payload)
	case l.mux.frames[kind] != nil:
		l.mux.frames[kind](k.node, payload)
	}
}
