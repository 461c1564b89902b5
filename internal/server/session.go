package server

import (
	"sync/atomic"
	"time"

	"tutti/internal/acl"
	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/pubsub"
)

// What a client has chosen, and what others see of it.

// session is the state that a client's commands leave behind for those after
// them. It belongs to the goroutine that serves the client.
type session struct {
	db      uint8
	proto   int // 2 or 3
	quiet   quiet
	multi   *multi // nil: none is open
	watches []watched
	// asCluster: the client has shown that it is one of clusters.
	asCluster bool
	inside    bool  // it is the node itself, see Server.Inside
	face      *face // shows the state to others
	tracks    tracks
	identity
}

// multi is an open MULTI.
type multi struct {
	queue   []pending
	spoiled bool // a command was refused: EXEC discards
	bytes   int  // of the arguments
	memory  int  // that the queue takes
	held    held // what of all clients' memory the queue takes
}

// watched is a key that WATCH remembers.
type watched struct {
	group.Watch
	shard cluster.ShardID
}

// quiet is the state of CLIENT REPLY.
type quiet int

const (
	replyOn quiet = iota
	replyOff
	replySkip     // the next command is not answered
	replySkipThis // the command being executed is not answered
)

// face is what CLIENT LIST, CLIENT KILL and the slow log see of a connection,
// from any goroutine.
type face struct {
	name, libName, libVer atomic.Pointer[string]
	lastCmd               atomic.Pointer[string]
	lastAt                atomic.Int64 // when it was last heard of, unix nanoseconds
	db, proto             atomic.Int32
	queued                atomic.Int32 // in MULTI; -1: none is open
	noEvict, noTouch      atomic.Bool
	blocked               atomic.Bool // held by CLIENT PAUSE, or by a command that waits
	waiting               atomic.Pointer[blocking]
	user                  atomic.Pointer[acl.User]
	unsure                atomic.Bool                       // see identity
	changing              atomic.Bool                       // it executes a change of users
	quits                 atomic.Bool                       // it has said QUIT: nobody listens any more
	monitors              atomic.Bool                       // it is told of the commands of all
	sub                   atomic.Pointer[pubsub.Subscriber] // nil: it has never subscribed
	tracked               atomic.Pointer[tracked]           // nil: CLIENT TRACKING is off
}

func (f *face) init(born time.Time) {
	empty := ""
	for _, p := range []*atomic.Pointer[string]{&f.name, &f.libName, &f.libVer, &f.lastCmd} {
		p.Store(&empty)
	}
	f.lastAt.Store(born.UnixNano())
	f.proto.Store(2)
	f.queued.Store(-1)
}

func (s *session) init(f *face, users *acl.Set) {
	s.proto, s.face = 2, f
	s.begin(users)
}

func (s *session) setDB(db uint8) {
	s.db = db
	s.face.db.Store(int32(db))
}

func (s *session) setProto(proto int) {
	s.proto = proto
	s.face.proto.Store(int32(proto))
}

func (s *session) beginMulti(of *budget) {
	s.multi = &multi{held: held{of: of}}
	s.face.queued.Store(0)
}

// endMulti forgets the transaction and the watched keys.
func (s *session) endMulti() {
	if s.multi != nil {
		s.multi.held.release()
	}
	s.multi, s.watches = nil, nil
	s.face.queued.Store(-1)
}

// hush takes back the reply that begins at at if CLIENT REPLY says so.
func (s *session) hush(replies []byte, at int) []byte {
	switch s.quiet {
	case replyOff:
		return replies[:at]
	case replySkipThis:
		s.quiet = replyOn
		return replies[:at]
	case replySkip:
		s.quiet = replySkipThis
		return replies[:at]
	}
	return replies
}

// reset brings the session back to how it began, but for what the client told of
// its library.
func (s *session) reset(users *acl.Set) {
	s.begin(users)
	s.endMulti()
	s.setDB(0)
	s.setProto(2)
	s.quiet, s.asCluster = replyOn, false
	s.tracks.end(s.face)
	s.face.noEvict.Store(false)
	s.face.noTouch.Store(false)
	empty := ""
	s.face.name.Store(&empty)
}
