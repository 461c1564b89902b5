package trust

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// serving is a node's identity with a certificate for clients.
func serving(t *testing.T, ca *CA, hosts ...string) *Identity {
	t.Helper()
	id := issue(t, ca, 7, time.Now())
	request, err := id.Renewal(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	service, err := ca.SignService(request.Bytes(), 7, hosts, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if id, err = id.WithService(service); err != nil {
		t.Fatal(err)
	}
	return id
}

// meet makes both ends shake hands over TCP: over a pipe a refusal would wait for
// the other side to have said everything.
func meet(t *testing.T, server, client *tls.Config) (atServer, atClient error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			s := tls.Server(conn, server)
			if err = s.Handshake(); err == nil {
				_, err = s.Write([]byte{1})
			}
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := tls.Client(raw, client)
	if atClient = c.Handshake(); atClient == nil {
		_, atClient = io.ReadFull(c, make([]byte, 1))
	}
	raw.Close()
	return <-done, atClient
}

func TestClientsKnowTheNodeByItsHost(t *testing.T) {
	ca := newCA(t, "orchestra")
	id := serving(t, ca, "localhost", "127.0.0.1", "::1", "ada.example")
	pair, ok := id.Service()
	if !ok {
		t.Fatal("no certificate for clients")
	}
	server := ServiceConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair, nil })
	fs := vfs.NewMem()
	if err := id.Save(fs, ""); err != nil {
		t.Fatal(err)
	}
	text, err := read(fs, CAFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		host string
		max  uint16
		good bool
	}{
		{"name", "ada.example", 0, true},
		{"address", "127.0.0.1", 0, true},
		{"IPv6", "::1", 0, true},
		{"TLS 1.2", "localhost", tls.VersionTLS12, true},
		{"TLS 1.1", "localhost", tls.VersionTLS11, false},
		{"another host", "10.0.0.9", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, err := DialConfig(text) // the file as it is, with its first line
			if err != nil {
				t.Fatal(err)
			}
			if client.ServerName = tt.host; tt.max != 0 {
				client.MinVersion, client.MaxVersion = 0, tt.max
			}
			if _, err := meet(t, server, client); (err == nil) != tt.good {
				t.Errorf("the client's handshake: %v", err)
			}
		})
	}
	stranger, err := DialConfig(pemOf(t, newCA(t, "orchestra")))
	if err != nil {
		t.Fatal(err)
	}
	stranger.ServerName = "localhost"
	if _, err := meet(t, server, stranger); err == nil {
		t.Error("a client took a node of another authority for one of its cluster")
	}
}

func pemOf(t *testing.T, ca *CA) []byte {
	t.Helper()
	text, _, _, err := issue(t, ca, 1, time.Now()).PEM()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func read(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Whoever steals what a node shows to clients has nothing that nodes accept.
func TestServiceIsWorthNothingBetweenNodes(t *testing.T) {
	ca := newCA(t, "orchestra")
	pair, _ := serving(t, ca, "localhost").Service()
	thief := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, Certificates: []tls.Certificate{*pair}}
	if err, _ := meet(t, ServerConfig(NewHolder(issue(t, ca, 2, time.Now())), anyone), thief); !errors.Is(err, ErrUntrusted) {
		t.Errorf("the peer port says %v", err)
	}
	service := ServiceConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair, nil })
	service.MinVersion = tls.VersionTLS13
	if _, err := meet(t, service, ClientConfig(NewHolder(issue(t, ca, 2, time.Now())), 7, anyone)); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("a node that dials says %v", err)
	}
}

func TestHostsOfACertificate(t *testing.T) {
	ca := newCA(t, "orchestra")
	request, err := issue(t, ca, 7, time.Now()).Renewal(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "*.example", "a b", "-a", "a-", "a..b", "a\x00b", "ä"} {
		if _, err := ca.SignService(request.Bytes(), 7, []string{host}, time.Now(), rand.Reader); !errors.Is(err, ErrHost) {
			t.Errorf("%q: %v", host, err)
		}
	}
	for _, hosts := range [][]string{nil, make([]string, 33)} {
		if _, err := ca.SignService(request.Bytes(), 7, hosts, time.Now(), rand.Reader); !errors.Is(err, ErrHost) {
			t.Errorf("%d hosts: %v", len(hosts), err)
		}
	}
	if !serving(t, ca, "localhost", "10.0.0.1").Serves([]string{"10.0.0.1"}) || serving(t, ca, "localhost").Serves([]string{"10.0.0.1"}) {
		t.Error("Serves does not tell whether a host is named")
	}
}

// What clients are shown can be made again, so a damaged file ends nothing.
func TestServiceIsKeptAndMayBeLost(t *testing.T) {
	fs := vfs.NewMem()
	id := serving(t, newCA(t, "orchestra"), "localhost")
	if err := id.Save(fs, ""); err != nil {
		t.Fatal(err)
	}
	if again, err := Load(fs, ""); err != nil || !again.Serves([]string{"localhost"}) {
		t.Fatalf("loaded again: %v, %v", again, err)
	}
	for _, name := range []string{ServiceFile, ServiceFile + ".2"} {
		f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if again, err := Load(fs, ""); err != nil || again.Serves([]string{"localhost"}) {
		t.Errorf("with both copies damaged: %v, %v", again, err)
	}
}

func TestPairOfAUserMustBeClosed(t *testing.T) {
	dir := t.TempDir()
	_, cert, key, err := serving(t, newCA(t, "orchestra"), "localhost").PEM()
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	for name, text := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := LoadPair(certFile, keyFile); !errors.Is(err, ErrKeyExposed) {
		t.Errorf("with a key that others may read: %v", err)
	}
	if err := os.Chmod(keyFile, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPair(certFile, keyFile); err != nil {
		t.Error(err)
	}
}

func TestCheckAddr(t *testing.T) {
	for _, addr := range []string{"10.0.0.11:7379", "[fd00::11]:7379", "ada:1", "ada.example.com:65535", "node_1:7379", "127.0.0.1:7379"} {
		if err := CheckAddr(addr); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, addr := range []string{"", "ada", ":7379", "ada:0", "ada:65536", "ada:http", "[10.0.0.11:6379]:7379", "a b:7379", "[[fd00::11]]:7379", "[http://ada]:7379", "*:7379",
		"0.0.0.0:7379", "[::]:7379", "[fe80::1%eth0]:7379", "224.0.0.1:7379", "-a:7379", "a..b:7379", strings.Repeat("x", 300) + ":7379", "ada\n:7379"} {
		if err := CheckAddr(addr); !errors.Is(err, ErrAddr) {
			t.Errorf("%q: %v", addr, err)
		}
	}
}
