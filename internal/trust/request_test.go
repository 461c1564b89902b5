package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// testRequest returns a request as NewRequest would not make it.
func testRequest(t *testing.T, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{requestVersion}, der...)
}

func testKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRequest has a node ask, and speak with what it is answered.
func TestRequest(t *testing.T) {
	ca := newCA(t, "red")
	r, err := NewRequest(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := r.key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(r.Bytes(), secret) {
		t.Error("the key is in the request")
	}
	roots, node, err := ca.Sign(r.Bytes(), 9, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	nine, err := r.Identity(roots, node)
	if err != nil || nine.String() != "tutti://red/node/9" {
		t.Fatalf("%v, %v", nine, err)
	}
	one := issue(t, ca, 1, now)
	serverErr, clientErr, id, _ := handshake(ServerConfig(NewHolder(one), members(1, 9)), ClientConfig(NewHolder(nine), 1, anyone))
	if serverErr != nil || clientErr != nil || id != 9 {
		t.Errorf("node %d, server: %v, client: %v", id, serverErr, clientErr)
	}
	other, err := NewRequest(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Identity(roots, node); err == nil {
		t.Error("a certificate for another key was taken")
	}
	foreign, _, err := newCA(t, "red").Sign(other.Bytes(), 9, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Identity(foreign, node); !errors.Is(err, ErrUntrusted) {
		t.Errorf("a certificate of another authority: %v", err)
	}
}

// TestRequestNamesNobody asks for all kinds of names and powers, and gets what
// the authority says.
func TestRequestNamesNobody(t *testing.T) {
	ca := newCA(t, "red")
	isCA, err := url.Parse("tutti://red/node/1")
	if err != nil {
		t.Fatal(err)
	}
	roots, node, err := ca.Sign(testRequest(t, testKey(t, elliptic.P256()), x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "tutti://red/node/1"}, DNSNames: []string{"n1"}, EmailAddresses: []string{"a@b"},
		IPAddresses: []net.IP{{1, 2, 3, 4}}, URIs: []*url.URL{isCA},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}, // CA:TRUE
	}), 2, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := parseLeaf(node)
	if err != nil {
		t.Fatal(err)
	}
	if _, id, err := nodeName(leaf); err != nil || id != 2 || leaf.IsCA || leaf.Subject.CommonName != "tutti://red/node/2" {
		t.Errorf("node %d, CA %v, subject %v, %v", id, leaf.IsCA, leaf.Subject, err)
	}
	if certs, err := parseCerts(roots); err != nil || !certs[0].Equal(ca.cert) {
		t.Errorf("other roots: %v", err)
	}
}

func TestRequestRefused(t *testing.T) {
	ca := newCA(t, "red")
	good, err := NewRequest(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stolen := bytes.Clone(good.Bytes())
	stolen[len(stolen)-1] ^= 1 // in the signature
	p256 := testKey(t, elliptic.P256())
	for _, c := range []struct {
		name    string
		request []byte
		want    error
	}{
		{"nothing", nil, ErrRequest},
		{"version only", []byte{requestVersion}, ErrRequest},
		{"later version", append([]byte{2}, good.der...), ErrVersion},
		{"too long", testRequest(t, p256, x509.CertificateRequest{DNSNames: slices.Repeat([]string{"n"}, requestLenMax)}), ErrRequest},
		{"something behind it", append(good.Bytes(), 0), ErrRequest},
		{"signature of another", stolen, ErrRequest},
		{"RSA", testRequest(t, rsaKey, x509.CertificateRequest{}), ErrRequest},
		{"Ed25519", testRequest(t, edKey, x509.CertificateRequest{}), ErrRequest},
		{"P-224", testRequest(t, testKey(t, elliptic.P224()), x509.CertificateRequest{}), ErrRequest},
		{"P-384", testRequest(t, testKey(t, elliptic.P384()), x509.CertificateRequest{}), ErrRequest},
		{"SHA-512", testRequest(t, p256, x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA512}), ErrRequest},
		{"a certificate", append([]byte{requestVersion}, ca.cert.Raw...), ErrRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := ca.Sign(c.request, 2, now, rand.Reader); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestWeakKeyFile refuses a key of another curve in a file, as in a request.
func TestWeakKeyFile(t *testing.T) {
	der, err := x509.MarshalPKCS8PrivateKey(testKey(t, elliptic.P224()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseKey(encode(keyType, der)); err == nil || !strings.Contains(err.Error(), "P-224") {
		t.Errorf("got %v", err)
	}
}

// TestGolden reads what this version has written: the formats in testdata do not
// change without a version of their own.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/request-1.hex")
	if err != nil {
		t.Fatal(err)
	}
	request, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := newCA(t, "red").Sign(request, 4, now, rand.Reader); err != nil {
		t.Error(err)
	}
	sealed, err := os.ReadFile("testdata/file-1.txt")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := unseal(sealed); err != nil || string(text) != "what PEM says\n" || !bytes.Equal(seal(text), sealed) {
		t.Errorf("%q, %v; written as %q", text, err, seal(text))
	}
}
