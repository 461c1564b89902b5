package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Names of the files in the folder of a node. The last one is there only while
// the node waits for its first certificate.
const (
	CAFile      = "ca.pem"
	NodeFile    = "node.pem"
	NodeKeyFile = "node.key"
	RequestFile = "request.key"
)

const (
	certType = "CERTIFICATE"
	keyType  = "PRIVATE KEY"
)

// Save writes ca.pem, node.pem and node.key to dir, and service.pem if there is
// a certificate for clients, each of them all or nothing.
func (i *Identity) Save(fs vfs.FS, dir string) error {
	ca, node, key, err := i.PEM()
	if err != nil {
		return err
	}
	files := []textFile{{CAFile, ca, public}, {NodeFile, node, public}, {NodeKeyFile, key, secret}}
	if i.service != nil {
		files = append(files, textFile{ServiceFile, encode(certType, i.service.Raw), public})
	}
	return saveAll(fs, dir, files)
}

// Load reads ca.pem, node.pem and node.key from dir and checks that they belong
// together, and service.pem if it is there. ca.pem may hold several authorities,
// all of them trusted.
func Load(fs vfs.FS, dir string) (*Identity, error) {
	texts, err := loadAll(fs, dir, []textFile{{name: CAFile}, {name: NodeFile}, {name: NodeKeyFile, who: secret}})
	if err != nil {
		return nil, err
	}
	ident, err := ParsePEM(texts[0], texts[1], texts[2])
	if err != nil {
		return nil, fmt.Errorf("load identity from %s: %w", dir, err)
	}
	return ident.loadService(fs, dir)
}

// loadService adds what service.pem holds. One that is damaged, or that belongs
// to what the node was before, is as good as none: it is signed anew, and nobody
// relies on it meanwhile but clients, which would refuse it.
func (i *Identity) loadService(fs vfs.FS, dir string) (*Identity, error) {
	texts, err := loadAll(fs, dir, []textFile{{name: ServiceFile}})
	switch {
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrDamaged):
		return i, nil
	case err != nil:
		return nil, err
	}
	if with, err := i.WithService(texts[0]); err == nil {
		return with, nil
	}
	return i, nil
}

// PEM returns the contents of ca.pem, node.pem and node.key, for handing the
// identity to a node on another machine.
func (i *Identity) PEM() (ca, node, key []byte, err error) {
	for _, root := range i.roots {
		ca = append(ca, encode(certType, root.Raw)...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("encode key of %s: %w", i, err)
	}
	return ca, encode(certType, i.leaf.Raw), encode(keyType, der), nil
}

// ParsePEM is the inverse of PEM and checks that the parts belong together.
func ParsePEM(ca, node, key []byte) (*Identity, error) {
	roots, err := parseCerts(ca)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", CAFile, err)
	}
	leaf, err := parseLeaf(node)
	if err != nil {
		return nil, err
	}
	private, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", NodeKeyFile, err)
	}
	return newIdentity(leaf, private, roots)
}

// Save writes the key of the request to dir durably, so that a machine that was
// stopped while it asked for a certificate asks again with the same key.
func (r *Request) Save(fs vfs.FS, dir string) error {
	der, err := x509.MarshalPKCS8PrivateKey(r.key)
	if err != nil {
		return fmt.Errorf("encode key of a request: %w", err)
	}
	return saveAll(fs, dir, []textFile{{RequestFile, encode(keyType, der), secret}})
}

// LoadRequest makes a request for the key in dir. Where there is none the error
// is fs.ErrNotExist.
func LoadRequest(fs vfs.FS, dir string, rand io.Reader) (*Request, error) {
	texts, err := loadAll(fs, dir, []textFile{{name: RequestFile, who: secret}})
	if err != nil {
		return nil, err
	}
	key, err := parseKey(texts[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fs.PathJoin(dir, RequestFile), err)
	}
	return newRequest(key, rand)
}

// RemoveRequest removes the key of a request, once the node has its identity.
func RemoveRequest(fs vfs.FS, dir string) error {
	for _, name := range []string{RequestFile, RequestFile + secondCopy} {
		if err := fs.Remove(fs.PathJoin(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove key of a request: %w", err)
		}
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// PEM returns certificate and key of the authority, for where it is kept. Whoever
// has them can be any node.
func (c *CA) PEM() (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key of CA of cluster %s: %w", c.Cluster, err)
	}
	return encode(certType, c.cert.Raw), encode(keyType, der), nil
}

// ParseCA is the inverse of CA.PEM and checks that the parts belong together.
func ParseCA(certPEM, keyPEM []byte) (*CA, error) {
	certs, err := parseCerts(certPEM)
	if err != nil {
		return nil, fmt.Errorf("read a CA: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("read a CA: %w", err)
	}
	if len(certs) != 1 {
		return nil, fmt.Errorf("trust: a CA with %d certificates, want 1", len(certs))
	}
	cert := certs[0]
	switch {
	case !cert.IsCA || len(cert.URIs) != 1 || cert.URIs[0].Scheme != uriScheme:
		return nil, errors.New("trust: not the CA of a cluster")
	case !key.PublicKey.Equal(cert.PublicKey):
		return nil, errors.New("trust: key does not belong to the CA")
	}
	// It signs itself: a damaged one would issue certificates that nobody takes.
	if err := cert.CheckSignatureFrom(cert); err != nil {
		return nil, fmt.Errorf("trust: the certificate of the CA is damaged: %w", err)
	}
	cluster := cert.URIs[0].Host
	if err := CheckCluster(cluster); err != nil {
		return nil, err
	}
	return &CA{Cluster: cluster, cert: cert, key: key}, nil
}

// encode returns one PEM block.
func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// parseCerts returns the certificates of a PEM text that holds nothing else,
// and at least one.
func parseCerts(text []byte) (certs []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certType {
			return nil, fmt.Errorf("trust: %s where a certificate is expected", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse certificate: %w", err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("trust: no certificate found")
	}
	return certs, nil
}

// parseLeaf returns the one certificate of a node.
func parseLeaf(text []byte) (*x509.Certificate, error) {
	certs, err := parseCerts(text)
	if err == nil && len(certs) != 1 {
		err = fmt.Errorf("%d certificates, want 1", len(certs))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", NodeFile, err)
	}
	return certs[0], nil
}

// parseKey returns the ECDSA key of a PEM text; it is of the one curve we use.
func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != keyType {
		return nil, errors.New("trust: no private key found")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("trust: key is %T, want ECDSA", parsed)
	}
	if key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("trust: key is of curve %s, want P-256", key.Curve.Params().Name)
	}
	return key, nil
}
