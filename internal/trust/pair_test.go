package trust

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Somebody renews the certificate that he has brought, one file after the other: the
// old pair is used until both are there, and a broken one is told of once.
func TestPairIsReadAgain(t *testing.T) {
	dir, ca := t.TempDir(), newCA(t, "orchestra")
	certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	changes := 0
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		changes++ // file systems may be too coarse to tell two writes apart
		at := time.Now().Add(time.Duration(changes) * time.Minute)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	_, cert, key, err := serving(t, ca, "localhost").PEM()
	if err != nil {
		t.Fatal(err)
	}
	write(certFile, cert)
	write(keyFile, key)
	failures := 0
	p, err := OpenPair(certFile, keyFile, func(error) { failures++ })
	if err != nil {
		t.Fatal(err)
	}
	old := p.Current().Certificate[0]
	_, cert, key, err = serving(t, ca, "localhost").PEM()
	if err != nil {
		t.Fatal(err)
	}
	write(certFile, cert)
	for range 3 {
		if !bytes.Equal(p.Current().Certificate[0], old) || failures != 1 {
			t.Fatalf("half of a pair: %d failures", failures)
		}
	}
	write(keyFile, key)
	if bytes.Equal(p.Current().Certificate[0], old) || failures != 1 {
		t.Errorf("the new pair is not used; %d failures", failures)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(p.Current().Certificate[0], old) || failures != 1 {
		t.Errorf("a file that is away for a moment: %d failures", failures)
	}
}
