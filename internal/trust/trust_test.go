package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"tutti/internal/cluster"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newCA returns the authority of a cluster.
func newCA(t *testing.T, cluster string) *CA {
	t.Helper()
	ca, err := NewCA(cluster, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// issue returns the identity of a node.
func issue(t *testing.T, ca *CA, id cluster.NodeID, at time.Time) *Identity {
	t.Helper()
	ident, err := ca.IssueNode(id, at, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ident
}

// forge returns an identity as the CA would never issue it: change may alter
// the certificate before the CA signs it.
func forge(t *testing.T, ca *CA, uri string, change func(*x509.Certificate)) *Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	template := leafTemplate(name, ca.cert, now)
	if change != nil {
		change(template)
	}
	leaf, err := sign(template, ca.cert, &key.PublicKey, ca.key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Identity{Cluster: ca.Cluster, NodeID: 2, leaf: leaf, key: key, roots: []*x509.Certificate{ca.cert}}
}

// members returns a member list.
func members(ids ...cluster.NodeID) func(cluster.NodeID) bool {
	return func(id cluster.NodeID) bool { return slices.Contains(ids, id) }
}

func anyone(cluster.NodeID) bool { return true }

// handshake connects a server and a client and sends one byte, so that the
// client sees a refusal. It returns what PeerID says on each side.
//
//nolint:staticcheck // ST1008: the errors of two sides are results like the ids, neither is the error of handshake
func handshake(server, client *tls.Config) (serverErr, clientErr error, clientID, serverID cluster.NodeID) {
	serverEnd, clientEnd := net.Pipe()
	accepted := make(chan error, 1) // room for the one result, so that the goroutine always ends
	go func() {
		conn := tls.Server(serverEnd, server)
		err := conn.Handshake()
		if err == nil {
			clientID, err = PeerID(conn.ConnectionState())
		}
		if err == nil {
			_, err = conn.Write([]byte{1})
		}
		accepted <- errors.Join(err, serverEnd.Close())
	}()
	conn := tls.Client(clientEnd, client)
	clientErr = conn.Handshake()
	if clientErr == nil {
		_, clientErr = conn.Read(make([]byte, 1))
	}
	if clientErr == nil {
		serverID, clientErr = PeerID(conn.ConnectionState())
	}
	clientErr = errors.Join(clientErr, clientEnd.Close())
	return <-accepted, clientErr, clientID, serverID
}

func TestHandshake(t *testing.T) {
	ca := newCA(t, "my_cluster-1")
	one, two := issue(t, ca, 1, now), issue(t, ca, 2, now)
	serverErr, clientErr, clientID, serverID := handshake(ServerConfig(NewHolder(one), members(1, 2)), ClientConfig(NewHolder(two), 1, anyone))
	if serverErr != nil || clientErr != nil {
		t.Fatalf("server: %v, client: %v", serverErr, clientErr)
	}
	if clientID != 2 || serverID != 1 {
		t.Fatalf("server saw node %d, client saw node %d", clientID, serverID)
	}
}

// TestServerRefuses has the server look at all kinds of clients.
func TestServerRefuses(t *testing.T) {
	ca := newCA(t, "red")
	noName := func(c *x509.Certificate) { c.URIs = nil }
	for _, c := range []struct {
		name   string
		client *Identity
		want   error
	}{
		{"other CA of the same name", issue(t, newCA(t, "red"), 2, now), ErrUntrusted},
		{"other cluster under our CA", forge(t, ca, "tutti://blue/node/2", nil), ErrWrongCluster},
		{"client role", forge(t, ca, "tutti://red/client/2", nil), ErrWrongRole},
		{"role that looks like ours", forge(t, ca, "tutti://red/nodes/2", nil), ErrWrongRole},
		{"no name", forge(t, ca, "tutti://red/node/2", noName), ErrNoIdentity},
		{"host name only", forge(t, ca, "tutti://red/node/2", func(c *x509.Certificate) {
			c.URIs, c.DNSNames = nil, []string{"node2"}
		}), ErrNoIdentity},
		{"two names", forge(t, ca, "tutti://red/node/2", func(c *x509.Certificate) {
			c.URIs = append(c.URIs, nodeURI("red", 1))
		}), ErrNoIdentity},
		{"other scheme", forge(t, ca, "https://red/node/2", nil), ErrNoIdentity},
		{"id 0", forge(t, ca, "tutti://red/node/0", nil), ErrNoIdentity},
		{"id with leading zero", forge(t, ca, "tutti://red/node/02", nil), ErrNoIdentity},
		{"escaped id", forge(t, ca, "tutti://red/node/%32", nil), ErrNoIdentity},
		{"id with path behind it", forge(t, ca, "tutti://red/node/2/", nil), ErrNoIdentity},
		{"name with query", forge(t, ca, "tutti://red/node/2?x", nil), ErrNoIdentity},
		{"name with port", forge(t, ca, "tutti://red:1/node/2", nil), ErrNoIdentity},
		{"removed member", issue(t, ca, 3, now), ErrNotMember},
		{"certificate for servers only", forge(t, ca, "tutti://red/node/2", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), ErrUntrusted},
		{"CA below our CA", forge(t, ca, "tutti://red/node/2", func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
		}), ErrUntrusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := ServerConfig(NewHolder(issue(t, ca, 1, now)), members(1, 2))
			// The client trusts anyone, so that it is the server that refuses.
			client := ClientConfig(NewHolder(c.client), 1, anyone)
			client.VerifyConnection = nil
			serverErr, clientErr, _, _ := handshake(server, client)
			if !errors.Is(serverErr, c.want) {
				t.Errorf("server says %v, want %v", serverErr, c.want)
			}
			if clientErr == nil {
				t.Error("client got an answer")
			}
		})
	}
}

func TestServerRefusesNoCertificate(t *testing.T) {
	ca := newCA(t, "red")
	client := ClientConfig(NewHolder(issue(t, ca, 2, now)), 1, anyone)
	client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	serverErr, clientErr, _, _ := handshake(ServerConfig(NewHolder(issue(t, ca, 1, now)), members(1, 2)), client)
	if serverErr == nil || clientErr == nil {
		t.Errorf("server: %v, client: %v, want two errors", serverErr, clientErr)
	}
}

// TestServerRefusesStolenCertificate presents the certificate of a member, which
// is no secret, without its key.
func TestServerRefusesStolenCertificate(t *testing.T) {
	ca := newCA(t, "red")
	thief := issue(t, ca, 3, now)
	thief.leaf = issue(t, ca, 2, now).leaf
	serverErr, _, _, _ := handshake(ServerConfig(NewHolder(issue(t, ca, 1, now)), members(1, 2)), ClientConfig(NewHolder(thief), 1, anyone))
	if serverErr == nil {
		t.Error("server took a certificate without its key")
	}
}

func TestClientRefuses(t *testing.T) {
	ca := newCA(t, "red")
	for _, c := range []struct {
		name   string
		server *Identity
		want   error
	}{
		{"other CA", issue(t, newCA(t, "red"), 1, now), ErrUntrusted},
		{"other cluster", forge(t, ca, "tutti://blue/node/1", nil), ErrWrongCluster},
		{"client role", forge(t, ca, "tutti://red/client/1", nil), ErrWrongRole},
		{"other node", issue(t, ca, 3, now), ErrWrongPeer},
		{"certificate for clients only", forge(t, ca, "tutti://red/node/1", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), ErrUntrusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := ServerConfig(NewHolder(c.server), members(1, 2, 3))
			serverErr, clientErr, _, _ := handshake(server, ClientConfig(NewHolder(issue(t, ca, 2, now)), 1, anyone))
			if !errors.Is(clientErr, c.want) {
				t.Errorf("client says %v, want %v", clientErr, c.want)
			}
			if serverErr == nil {
				t.Error("server got through")
			}
		})
	}
}

// TestMembershipIsAskedAtEachHandshake removes a node and takes it in again
// under the same configurations.
func TestMembershipIsAskedAtEachHandshake(t *testing.T) {
	ca := newCA(t, "red")
	in := true
	isMember := func(id cluster.NodeID) bool { return id == 1 || in }
	one, two := issue(t, ca, 1, now), issue(t, ca, 2, now)
	server, client := ServerConfig(NewHolder(one), isMember), ClientConfig(NewHolder(two), 1, anyone)
	toTwo, dialer := ServerConfig(NewHolder(two), anyone), ClientConfig(NewHolder(one), 2, isMember)
	for i, member := range []bool{true, false, true} {
		in = member
		serverErr, clientErr, _, _ := handshake(server, client)
		if (serverErr == nil) != member || (clientErr == nil) != member || !member && !errors.Is(serverErr, ErrNotMember) {
			t.Errorf("handshake %d, member %v: server says %v, client says %v", i, member, serverErr, clientErr)
		}
		if _, clientErr, _, _ = handshake(toTwo, dialer); (clientErr == nil) != member || !member && !errors.Is(clientErr, ErrNotMember) {
			t.Errorf("dial %d, member %v: client says %v", i, member, clientErr)
		}
	}
}

// TestClockDoesNotMatter connects nodes whose certificates have expired, or are
// not valid yet, or were issued by a clock behind that of the CA.
func TestClockDoesNotMatter(t *testing.T) {
	ca := newCA(t, "red")
	expired := func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Second) }
	for _, c := range []struct {
		name string
		two  *Identity
	}{
		{"expired", forge(t, ca, "tutti://red/node/2", expired)},
		{"not valid yet", issue(t, ca, 2, now.AddDate(1000, 0, 0))},
		{"clock behind the CA", issue(t, ca, 2, now.AddDate(-50, 0, 0))},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := issue(t, ca, 1, now)
			serverErr, clientErr, _, _ := handshake(ServerConfig(NewHolder(one), members(1, 2)), ClientConfig(NewHolder(c.two), 1, anyone))
			if serverErr != nil || clientErr != nil {
				t.Errorf("as client: server says %v, client says %v", serverErr, clientErr)
			}
			serverErr, clientErr, _, _ = handshake(ServerConfig(NewHolder(c.two), members(1, 2)), ClientConfig(NewHolder(one), 2, anyone))
			if serverErr != nil || clientErr != nil {
				t.Errorf("as server: server says %v, client says %v", serverErr, clientErr)
			}
		})
	}
}

// TestOldTLSRefused offers TLS 1.2 from either side.
func TestOldTLSRefused(t *testing.T) {
	ca := newCA(t, "red")
	one, two := issue(t, ca, 1, now), issue(t, ca, 2, now)
	old := func(config *tls.Config) *tls.Config {
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		return config
	}
	if serverErr, _, _, _ := handshake(ServerConfig(NewHolder(one), members(1, 2)), old(ClientConfig(NewHolder(two), 1, anyone))); serverErr == nil {
		t.Error("server took TLS 1.2")
	}
	if _, clientErr, _, _ := handshake(old(ServerConfig(NewHolder(one), members(1, 2))), ClientConfig(NewHolder(two), 1, anyone)); clientErr == nil {
		t.Error("client took TLS 1.2")
	}
}

// TestTrustsSecondCA has a node trust two authorities, as it must while one
// replaces the other.
func TestTrustsSecondCA(t *testing.T) {
	old, next := newCA(t, "red"), newCA(t, "red")
	one, two := issue(t, old, 1, now), issue(t, next, 2, now)
	one.roots, two.roots = append(one.roots, next.cert), append(two.roots, old.cert)
	serverErr, clientErr, _, _ := handshake(ServerConfig(NewHolder(one), members(1, 2)), ClientConfig(NewHolder(two), 1, anyone))
	if serverErr != nil || clientErr != nil {
		t.Errorf("server: %v, client: %v", serverErr, clientErr)
	}
}

func TestPeerIDWithoutHandshake(t *testing.T) {
	if id, err := PeerID(tls.ConnectionState{}); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("got %d, %v", id, err)
	}
}

func TestNamesRefused(t *testing.T) {
	for _, name := range []string{"", "Red", "a.b", "a/b", "a b", "ä", "0123456789012345678901234567890123456789012345678901234567890123"} {
		if _, err := NewCA(name, now, rand.Reader); err == nil {
			t.Errorf("cluster name %q taken", name)
		}
	}
	for _, id := range []cluster.NodeID{0, cluster.NodeMax + 1} {
		if _, err := newCA(t, "red").IssueNode(id, now, rand.Reader); err == nil {
			t.Errorf("node id %d taken", id)
		}
	}
}
