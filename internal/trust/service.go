package trust

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
)

// What clients see: they know a node by the host that they dial, and their
// libraries look at the clock.

// ServiceFile is the certificate that a node shows to clients, which belongs to
// the key in node.key. A node that serves without TLS, or with a certificate of
// its user, has none.
const ServiceFile = "service.pem"

// HostsMax is how many hosts one certificate for clients names.
const HostsMax = 32

const (
	roleService = "service"
	hostLenMax  = 253 // of a name of DNS
)

// ErrHost says that something is neither an address nor a host name.
var ErrHost = errors.New("trust: not a host that a certificate can name")

// SignService answers the request of a node with the certificate that it shows
// to clients, as a text of PEM. It names the hosts, which are addresses or names
// of DNS, and is worth nothing between nodes.
func (c *CA) SignService(request []byte, id cluster.NodeID, hosts []string, now time.Time, rand io.Reader) ([]byte, error) {
	pub, err := requestKey(request)
	if err != nil {
		return nil, err
	}
	if len(hosts) == 0 || len(hosts) > HostsMax {
		return nil, fmt.Errorf("%w: %d of them, want 1 to %d", ErrHost, len(hosts), HostsMax)
	}
	name := &url.URL{Scheme: uriScheme, Host: c.Cluster, Path: fmt.Sprintf("/%s/%d", roleService, id)}
	t := leafTemplate(name, c.cert, now)
	t.Subject = pkix.Name{CommonName: fmt.Sprintf("tutti node %d of %s", id, c.Cluster)}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			t.IPAddresses = append(t.IPAddresses, net.IP(addr.Unmap().AsSlice()))
			continue
		}
		if !isHostName(host) {
			return nil, fmt.Errorf("%w: %.64q", ErrHost, host)
		}
		t.DNSNames = append(t.DNSNames, strings.ToLower(host))
	}
	leaf, err := sign(t, c.cert, pub, c.key, rand)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", name, err)
	}
	return encode(certType, leaf.Raw), nil
}

// IsHost reports whether a certificate can name a host.
func IsHost(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || isHostName(host)
}

// ErrAddr says that nobody could reach a node at an address.
var ErrAddr = errors.New("trust: not an address that others can reach")

// CheckAddr refuses what is no address at which others reach a node: the name of a host
// or an IP address of it, and a port.
func CheckAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 {
		return fmt.Errorf("%w: %.300q, want a host and a port", ErrAddr, addr)
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case !IsHost(host):
		return fmt.Errorf("%w: %.300q, want the name of a host or an IP address, without a port", ErrAddr, host)
	case err == nil && (ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != ""):
		return fmt.Errorf("%w: %s means another machine to each of them", ErrAddr, host)
	}
	return nil
}

// isHostName reports whether a name can stand in a certificate as it is: no
// pattern, nothing to be escaped.
func isHostName(name string) bool {
	if name == "" || len(name) > hostLenMax {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
			if !letter && c != '-' && c != '_' && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}

// WithService returns the identity with a certificate of SignService in the
// place of what it showed to clients before.
func (i *Identity) WithService(service []byte) (*Identity, error) {
	leaf, err := parseService(service)
	if err != nil {
		return nil, err
	}
	return i.withService(leaf)
}

func parseService(text []byte) (*x509.Certificate, error) {
	certs, err := parseCerts(text)
	if err == nil && len(certs) != 1 {
		err = fmt.Errorf("%d certificates, want 1", len(certs))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ServiceFile, err)
	}
	return certs[0], nil
}

func (i *Identity) withService(leaf *x509.Certificate) (*Identity, error) {
	if !i.key.PublicKey.Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("%s: the key of the node does not belong to it", ServiceFile)
	}
	if err := i.verifyChain(leaf, x509.ExtKeyUsageServerAuth); err != nil {
		return nil, fmt.Errorf("%s: %w", ServiceFile, err)
	}
	next := *i
	next.service = leaf
	return &next, nil
}

// Serves reports whether the identity has a certificate for clients that names
// all of hosts.
func (i *Identity) Serves(hosts []string) bool {
	return i.service != nil && !slices.ContainsFunc(hosts, func(h string) bool { return i.service.VerifyHostname(h) != nil })
}

// Service returns what the node shows to clients; ok is false if it has nothing
// to show.
func (i *Identity) Service() (cert *tls.Certificate, ok bool) {
	if i.service == nil {
		return nil, false
	}
	return &tls.Certificate{Certificate: [][]byte{i.service.Raw}, PrivateKey: i.key, Leaf: i.service}, true
}

// ServiceConfig returns the configuration of the port for clients. current is
// asked during each handshake, from the goroutine of the connection, so a new
// certificate needs no restart.
func ServiceConfig(current func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		// Libraries of clients that speak no 1.3 are still about.
		MinVersion: tls.VersionTLS12,
		// Of 1.2 only what has forward secrecy and authenticated encryption; those
		// of 1.3 can't be chosen and are all good.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		GetCertificate: current,
	}
}

// LoadPair reads a certificate that a user brings for the port of clients, with
// the ones that signed it behind it, and its key. The key must be closed to
// others.
func LoadPair(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	key, err := readFile(vfs.Default, keyFile, secret)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
}

// DialConfig returns the configuration of a client that trusts the authorities
// of a file such as ca.pem.
func DialConfig(ca []byte) (*tls.Config, error) {
	roots, err := parseCerts(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}
