package trust

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Names of the files in the directory of a node. The last one exists only where
// certificates are signed.
const (
	CAFile      = "ca.pem"
	NodeFile    = "node.pem"
	NodeKeyFile = "node.key"
	CAKeyFile   = "ca.key"
)

const (
	certType   = "CERTIFICATE"
	keyType    = "PRIVATE KEY"
	fileLenMax = 1 << 20
)

// ErrKeyExposed says that a key file may be read or written by others than its
// owner, who then must be assumed to have the key.
var ErrKeyExposed = errors.New("trust: key file is open to others, want mode 0600")

// Save writes ca.pem, node.pem and node.key to dir, each of them all or
// nothing.
func (i *Identity) Save(dir string) error {
	ca, node, key, err := i.PEM()
	if err != nil {
		return err
	}
	return saveAll(dir, []pemFile{{CAFile, ca, 0o644}, {NodeFile, node, 0o644}, {NodeKeyFile, key, 0o600}})
}

// Load reads ca.pem, node.pem and node.key from dir and checks that they belong
// together. ca.pem may hold several authorities, all of them trusted.
func Load(dir string) (*Identity, error) {
	ca, err := readFile(filepath.Join(dir, CAFile))
	if err != nil {
		return nil, err
	}
	node, err := readFile(filepath.Join(dir, NodeFile))
	if err != nil {
		return nil, err
	}
	key, err := readKeyFile(filepath.Join(dir, NodeKeyFile))
	if err != nil {
		return nil, err
	}
	ident, err := ParsePEM(ca, node, key)
	if err != nil {
		return nil, fmt.Errorf("load identity from %s: %w", dir, err)
	}
	return ident, nil
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
	leafs, err := parseCerts(node)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", NodeFile, err)
	}
	if len(leafs) != 1 {
		return nil, fmt.Errorf("%s: %d certificates, want 1", NodeFile, len(leafs))
	}
	private, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", NodeKeyFile, err)
	}
	return newIdentity(leafs[0], private, roots)
}

// Save writes ca.pem and ca.key to dir.
func (c *CA) Save(dir string) error {
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return fmt.Errorf("encode key of CA of cluster %s: %w", c.Cluster, err)
	}
	return saveAll(dir, []pemFile{
		{CAFile, encode(certType, c.cert.Raw), 0o644},
		{CAKeyFile, encode(keyType, der), 0o600},
	})
}

// LoadCA reads ca.pem, which must hold one certificate, and ca.key from dir.
func LoadCA(dir string) (*CA, error) {
	certPEM, err := readFile(filepath.Join(dir, CAFile))
	if err != nil {
		return nil, err
	}
	keyPEM, err := readKeyFile(filepath.Join(dir, CAKeyFile))
	if err != nil {
		return nil, err
	}
	ca, err := parseCA(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("load CA from %s: %w", dir, err)
	}
	return ca, nil
}

// parseCA checks that certificate and key make an authority.
func parseCA(certPEM, keyPEM []byte) (*CA, error) {
	certs, err := parseCerts(certPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", CAFile, err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", CAKeyFile, err)
	}
	if len(certs) != 1 {
		return nil, fmt.Errorf("%s: %d certificates, want 1", CAFile, len(certs))
	}
	cert := certs[0]
	switch {
	case !cert.IsCA || len(cert.URIs) != 1 || cert.URIs[0].Scheme != uriScheme:
		return nil, fmt.Errorf("%s: not the CA of a cluster", CAFile)
	case !key.PublicKey.Equal(cert.PublicKey):
		return nil, errors.New("trust: key does not belong to the CA")
	}
	cluster := cert.URIs[0].Host
	if err := checkCluster(cluster); err != nil {
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

// parseKey returns the ECDSA key of a PEM text.
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
	return key, nil
}

// pemFile is a file to be written.
type pemFile struct {
	name string
	text []byte
	mode fs.FileMode
}

// saveAll writes files to dir, which is made if it does not exist.
func saveAll(dir string, files []pemFile) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, file := range files {
		if err := replaceFile(filepath.Join(dir, file.name), file.text, file.mode); err != nil {
			return fmt.Errorf("save %s: %w", file.name, err)
		}
	}
	return syncDir(dir)
}

// replaceFile writes a file under another name and renames it when it is on the
// disk, so a crash leaves the old one. CreateTemp makes files of mode 0600: a
// key is never readable by others, not even while it is written.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails after the rename, as it should
	_, err = temp.Write(text)
	if err == nil {
		err = temp.Chmod(mode)
	}
	if err == nil {
		err = temp.Sync()
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// syncDir makes renames in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFile reads a file of reasonable length.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f)
}

// readKeyFile reads a file that nobody but its owner may open. The mode is that
// of the open file, so it cannot be exchanged after the check.
func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has %#o", ErrKeyExposed, path, info.Mode().Perm())
	}
	return readAll(f)
}

// readAll reads an open file and refuses one that cannot be what we wrote.
func readAll(f *os.File) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, fileLenMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > fileLenMax {
		return nil, fmt.Errorf("trust: %s is longer than %d bytes", f.Name(), fileLenMax)
	}
	return text, nil
}
