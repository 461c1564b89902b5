package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"tutti/internal/acl"
	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/pubsub"
	"tutti/internal/resp"
	"tutti/internal/router"
	"tutti/internal/rowcache"
	"tutti/internal/spike"
	"tutti/internal/tracking"
)

// Config gives a Server what it needs.
type Config struct {
	Table  *command.Table
	Router *router.Router
	Logger *slog.Logger
	Rand   func(n uint64) uint64
	Wall   func() int64 // wall clock in milliseconds, for what users read
	Node   NodeInfo
	// TLS is what clients are to speak. Nil: plain RESP.
	TLS *tls.Config
	// Public says that other machines reach the node. They are served only if
	// clients have to log in.
	Public bool
	// ClientsMax bounds the connections. Zero: 10,000, as in Redis.
	ClientsMax int
	// ClientBytesMax bounds what all clients together make the node hold in memory.
	// Zero: 256 MiB.
	ClientBytesMax int64
	// Loops is how many event loops serve the clients without TLS, where the system
	// has what they stand on. Zero: one for every second processor, at most 8.
	// Negative: none.
	Loops int
	// Debug allows the DEBUG command, for development.
	Debug bool
	// RenewCerts answers TUTTI.CERT RENEW.
	RenewCerts func(ctx context.Context) error
	// Presence says which nodes and replicas are there. Nil: all.
	Presence func(ctx context.Context) Presence
	// Status answers TUTTI.STATUS: a JSON document. alone: without asking another
	// node.
	Status func(ctx context.Context, alone bool) ([]byte, error)
	// Doctor answers TUTTI.DOCTOR: a JSON document.
	Doctor func(ctx context.Context) ([]byte, error)
	Rights
	Telling
	// Entropy is where what must not be guessed comes from. Nil: the machine's.
	Entropy io.Reader
	// Uploads says which values go to their shards in parts.
	Uploads Uploads
}

// Rights is what the node knows of users.
type Rights struct {
	// Users are who may log in, and what they may do. Nil: there is no user but
	// default, who may do everything.
	Users *acl.Holder
	// NewerUsers is told that there are users of an epoch; what it returns is closed
	// after they were asked for. Nil: there are none.
	NewerUsers func(epoch uint64) <-chan struct{}
	// UsersBehind returns the other nodes that can be reached and go by users before
	// an epoch, and what is closed when one has told something. Nil: there are none.
	UsersBehind func(epoch uint64) (nodes []cluster.NodeID, changed <-chan struct{})
}

// Telling is where what clients are told unasked comes from.
type Telling struct {
	// Messages is where the messages between clients meet. Nil: there is no other node.
	Messages *pubsub.Hub
	// Tracked is what clients have read and keep. Nil: nobody knows of changes, and what
	// is read is told to be old at once.
	Tracked *tracking.Table
}

// NodeInfo is what the server tells of its node.
type NodeInfo struct {
	ID      cluster.NodeID
	Cluster string
	Version string
	Dir     string
	// Client is where the node serves clients, host:port.
	Client string
	// Map lists the nodes, and says where replicas are.
	Map *cluster.Holder
	// Runners lists the nodes that run commands. Nil: there are none.
	Runners func() []Runner
	// Rows describes the rows that are kept in memory. Nil: there are none.
	Rows func() rowcache.Usage
	// Spikes is what took long on the node. Nil: of it only commands are known.
	Spikes *spike.Log
	// Rest gives back the memory and the disk that the node does not need now. Nil:
	// only Go's heap is.
	Rest func(ctx context.Context) error
}

// gate is who may come in.
type gate struct {
	strangers strangers
	guesses   guesses
}

// door is where clients come in.
type door struct {
	listeners []net.Listener
	deaf      bool // takes no listener any more
	loops     loops
}

const clientsMaxDefault = 10_000

// Server serves the clients of one node.
type Server struct {
	cfg       Config
	handlers  map[*command.Command]handler
	config    *config
	passwords *acl.Passwords
	born      birth
	stats     stats
	logs      logs
	pause     pause
	cluster   clusterReplies
	patrol    patrol
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup // connections, and goroutines that do something for one
	drain     drain
	gate      gate

	mu     sync.Mutex // guards what follows
	door   door
	conns  map[uint64]*conn
	closed bool
	lastID uint64
}

// birth is when the server started, and a random name of this start.
type birth struct {
	at    time.Time
	runID string
}

// logs are of what is worth a look.
type logs struct {
	foreign  Foreign
	slow     slowlog
	denied   denials
	monitors monitors
}

// New returns a server that serves nothing yet.
func New(cfg Config) *Server {
	if cfg.ClientsMax == 0 {
		cfg.ClientsMax = clientsMaxDefault
	}
	if cfg.ClientBytesMax == 0 {
		cfg.ClientBytesMax = clientBytesDefault
	}
	if cfg.Users == nil {
		cfg.Users = acl.NewHolder(acl.NewSet(cfg.Table.Catalog(), acl.FirstEpoch, nil))
	}
	if cfg.Entropy == nil {
		cfg.Entropy = rand.Reader
	}
	if cfg.Messages == nil {
		cfg.Messages = pubsub.New(pubsub.Config{})
	}
	if cfg.Tracked == nil {
		cfg.Tracked = tracking.New(tracking.Config{})
	}
	if cfg.Node.Spikes == nil {
		cfg.Node.Spikes = spike.New(cfg.Wall)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, born: birth{at: time.Now()}, conns: make(map[uint64]*conn), ctx: ctx, cancel: cancel}
	s.logs.slow.spikes = cfg.Node.Spikes
	s.config = newConfig(cfg, &s.logs.slow, &s.logs.denied)
	s.passwords = acl.NewPasswords(func(b []byte) {
		if _, err := io.ReadFull(cfg.Entropy, b); err != nil {
			panic(fmt.Sprintf("server: the source of chance failed: %v", err))
		}
	})
	s.stats.init(cfg.Table)
	s.patrol.init()
	for len(s.born.runID) < 40 {
		s.born.runID += fmt.Sprintf("%08x", cfg.Rand(1<<32))
	}
	s.handlers = handlers(cfg.Table)
	cfg.Users.Changed(s.dropUsers)
	return s
}

// Serve accepts clients until the listener or the server is closed.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.door.deaf {
		s.mu.Unlock()
		l.Close() // nobody else would
		return nil
	}
	s.door.listeners = append(s.door.listeners, l)
	s.mu.Unlock()
	for {
		nc, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
				return nil
			}
			s.cfg.Logger.Warn("accept client", slog.Any("error", err))
			select {
			case <-s.ctx.Done():
				return nil
			case <-time.After(acceptPause): // out of descriptors, for instance
			}
			continue
		}
		s.start(nc)
	}
}

const acceptPause = 50 * time.Millisecond

func (s *Server) start(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.door.deaf { // it came in at the last moment
		nc.Close()
		return
	}
	surplus := int64(len(s.conns)) - s.config.clientsMax.Load()
	if surplus >= reservedMax {
		s.stats.rejected[rejectedFull].Add(1)
		s.wg.Go(func() {
			s.turnAway(nc, errFull)
			nc.Close()
		})
		return
	}
	s.lastID++
	c := newConn(s, s.lastID, nc)
	s.seatAt(c, nc)
	c.reserved = surplus >= 0
	s.conns[c.id] = c
	s.stats.connections.Add(1)
	s.wg.Add(1)
	go c.serve()
}

// forget ends a connection. It is the last thing that is done for it, by whoever
// served it last.
func (s *Server) forget(c *conn) {
	defer s.wg.Done()
	c.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.id)
}

// turnAway tells a client why it is not served, if it can hear that before a
// handshake.
func (s *Server) turnAway(nc net.Conn, why string) {
	if s.cfg.TLS == nil {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = nc.Write(resp.AppendError(nil, why))
	}
}

// hasRoom reports whether there are no more clients than there should be.
func (s *Server) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.conns)) <= s.config.clientsMax.Load()
}

// clients lists the connections, oldest first.
func (s *Server) clients() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *conn) int { return int(a.id) - int(b.id) })
	return list
}

// client returns a connection by its number, or nil.
func (s *Server) client(id uint64) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[id]
}

// CloseListeners stops taking new clients.
func (s *Server) CloseListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.door.deaf = true
	for _, l := range s.door.listeners {
		l.Close()
	}
}

// ClientsMax is how many clients there may be.
func (s *Server) ClientsMax() int { return int(s.config.clientsMax.Load()) }

// Draining reports whether the server takes no new clients any more.
func (s *Server) Draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.door.deaf
}

// Stop closes all connections; Close waits for them.
func (s *Server) Stop() {
	s.CloseListeners()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.cancel()
	for _, c := range s.conns {
		c.end(errStopped)
	}
}

// Close closes all connections and returns when their goroutines have ended.
func (s *Server) Close() {
	s.Stop()
	s.wg.Wait()
	s.door.loops.wg.Wait()
	s.patrol.close()
}
