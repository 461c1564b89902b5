package node

import (
	"context"
	crand "crypto/rand"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/server"
	"tutti/internal/shard"
)

// Config says how to run a node. Only Dir must be set.
type Config struct {
	Dir    string
	FS     vfs.FS // nil: the operating system's
	Logger *slog.Logger
	Clock  shard.Clock           // zero: the machine's
	Rand   func(n uint64) uint64 // nil: math/rand/v2
	// Entropy is where what must not be guessed or drawn twice comes from: the
	// number that tells this start from that of a copy of the node. Nil: the
	// machine's.
	Entropy io.Reader
	// Network. Nil fields listen and dial TCP with mutual TLS, at the addresses
	// of the formation, and clients beyond loopback with TLS and users only.
	ListenClients func(addr string) (net.Listener, error)
	ListenPeers   func(addr string) (net.Listener, error)
	// Dial makes the connections that are then secured with TLS. Nil: TCP.
	Dial       func(ctx context.Context, addr string) (net.Conn, error)
	DialPeer   func(ctx context.Context, to Member) (net.Conn, error)
	SecurePeer func(ctx context.Context, c net.Conn) (net.Conn, cluster.NodeID, error)
	// Via are addresses under which this node reaches others, beside those of
	// its own file.
	Via map[cluster.NodeID]string
	// Service changes what clients are to speak, from now on. Nil: as before.
	Service *Service
	// Formats is the newest version of the formats that the node confirms to read.
	// Zero: cluster.Newest. With others tests make clusters of several versions.
	Formats cluster.Version
	HTTP    HTTP
	Debug   bool // allow the DEBUG command
	// Runners is how many commands of others the node runs at once, from now on: 0 is
	// none, RunnersAuto one for each core. Nil: as before, at first none.
	Runners *int
	Pace
	Memory Memory
	// Failed is called once when the node can't go on; the process should end
	// at once. Nil: panic.
	Failed func(err error)
}

// Memory is what the process does about its memory when the node has more to do, or
// less. Nil functions leave it to the runtime.
type Memory struct {
	// Free gives back to the system what the process does not need now: at once, for
	// which all it does may stand still for half a second, or bit by bit.
	Free func(atOnce bool)
	// Busy says that somebody writes now, or that nobody does any more.
	Busy func(is bool)
}

// Pace is how much of something there may be, and how often something happens, where
// tests want it otherwise. Zero fields are the usual.
type Pace struct {
	LogBytesMax   int64
	MemtableBytes int64         // see store.Config
	ScrubEvery    time.Duration // see shard.Config
	RunLease      time.Duration // see runner.Config
	QuietAfter    time.Duration // see quiet
	Uploads       server.Uploads
	Large         shard.Large
}

// HTTP is where a node answers HTTP, see package web.
type HTTP struct {
	Listen string                                  // empty: nowhere
	Open   func(addr string) (net.Listener, error) // nil: TCP
}

// fill sets what is not set to the usual.
func (c *Config) fill() {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock.Mono == nil {
		c.Clock = shard.SystemClock()
	}
	if c.Rand == nil {
		c.Rand = rand.Uint64N
	}
	if c.Formats == 0 {
		c.Formats = cluster.Newest
	}
	if c.Entropy == nil {
		c.Entropy = crand.Reader
	}
	if c.ListenPeers == nil {
		c.ListenPeers = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	if c.HTTP.Open == nil {
		c.HTTP.Open = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	if c.Failed == nil {
		c.Failed = func(err error) { panic(err) }
	}
}
