package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
)

const (
	requestVersion = 1
	// requestLenMax bounds what an authority looks at; a request of ours has
	// some 200 bytes.
	requestLenMax = 4 << 10
)

// ErrRequest says that an authority does not sign what it was given.
var ErrRequest = errors.New("trust: not a request for the certificate of a node")

// Request is a key that was made on this node and what the node sends to an
// authority to get a certificate for it.
type Request struct {
	key *ecdsa.PrivateKey
	der []byte
}

// NewRequest makes a key and a request. Random numbers come from rand as in
// NewCA.
func NewRequest(rand io.Reader) (*Request, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand)
	if err != nil {
		return nil, fmt.Errorf("make key of a node: %w", err)
	}
	return newRequest(key, rand)
}

func newRequest(key *ecdsa.PrivateKey, rand io.Reader) (*Request, error) {
	template := &x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA256}
	der, err := x509.CreateCertificateRequest(rand, template, key)
	if err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	return &Request{key: key, der: der}, nil
}

// Renewal makes a request for new certificates of the key that the identity has.
// It keeps its key: files that are replaced one after the other then belong
// together at any moment.
func (i *Identity) Renewal(rand io.Reader) (*Request, error) { return newRequest(i.key, rand) }

// Bytes returns what the authority needs for CA.Sign. It holds no secret.
func (r *Request) Bytes() []byte { return append([]byte{requestVersion}, r.der...) }

// Identity returns the identity that the answer of CA.Sign makes of the request.
// It refuses a certificate for another key.
func (r *Request) Identity(ca, node []byte) (*Identity, error) {
	roots, err := parseCerts(ca)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", CAFile, err)
	}
	leaf, err := parseLeaf(node)
	if err != nil {
		return nil, err
	}
	return newIdentity(leaf, r.key, roots)
}

// requestKey returns the key that a request asks a certificate for, once it is
// shown that the sender has it.
func requestKey(b []byte) (*ecdsa.PublicKey, error) {
	if len(b) == 0 || len(b) > requestLenMax {
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrRequest, len(b), requestLenMax)
	}
	if b[0] != requestVersion {
		return nil, fmt.Errorf("%w: the request has version %d, this node reads %d", ErrVersion, b[0], requestVersion)
	}
	r, err := x509.ParseCertificateRequest(b[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: its key is of kind %v, want ECDSA over P-256", ErrRequest, r.PublicKeyAlgorithm)
	}
	if r.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return nil, fmt.Errorf("%w: it is signed with %v, want %v", ErrRequest, r.SignatureAlgorithm, x509.ECDSAWithSHA256)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: the sender does not have its key: %w", ErrRequest, err)
	}
	return key, nil
}
