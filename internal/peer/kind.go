package peer

import (
	"errors"
	"fmt"

	"tutti/internal/cluster"
)

// Kind says what a frame carries. It is a fixed number: another layout of what a
// frame carries is another kind, and a number is never used for anything else.
// Kinds below 16 belong to this package; the packages that send others write
// their numbers out where they register them.
type Kind byte

const (
	kindHello    Kind = 1
	kindPing     Kind = 2
	kindClockAsk Kind = 3
	kindClock    Kind = 4
	kindTwin     Kind = 5
	// kindOwn is how many kinds belong to this package.
	kindOwn = 16
)

// ErrKind says that a frame is of a kind that this node does not know: its peer
// is of a later version.
var ErrKind = errors.New("unknown kind of frame")

// Handler takes a frame from a peer; the payload is its own. It must not block:
// it runs on the goroutine that reads the connection.
type Handler func(from cluster.NodeID, payload []byte)

// StreamHandler takes a stream that a peer opened, whose first frame has the
// given payload; the stream is closed on return.
type StreamHandler func(from cluster.NodeID, first []byte, s *Conn)

// mux says who takes which kind of frame, and of stream. It does not change any
// more once the links have started.
type mux struct {
	frames  [256]Handler
	streams [256]StreamHandler
	started bool
}

// Handle registers who takes the frames of a kind. It panics after Start, and if
// the kind is taken: two packages that mean different things by one number
// must not get as far as a peer.
func (l *Links) Handle(kind Kind, h Handler) {
	l.mux.claim(kind)
	l.mux.frames[kind] = h
}

// HandleStream registers who takes the streams whose first frame is of a kind,
// as Handle does.
func (l *Links) HandleStream(kind Kind, h StreamHandler) {
	l.mux.claim(kind)
	l.mux.streams[kind] = h
}

func (m *mux) claim(kind Kind) {
	switch {
	case m.started:
		panic(fmt.Sprintf("peer: kind %d is registered after Start", kind))
	case kind < kindOwn:
		panic(fmt.Sprintf("peer: kind %d belongs to package peer", kind))
	case m.frames[kind] != nil || m.streams[kind] != nil:
		panic(fmt.Sprintf("peer: kind %d is registered twice", kind))
	}
}

// unknownKind is why a frame or stream is refused that nobody here takes; newest
// is the version of this node.
func unknownKind(h Hello, kind Kind, newest cluster.Version) error {
	return fmt.Errorf("%w: node %d, whose newest formats are of version %d, sent kind %d; those of this node are of version %d",
		ErrKind, h.Node, h.Newest, kind, newest)
}
