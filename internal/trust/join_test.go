package trust

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"flag"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"

	"tutti/internal/cluster"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files of formats anew")

// aToken is a token that is always the same.
func aToken(t testing.TB) Token {
	t.Helper()
	token, err := NewToken(Pin{1, 2, 3, 31: 255}, strings.NewReader("five!a secret of 20 bytes"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// aRequest is a request with all its fields, and its proof.
func aRequest(token Token, exporter []byte) JoinRequest {
	r := JoinRequest{Token: token.ID, Request: []byte("a request"), Name: "ada", Zone: "z1", Peer: "10.0.0.1:7379", Client: "10.0.0.1:6379",
		Role: cluster.Gateway, Version: 7, Hosts: []string{"10.0.0.1", "ada"}}
	r.Proof = token.Key().Prove(exporter, r)
	return r
}

func TestToken(t *testing.T) {
	token := aToken(t)
	if text := token.Text(); len(text) != 101 {
		t.Errorf("%d characters", len(text))
	}
	if again, err := ParseToken(token.Text()); err != nil || again != token {
		t.Errorf("%v, %v", again, err)
	}
	if id, err := ParseTokenID(token.ID.String()); err != nil || id != token.ID {
		t.Errorf("%v, %v", id, err)
	}
	short := strings.NewReader("too short")
	if _, err := NewToken(Pin{}, short); err == nil {
		t.Error("a token of too few random numbers")
	}
}

// TestTokenRefused changes every letter of a token, and cuts it off everywhere.
func TestTokenRefused(t *testing.T) {
	good := aToken(t).Text()
	for n := range good {
		if _, err := ParseToken(good[:n]); !errors.Is(err, ErrToken) {
			t.Errorf("the first %d characters: %v", n, err)
		}
		for _, letter := range []string{".", "1", "A", " ", "\n", "", "é"} {
			if changed := good[:n] + letter + good[n+1:]; changed != good {
				if _, err := ParseToken(changed); !errors.Is(err, ErrToken) && !errors.Is(err, ErrTokenVersion) {
					t.Errorf("%q: %v", changed, err)
				}
			}
		}
	}
	parts := strings.Split(good, ".")
	last := parts[2][len(parts[2])-1]
	at := strings.IndexByte("abcdefghijklmnopqrstuvwxyz234567", last)
	parts[2] = parts[2][:len(parts[2])-1] + string("abcdefghijklmnopqrstuvwxyz234567"[at^1])
	for text, want := range map[string]error{
		strings.Join(parts, "."):  ErrToken, // other bits that nobody decodes
		strings.ToUpper(good):     ErrToken,
		" " + good:                ErrToken,
		good + "\n":               ErrToken,
		good + ".":                ErrToken,
		"tutti2" + good[6:]:       ErrTokenVersion,
		"tutti-x" + good[6:]:      ErrToken,
		strings.Repeat("a", 1000): ErrToken,
	} {
		if _, err := ParseToken(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

// TestTokenErrorsHoldNoSecret looks for the secret in what is said of a token that
// was copied badly.
func TestTokenErrorsHoldNoSecret(t *testing.T) {
	good := aToken(t).Text()
	secret := good[strings.LastIndexByte(good, '.')+1:]
	for _, text := range []string{good[:len(good)-1], good + "1", strings.Replace(good, ".", "", 1), "x" + good} {
		if _, err := ParseToken(text); err == nil || strings.Contains(err.Error(), secret[:12]) {
			t.Errorf("%v", err)
		}
	}
}

// FuzzParseToken reads any text as a token: what is taken is spelled as Text does.
func FuzzParseToken(f *testing.F) {
	good := aToken(f).Text()
	f.Add(good)
	f.Add(good[:50])
	f.Add(strings.Replace(good, ".", "\n", 1))
	f.Add("tutti2....")
	f.Fuzz(func(t *testing.T, s string) {
		if token, err := ParseToken(s); err == nil && token.Text() != s {
			t.Errorf("%q is taken for %q", s, token.Text())
		}
	})
}

// TestProof changes what is proved, and what it is bound to.
func TestProof(t *testing.T) {
	token, exporter := aToken(t), []byte("what both ends know")
	good := aRequest(token, exporter)
	if !token.Key().Check(exporter, good) {
		t.Error("not proved")
	}
	for what, change := range map[string]func(r *JoinRequest){
		"token": func(r *JoinRequest) { r.Token[0]++ }, "key": func(r *JoinRequest) { r.Request = []byte("another") },
		"name": func(r *JoinRequest) { r.Name = "eve" }, "zone": func(r *JoinRequest) { r.Zone = "" },
		"peer": func(r *JoinRequest) { r.Peer = "" }, "client": func(r *JoinRequest) { r.Client = "x" },
		"role": func(r *JoinRequest) { r.Role = cluster.Storage }, "version": func(r *JoinRequest) { r.Version++ },
		"hosts":         func(r *JoinRequest) { r.Hosts = []string{"eve"} },
		"proof":         func(r *JoinRequest) { r.Proof[31]++ },
		"name and zone": func(r *JoinRequest) { r.Name, r.Zone = r.Name+r.Zone[:1], r.Zone[1:] },
	} {
		r := good
		if change(&r); token.Key().Check(exporter, r) {
			t.Errorf("another %s: still proved", what)
		}
	}
	if token.Key().Check([]byte("another connection"), good) {
		t.Error("proved on another connection")
	}
	other := token
	other.secret[0]++
	if other.Key().Check(exporter, good) {
		t.Error("proved by another secret")
	}
	other = token
	other.Pin[0]++
	if other.Key().Check(exporter, good) {
		t.Error("proved for another cluster")
	}
}

// TestJoinGolden compares the records with their bytes as the first version wrote
// them.
func TestJoinGolden(t *testing.T) {
	request := aRequest(aToken(t), []byte("what both ends know"))
	answer := JoinAnswer{Node: 3, Time: 12345, CA: []byte("authorities"), Cert: []byte("certificate"), Service: []byte("service"), Map: []byte("map")}
	for name, got := range map[string][]byte{"join-request-1.hex": request.Encode(nil), "join-answer-1.hex": answer.Encode(nil)} {
		name = "testdata/" + name
		if *rewrite {
			if err := os.WriteFile(name, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil || hex.EncodeToString(got) != strings.TrimSpace(string(want)) {
			t.Errorf("%s: %x, want %s, %v", name, got, want, err)
		}
	}
	if again, err := DecodeJoinRequest(request.Encode(nil)); err != nil || !reflect.DeepEqual(again, request) {
		t.Errorf("%+v, %v", again, err)
	}
	if again, err := DecodeJoinAnswer(answer.Encode(nil)); err != nil || !reflect.DeepEqual(again, normal(answer)) {
		t.Errorf("%+v, %v", again, err)
	}
}

// normal is an answer as it is decoded.
func normal(a JoinAnswer) JoinAnswer {
	for _, f := range []*[]byte{&a.CA, &a.Cert, &a.Service, &a.Map} {
		if *f == nil {
			*f = []byte{}
		}
	}
	return a
}

// TestJoinRecordsRefused cuts records off, and makes them those of a later version.
func TestJoinRecordsRefused(t *testing.T) {
	request := aRequest(aToken(t), nil).Encode(nil)
	answer := JoinAnswer{Refusal: "ERR no"}.Encode(nil)
	for n := range request {
		if _, err := DecodeJoinRequest(request[:n]); !errors.Is(err, ErrJoin) {
			t.Errorf("%d bytes of a request: %v", n, err)
		}
	}
	for n := range answer {
		if _, err := DecodeJoinAnswer(answer[:n]); !errors.Is(err, ErrJoin) {
			t.Errorf("%d bytes of an answer: %v", n, err)
		}
	}
	_, longRequest := DecodeJoinRequest(append(bytes.Clone(request), 0))
	_, longAnswer := DecodeJoinAnswer(append(bytes.Clone(answer), 0))
	_, huge := ReadJoinRequest(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff}))
	_, cut := ReadJoinAnswer(bytes.NewReader([]byte{0, 0, 0, 9, 1}))
	if !errors.Is(longRequest, ErrJoin) || !errors.Is(longAnswer, ErrJoin) || !errors.Is(huge, ErrJoin) || cut == nil {
		t.Errorf("%v, %v, %v, %v", longRequest, longAnswer, huge, cut)
	}
	request[0], answer[0] = joinVersion+1, joinVersion+1
	_, laterRequest := DecodeJoinRequest(request)
	_, laterAnswer := DecodeJoinAnswer(answer)
	if !errors.Is(laterRequest, ErrVersion) || !errors.Is(laterAnswer, ErrVersion) {
		t.Errorf("%v, %v", laterRequest, laterAnswer)
	}
}

func FuzzDecodeJoinRequest(f *testing.F) {
	f.Add(aRequest(aToken(f), nil).Encode(nil))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeJoinRequest(b); err == nil && !bytes.Equal(r.Encode(nil), b) {
			t.Errorf("%x becomes %x", b, r.Encode(nil))
		}
	})
}

func FuzzDecodeJoinAnswer(f *testing.F) {
	f.Add(JoinAnswer{Node: 1, CA: []byte("a"), Cert: []byte("b"), Map: []byte("c")}.Encode(nil))
	f.Add(JoinAnswer{Refusal: "ERR"}.Encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := DecodeJoinAnswer(b); err == nil && !bytes.Equal(a.Encode(nil), b) {
			t.Errorf("%x becomes %x", b, a.Encode(nil))
		}
	})
}

// joined does the handshake of a machine that joins, and returns what each end
// says, and what each exports.
//
//nolint:staticcheck // ST1008: as in handshake
func joined(t *testing.T, server, client *tls.Config) (serverErr, clientErr error, exported [2][]byte) {
	t.Helper()
	// Not a pipe: a client that refuses speaks while the server still writes.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	clientEnd, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		serverEnd, err := l.Accept()
		if err != nil {
			accepted <- err
			return
		}
		conn := tls.Server(serverEnd, server)
		if err = conn.Handshake(); err == nil {
			exported[0], err = Exporter(conn.ConnectionState())
		}
		accepted <- errors.Join(err, serverEnd.Close())
	}()
	conn := tls.Client(clientEnd, client)
	if clientErr = conn.Handshake(); clientErr == nil {
		exported[1], clientErr = Exporter(conn.ConnectionState())
	}
	clientErr = errors.Join(clientErr, clientEnd.Close())
	return <-accepted, clientErr, exported
}

// TestJoinHandshake shows a machine all kinds of servers: it speaks with a node of
// the token's cluster only.
func TestJoinHandshake(t *testing.T) {
	ca := newCA(t, "red")
	two := newCA(t, "red")
	good := issue(t, ca, 1, now)
	turning := issue(t, ca, 1, now)
	turning.roots = append(turning.roots, two.cert)
	noCA := JoinServer(good)
	noCA.Certificates[0].Certificate = noCA.Certificates[0].Certificate[:1]
	// Another cluster that shows the certificate of our authority, which is no
	// secret, beside its own.
	liar := JoinServer(issue(t, two, 1, now))
	liar.Certificates[0].Certificate = append(liar.Certificates[0].Certificate, ca.cert.Raw)
	plain := JoinServer(good)
	plain.NextProtos = nil
	for _, c := range []struct {
		what   string
		server *tls.Config
		want   error
	}{
		{"ours", JoinServer(good), nil},
		{"ours, which trusts a second authority", JoinServer(turning), nil},
		{"another cluster", JoinServer(issue(t, two, 1, now)), ErrPin},
		{"another cluster with our authority", liar, ErrUntrusted},
		{"no authority shown", noCA, ErrPin},
		{"a client's certificate", JoinServer(forge(t, ca, "tutti://red/client/1", nil)), ErrWrongRole},
		{"the authority itself", JoinServer(&Identity{Cluster: "red", leaf: ca.cert, key: ca.key, roots: good.roots}), ErrUntrusted},
		{"a TLS server that knows nothing of joins", plain, ErrNotPeerPort},
	} {
		serverErr, clientErr, exported := joined(t, c.server, JoinClient(ca.Pin()))
		if !errors.Is(clientErr, c.want) || (clientErr == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.what, clientErr, c.want)
		}
		if c.want == nil && (serverErr != nil || !bytes.Equal(exported[0], exported[1]) || len(exported[0]) != exporterLen) {
			t.Errorf("%s: %v, exported %x and %x", c.what, serverErr, exported[0], exported[1])
		}
	}
}

// TestPinOutlivesTheCertificate signs the authority's key again.
func TestPinOutlivesTheCertificate(t *testing.T) {
	ca := newCA(t, "red")
	renewed, err := sign(ca.cert, ca.cert, &ca.key.PublicKey, ca.key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if pinOf(renewed) != ca.Pin() || newCA(t, "red").Pin() == ca.Pin() {
		t.Error("the pin is not that of the key")
	}
	if ident := issue(t, ca, 1, now); !ident.Trusts(ca.Pin()) || ident.Trusts(newCA(t, "red").Pin()) {
		t.Error("trusts the wrong one")
	}
}
