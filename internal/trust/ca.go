package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/url"
	"time"

	"tutti/internal/cluster"
)

const (
	// backdate lets tools on a machine whose clock is behind accept what was
	// just signed.
	backdate = time.Hour
	// nodeValidity is how long a certificate is good for whoever looks at the clock,
	// from when it was signed.
	nodeValidity = 24 * time.Hour
)

// endOfTime is what RFC 5280 gives as the end of a certificate that has none.
var endOfTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// CA signs the certificates of one cluster. Whoever has its key can add nodes,
// so it belongs on as few machines as possible; but it has to be somewhere, or
// no node can ever join.
type CA struct {
	Cluster string

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes the authority of a new cluster. It is valid without end. Random
// numbers come from rand as far as the crypto packages let a caller choose,
// which since Go 1.26 is in tests only.
func NewCA(cluster string, now time.Time, rand io.Reader) (*CA, error) {
	if err := CheckCluster(cluster); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand)
	if err != nil {
		return nil, fmt.Errorf("make key of CA of cluster %s: %w", cluster, err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "tutti CA of " + cluster},
		NotBefore:             now.Add(-backdate),
		NotAfter:              endOfTime,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		URIs:                  []*url.URL{{Scheme: uriScheme, Host: cluster}},
	}
	cert, err := sign(template, template, &key.PublicKey, key, rand)
	if err != nil {
		return nil, fmt.Errorf("sign CA of cluster %s: %w", cluster, err)
	}
	return &CA{Cluster: cluster, cert: cert, key: key}, nil
}

// Sign answers the request of a node with its certificate and with the
// authorities it is to trust, as texts of PEM for Request.Identity. The identity
// is the one given here: what the request names is ignored. It does not know
// which ids are taken; the member list does.
func (c *CA) Sign(request []byte, id cluster.NodeID, now time.Time, rand io.Reader) (ca, node []byte, err error) {
	if id == 0 || id > cluster.NodeMax {
		return nil, nil, fmt.Errorf("trust: node id %d is not between 1 and %d", id, cluster.NodeMax)
	}
	pub, err := requestKey(request)
	if err != nil {
		return nil, nil, err
	}
	name := nodeURI(c.Cluster, id)
	leaf, err := sign(leafTemplate(name, c.cert, now), c.cert, pub, c.key, rand)
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate of %s: %w", name, err)
	}
	return encode(certType, c.cert.Raw), encode(certType, leaf.Raw), nil
}

// IssueNode makes a key and a certificate for a node, where both are made in one
// place: when a cluster is formed.
func (c *CA) IssueNode(id cluster.NodeID, now time.Time, rand io.Reader) (*Identity, error) {
	r, err := NewRequest(rand)
	if err != nil {
		return nil, err
	}
	ca, node, err := c.Sign(r.Bytes(), id, now, rand)
	if err != nil {
		return nil, err
	}
	return r.Identity(ca, node)
}

// leafTemplate returns the certificate to sign for a name. A clock that is
// behind that of the machine that made the CA does not move its period before
// that of the CA, since a chain has to be valid at one moment.
func leafTemplate(name *url.URL, ca *x509.Certificate, now time.Time) *x509.Certificate {
	from := now.Add(-backdate)
	if from.Before(ca.NotBefore) {
		from = ca.NotBefore
	}
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name.String()},
		NotBefore:             from,
		NotAfter:              from.Add(backdate + nodeValidity),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{name},
	}
}

// sign signs a template, which gets a random serial number, and reads the
// result back.
func sign(template, parent *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey, rand io.Reader) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand, template, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
