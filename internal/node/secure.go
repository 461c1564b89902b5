package node

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/rawsock"
	"tutti/internal/server"
	"tutti/internal/trust"
)

// isMember reports whether a node belongs to the cluster now.
type isMember func(cluster.NodeID) bool

// dialer makes connections that are then secured.
type dialer func(ctx context.Context, addr string) (net.Conn, error)

// secured makes a connection and shakes hands on it.
func (dial dialer) secured(ctx context.Context, addr string, config *tls.Config) (*tls.Conn, error) {
	raw, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(rawsock.Wrap(raw), config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// tlsDial returns how a node reaches others. One that is refused asks for the map,
// which tells it why, and hands it to newer.
func tlsDial(dial dialer, h *trust.Holder, in isMember, newer func(record []byte)) func(ctx context.Context, to Member) (net.Conn, error) {
	asked := &pace{every: askMapEvery}
	return func(ctx context.Context, to Member) (net.Conn, error) {
		conn, err := dial.secured(ctx, to.Peer, trust.ClientConfig(h, to.ID, in))
		if err != nil {
			return nil, err
		}
		refused := func(ctx context.Context) {
			if !asked.due() {
				return
			}
			if record, err := askForMap(ctx, dial, h, in, to); err == nil {
				newer(record)
			}
		}
		life, end := context.WithCancel(context.Background())
		return &dialed{conn, refused, life, end}, nil
	}
}

// dialed is a connection to a peer. That the peer refuses it shows when it is read
// from.
type dialed struct {
	net.Conn
	refused func(ctx context.Context)

	life context.Context // of the connection
	end  context.CancelFunc
}

// Close closes the connection, and ends what Read does.
func (d *dialed) Close() error {
	d.end()
	return d.Conn.Close()
}

// Read reads, and asks why if the other side has refused the connection.
func (d *dialed) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	if trust.Refused(err) {
		d.refused(d.life)
	}
	return n, err
}

// NetConn is the connection below, for those who look at its socket.
func (d *dialed) NetConn() net.Conn {
	if below, ok := d.Conn.(interface{ NetConn() net.Conn }); ok {
		return below.NetConn()
	}
	return d.Conn
}

// askMapEvery is how often a node that is refused asks for the map at most.
const askMapEvery = 5 * time.Second

// pace keeps what is tried again and again from being done each time.
type pace struct {
	every time.Duration

	mu   sync.Mutex // guards next
	next time.Time
}

func (p *pace) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Before(p.next) {
		return false
	}
	p.next = now.Add(p.every)
	return true
}

// untrustedEvery is how often a node says at most that it does not know the
// authority of its peers.
const untrustedEvery = time.Minute

// untrusted returns what says of dials that failed when the reason is an authority
// which this node does not know. It can't be told why, as nobody whom it could trust
// speaks to it, and must not end, as anybody could show such a certificate.
func untrusted(log *slog.Logger) func(to Member, err error) {
	said := &pace{every: untrustedEvery}
	return func(to Member, err error) {
		if errors.Is(err, trust.ErrUntrusted) && said.due() {
			log.Error("who answers at a peer's address has an authority that this node does not know: one is replaced only when all members know the new one, so this node was removed while it was off, or another cluster answers there; tutti node ls on a member tells; if it was removed, remove its folder and tutti join",
				slog.Uint64("peer", uint64(to.ID)), slog.String("at", to.Peer))
		}
	}
}

// askForMap returns the record of the map that a peer has.
func askForMap(ctx context.Context, dial dialer, h *trust.Holder, in isMember, peer Member) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	config := trust.ClientConfig(h, peer.ID, in)
	config.NextProtos = []string{trust.MapProtocol}
	conn, err := dial.secured(ctx, peer.Peer, config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	return trust.ReadMap(conn)
}

// What is said on the port for nodes to who speaks without TLS.
const (
	// ForNodes begins the answer to a client.
	ForNodes      = "NEEDTLS this is the port on which nodes of tutti talk to each other"
	notForClients = "-" + ForNodes + ". Clients use the other one: tutti node ls names it. Nothing was executed.\r\n"
	aboutNodes    = "This is the port on which nodes of tutti talk to each other. Nothing was executed.\n" +
		"Health and metrics, /health/ready and /metrics, are at the address that tutti start --http-listen names.\n"
	// noCertificate is what crypto/tls says of a client that shows none, an error of no type.
	noCertificate = "didn't provide a certificate"
)

// tlsSecure returns how a node tells who has reached it. Machines that want to
// join, and nodes that ask for the map only, are let in as nobody, node 0.
func tlsSecure(h *trust.Holder, in isMember, log *slog.Logger) func(ctx context.Context, c net.Conn) (net.Conn, cluster.NodeID, error) {
	cfg := trust.ServerConfig(h, in)
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if stranger := trust.StrangerServer(h, hello); stranger != nil {
			return stranger, nil
		}
		return cfg, nil
	}
	foreign := &server.Foreign{}
	return func(ctx context.Context, c net.Conn) (net.Conn, cluster.NodeID, error) {
		t := tls.Server(rawsock.Wrap(c), cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			record, plain := errors.AsType[tls.RecordHeaderError](err)
			switch {
			case plain && record.Conn != nil:
				foreign.TurnAway(log, record.Conn, record.RecordHeader[:], notForClients, aboutNodes)
			case strings.Contains(err.Error(), noCertificate):
				foreign.Nobody(log, c)
			}
			return nil, 0, err
		}
		if state := t.ConnectionState(); trust.Joins(state) || trust.AsksForMap(state) {
			return t, 0, nil
		}
		node, err := trust.PeerID(t.ConnectionState())
		return t, node, err
	}
}
