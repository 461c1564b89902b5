// Package trust gives every node of a cluster an identity that its peers can
// check, and makes the TLS configurations that check it.
//
// A cluster has one certificate authority (CA). It signs one certificate for
// each node, whose only name is a URI:
//
//	tutti://<cluster>/node/<id>
//
// The cluster is 1 to 63 lower-case letters, digits, "-" or "_"; the id is a
// decimal number from 1 on, without leading zeros. Other roles, such as
// tutti://<cluster>/client/<name>, may be signed by the same CA and are refused
// between nodes.
//
// A connection between two nodes is TLS 1.3 with a certificate on both sides,
// and either side insists on the CA, the cluster and the role. The side that
// listens asks the member list whether the id may speak, so a removed node is
// refused at once, without revocation lists. The side that dials insists on the
// id it meant to reach.
//
// # Service
//
// What a node shows to its clients is another certificate for the same key, which
// names the hosts that they dial and, for who looks at it,
//
//	tutti://<cluster>/service/<id>
//
// Its several names, and its role, make it worthless between nodes.
//
// # Request
//
// The key of a node is made on the node and never leaves it. What the node sends
// to an authority is
//
//	version:1 PKCS#10
//
// of at most 4096 bytes, signed with the key it asks a certificate for: ECDSA over
// P-256 with SHA-256. It proves that the sender has the key, and nothing else;
// names in it are ignored, since it is not the one who asks that decides who he
// is.
//
// # Joining
//
// A machine that wants to join has no certificate, but a token (see token.go). It
// dials the port for nodes with the protocol of join.go, and tells nothing before
// the node that answers has shown a certificate of the authority whose pin is in
// the token. Then it sends its request with a proof that it has the token, which
// holds for this request and this connection only.
//
// # Files
//
// ca.pem, node.pem and node.key are the identity of a node, service.pem is what
// it shows to clients, request.key is the key of one that waits for its first
// certificate. All are texts of PEM after one line that tools skip:
//
//	tutti identity, format 1, CRC-32C <8 hex digits>
//
// The checksum is that of the format's number and of all behind the line. Keys
// have mode 0600 and are refused with another one.
//
// # Time
//
// The validity period of certificates is not enforced between nodes. The member
// list and the possession of the key decide who is a member, both without a
// clock. If the period decided too, a cluster whose clocks are wrong, or that
// was switched off for too long, would lose its quorum for no gain: whoever
// steals a key is shut out by removing the node, which works at once, and not
// by waiting.
//
// Clients look at the clock, and so do their libraries and other tools. For them
// certificates are good for a day, and each node renews its own after half of it.
package trust

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tutti/internal/cluster"
)

const (
	uriScheme      = "tutti"
	roleNode       = "node"
	clusterLenMax  = 63
	identityFormat = uriScheme + "://%s/" + roleNode + "/%d"
)

// Reasons to refuse a peer, found with errors.Is in the error of the handshake
// on the side that refused.
var (
	ErrUntrusted    = errors.New("trust: certificate is not signed by the CA of this cluster")
	ErrNoIdentity   = errors.New("trust: certificate has no identity")
	ErrWrongRole    = errors.New("trust: role is not node")
	ErrWrongCluster = errors.New("trust: identity belongs to another cluster")
	ErrNotMember    = errors.New("trust: node is not a member")
	ErrWrongPeer    = errors.New("trust: another node answered")
)

// Identity is a node's own name, the key that proves it, and the authorities it
// trusts. It comes from Request.Identity, Load or ParsePEM and is not changed
// afterwards, so it may be shared by goroutines.
type Identity struct {
	Cluster string
	NodeID  cluster.NodeID

	leaf    *x509.Certificate
	key     *ecdsa.PrivateKey
	roots   []*x509.Certificate // Invariant: at least one, and one of them signed leaf
	service *x509.Certificate   // what clients are shown; nil: none
}

// String returns the URI of the identity.
func (i *Identity) String() string { return fmt.Sprintf(identityFormat, i.Cluster, i.NodeID) }

// Trusts reports whether the authority of a token is one of those that the
// identity trusts.
func (i *Identity) Trusts(pin Pin) bool {
	return slices.ContainsFunc(i.roots, func(root *x509.Certificate) bool { return pinOf(root) == pin })
}

// Renewable is when a certificate of the identity has lived for long enough to be
// renewed: between 50 and 60 % of its time from when it was signed. part, from 0 to
// 1, says where between, so that nodes that began together do not go on together.
func (i *Identity) Renewable(part float64) time.Time {
	due := renewable(i.leaf, part)
	if i.service != nil {
		if first := renewable(i.service, part); first.Before(due) {
			return first
		}
	}
	return due
}

func renewable(cert *x509.Certificate, part float64) time.Time {
	signed := cert.NotBefore.Add(backdate)
	life := cert.NotAfter.Sub(signed)
	return signed.Add(life/2 + time.Duration(part*float64(life)/10))
}

// Expires is when the first certificate of the identity ends for those who look at
// the clock.
func (i *Identity) Expires() time.Time {
	if i.service != nil && i.service.NotAfter.Before(i.leaf.NotAfter) {
		return i.service.NotAfter
	}
	return i.leaf.NotAfter
}

// newIdentity checks that the parts belong together.
func newIdentity(leaf *x509.Certificate, key *ecdsa.PrivateKey, roots []*x509.Certificate) (*Identity, error) {
	cluster, id, err := nodeName(leaf)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("trust: key does not belong to the certificate")
	}
	ident := &Identity{Cluster: cluster, NodeID: id, leaf: leaf, key: key, roots: roots}
	if err := ident.Accepts(ident); err != nil {
		return nil, err
	}
	return ident, nil
}

// nodeName returns the cluster and the id that a certificate names. The
// certificate must name exactly one thing, and spell it in the one form we
// write: two names would let the checks and the log disagree on who it is.
func nodeName(cert *x509.Certificate) (clusterID string, id cluster.NodeID, err error) {
	names := len(cert.URIs) + len(cert.DNSNames) + len(cert.IPAddresses) + len(cert.EmailAddresses)
	if len(cert.URIs) != 1 || names != 1 {
		return "", 0, fmt.Errorf("%w: %d names, %d of them URIs", ErrNoIdentity, names, len(cert.URIs))
	}
	uri := cert.URIs[0]
	role, name, _ := strings.Cut(strings.TrimPrefix(uri.Path, "/"), "/")
	if uri.Scheme != uriScheme || CheckCluster(uri.Host) != nil {
		return "", 0, fmt.Errorf("%w: %q", ErrNoIdentity, uri)
	}
	if role != roleNode {
		return "", 0, fmt.Errorf("%w: %q", ErrWrongRole, uri)
	}
	number, err := strconv.ParseUint(name, 10, 64)
	id = cluster.NodeID(number)
	if err != nil || id == 0 || uri.String() != fmt.Sprintf(identityFormat, uri.Host, id) {
		return "", 0, fmt.Errorf("%w: %q", ErrNoIdentity, uri)
	}
	return uri.Host, id, nil
}

// nodeURI returns the URI of a node.
func nodeURI(clusterID string, id cluster.NodeID) *url.URL {
	return &url.URL{Scheme: uriScheme, Host: clusterID, Path: "/" + roleNode + "/" + strconv.FormatUint(uint64(id), 10)}
}

// CheckCluster refuses names of clusters that a URI would have to escape or that could be
// spelled in two ways.
func CheckCluster(name string) error {
	if name == "" || len(name) > clusterLenMax {
		return fmt.Errorf("trust: cluster name of %d characters, want 1 to %d", len(name), clusterLenMax)
	}
	for _, c := range name {
		lower, digit := 'a' <= c && c <= 'z', '0' <= c && c <= '9'
		if !lower && !digit && c != '-' && c != '_' {
			return fmt.Errorf("trust: cluster name %q has %q, want only a-z, 0-9, - and _", name, c)
		}
	}
	return nil
}

// Accepts reports why this node would refuse other as a peer, by its certificate
// alone; nil: it would not.
func (i *Identity) Accepts(other *Identity) error {
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := i.verifyChain(other.leaf, usage); err != nil {
			return err
		}
	}
	return nil
}
