package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/resp"
	"tutti/internal/shard"
	"tutti/internal/trust"
)

// within is how long a test waits for what happens soon.
const within = 30 * time.Second

// place returns a place on this machine with two free ports.
func place(t *testing.T, dir string) Place {
	t.Helper()
	var addrs []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return Place{Dir: dir, Peer: addrs[0], Client: addrs[1], Small: true}
}

// founded makes a cluster of one node, which runs.
func founded(t *testing.T, name string) (*Node, Founding) {
	t.Helper()
	f := Founding{Place: place(t, filepath.Join(t.TempDir(), "1")), Cluster: name, Name: "one"}
	if err := Init(Config{}, f); err != nil {
		t.Fatal(err)
	}
	return opened(t, f.Dir), f
}

func opened(t *testing.T, dir string) *Node {
	t.Helper()
	n, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// ask runs a command on meta until it is answered.
func ask(t *testing.T, n *Node, args ...string) string {
	t.Helper()
	for end := time.Now().Add(within); ; {
		v, err := n.Meta(t.Context(), args...)
		if err == nil {
			return string(v.Str)
		}
		if time.Now().After(end) {
			t.Fatalf("%v: %v", args, err)
		}
	}
}

func token(t *testing.T, n *Node, options ...string) trust.Token {
	t.Helper()
	text := ask(t, n, append([]string{"TUTTI.TOKEN", "CREATE"}, options...)...)
	token, err := trust.ParseToken(text)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return token
}

// joining is what a machine asks to become a node called name.
func joining(t *testing.T, f Founding, token trust.Token, name string) Joining {
	t.Helper()
	return Joining{Place: place(t, filepath.Join(t.TempDir(), name)), Addr: f.Peer, Token: token, Name: name}
}

// TestJoin takes two machines in, which then hold all there is, the authority
// included.
func TestJoin(t *testing.T) {
	one, f := founded(t, "red")
	nodes := []*Node{one}
	for i, name := range []string{"two", "three"} {
		j := joining(t, f, token(t, one), name)
		joined, err := Join(t.Context(), Config{}, j)
		if err != nil {
			t.Fatal(err)
		}
		if want := cluster.NodeID(i + 2); joined.Self.Node != want || joined.Map.Name != "red" || joined.Ahead.Abs() > time.Minute {
			t.Fatalf("joined as %+v, want node %d", joined, want)
		}
		nodes = append(nodes, opened(t, j.Dir))
	}
	placed(t, nodes[2], 3)
}

// placed waits until all shards have n voters and nothing else.
func placed(t *testing.T, node *Node, n int) {
	t.Helper()
	for end := time.Now().Add(within); ; {
		ask(t, node, "TUTTI.MAP")
		done := true
		for _, s := range node.maps.Map().Shards {
			done = done && len(s.Voters()) == n && len(s.Replicas) == n
		}
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", node.maps.Map())
		}
	}
}

// TestJoinRefused comes with all kinds of tokens: nothing is made, nobody
// becomes a member.
func TestJoinRefused(t *testing.T) {
	one, f := founded(t, "red")
	other, _ := founded(t, "blue")
	used := token(t, one)
	if _, err := Join(t.Context(), Config{}, joining(t, f, used, "two")); err != nil {
		t.Fatal(err)
	}
	revoked := token(t, one)
	if got := ask(t, one, "TUTTI.TOKEN", "REVOKE", revoked.ID.String()); got != "OK" {
		t.Fatal(got)
	}
	good := token(t, one, "USES", "9")
	wrong, err := trust.NewToken(good.Pin, strings.NewReader(string(good.ID[:])+strings.Repeat("x", 20)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		token trust.Token
		name  string
		role  cluster.Role
		code  string
		err   error
	}{
		{"used", used, "three", cluster.Storage, "TOKENUSED", nil},
		{"revoked", revoked, "three", cluster.Storage, "TOKENUNKNOWN", nil},
		{"with another secret", wrong, "three", cluster.Storage, "TOKENWRONG", nil},
		{"for another role", good, "three", cluster.Gateway, "TOKENROLE", nil},
		{"same name", good, "two", cluster.Storage, "NAMETAKEN", nil},
		{"a name that is none", good, "two\n", cluster.Storage, "ERR", nil},
		{"of another cluster", token(t, other), "three", cluster.Storage, "", trust.ErrPin},
	} {
		t.Run(strings.ReplaceAll(c.what, " ", "_"), func(t *testing.T) {
			j := joining(t, f, c.token, c.name)
			j.Dir, j.Role = filepath.Join(t.TempDir(), "n"), c.role
			joined, err := Join(t.Context(), Config{}, j)
			refused, _ := errors.AsType[*RefusedError](err)
			switch {
			case err == nil:
				t.Fatalf("joined: %+v", joined.Self)
			case c.err != nil && !errors.Is(err, c.err):
				t.Errorf("%v, want %v", err, c.err)
			case c.err == nil && (refused == nil || !strings.HasPrefix(refused.Text, c.code+" ")):
				t.Errorf("%v, want %s", err, c.code)
			}
			if _, err := ReadSelf(vfs.Default, j.Dir); !errors.Is(err, ErrNoNode) {
				t.Errorf("there is a node: %v", err)
			}
		})
	}
	// A member that nobody can reach is one that is missing.
	for _, addr := range []string{"", "[10.0.0.11:6379]:7379", "0.0.0.0:7379", "a b:7379", "ada:0"} {
		for _, place := range []Place{{Peer: addr, Client: "ada:6379"}, {Peer: "ada:7379", Client: addr}} {
			j := joining(t, f, good, "three")
			j.Place, j.Dir = place, filepath.Join(t.TempDir(), "n")
			_, err := Join(t.Context(), Config{}, j)
			if refused, _ := errors.AsType[*RefusedError](err); refused == nil || !strings.Contains(refused.Text, "not an address that others can reach") {
				t.Errorf("peers at %q, clients at %q: %v", j.Peer, j.Client, err)
			}
		}
	}
	if n := len(one.maps.Map().Members); n != 2 {
		t.Errorf("%d members", n)
	}
}

// Who makes a token is told what its numbers may be.
func TestTokenOptions(t *testing.T) {
	one, _ := founded(t, "red")
	for _, args := range [][]string{{"TTL", "0"}, {"TTL", "-1"}, {"TTL", "1h"}, {"TTL", "31622401"}, {"USES", "0"}, {"USES", "-5"}, {"USES", "100001"}, {"USES", "99999999999999999999"}} {
		want := map[string]string{"TTL": "ERR TTL must be from 1 to 31622400. Not applied.", "USES": "ERR USES must be from 1 to 100000. Not applied."}[args[0]]
		if got := ask(t, one, append([]string{"TUTTI.TOKEN", "CREATE"}, args...)...); got != want {
			t.Errorf("%v: %s", args, got)
		}
	}
	if got := ask(t, one, "TUTTI.TOKEN", "LIST"); got != "[]" {
		t.Errorf("tokens: %s", got)
	}
	for _, seconds := range []string{"-1", "1h", "604801"} {
		if got := ask(t, one, "TUTTI.POLICY", "DEAD-AFTER", seconds); got != "ERR DEAD-AFTER must be from 0 to 604800. Not applied." {
			t.Errorf("DEAD-AFTER %s: %s", seconds, got)
		}
	}
}

// tcp is how a machine dials by default.
func tcp(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// TestJoinAgain asks a second time with the same key, as a machine does that did
// not hear the answer: it is the same node.
func TestJoinAgain(t *testing.T) {
	one, f := founded(t, "red")
	j := joining(t, f, token(t, one), "two")
	request, err := trust.NewRequest(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		answer, err := askToJoin(t.Context(), tcp, j, request)
		if err != nil || answer.Node != 2 {
			t.Fatalf("node %d, %v", answer.Node, err)
		}
	}
	other, err := trust.NewRequest(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := askToJoin(t.Context(), tcp, j, other); err == nil || !strings.HasPrefix(fmt.Sprint(err), "TOKENUSED") {
		t.Errorf("another key: %v", err)
	}
}

// TestRemovedWhileAway removes a node that is down: when it comes back nobody
// speaks to it but to say so, it ends with one clear reason, and knows it from
// then on without asking.
func TestRemovedWhileAway(t *testing.T) {
	one, f := founded(t, "red")
	if got := ask(t, one, "TUTTI.POLICY", "PLACEMENT", "manual"); strings.HasPrefix(got, "ERR") {
		t.Fatal(got)
	}
	j := joining(t, f, token(t, one), "two")
	if _, err := Join(t.Context(), Config{}, j); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, one, "TUTTI.MEMBER", "REMOVE", "2"); got != "OK" {
		t.Fatal(got)
	}
	why := make(chan error, 1)
	n, err := Open(Config{Dir: j.Dir, Failed: func(err error) { why <- err }})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-why:
		if !errors.Is(err, ErrRemoved) {
			t.Errorf("it ends because of %v", err)
		}
	case <-time.After(within):
		t.Error("it goes on")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(Config{Dir: j.Dir}); !errors.Is(err, ErrRemoved) {
		t.Errorf("opened again: %v", err)
	}
}

// TestRemovedBeforeTheAuthorityWasReplaced removes a node that is down and replaces
// the authority: whoever it dials is a stranger to it, so nobody can tell it, and it
// says in its log what must have happened.
func TestRemovedBeforeTheAuthorityWasReplaced(t *testing.T) {
	one, f := founded(t, "red")
	ask(t, one, "TUTTI.POLICY", "PLACEMENT", "manual")
	j := joining(t, f, token(t, one), "two")
	if _, err := Join(t.Context(), Config{}, j); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"TUTTI.MEMBER", "REMOVE", "2"}, {"TUTTI.CERT", "ROTATE"}} {
		if got := ask(t, one, command...); got != "OK" {
			t.Fatal(command, got)
		}
	}
	for end := time.Now().Add(within); ; {
		list := ask(t, one, "TUTTI.CERT", "LIST")
		if strings.Count(list, `"state":`) == 1 && !strings.Contains(list, `"generation":1`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the authority is not replaced: %s", list)
		}
	}
	log := &listener{wants: "so this node was removed while it was off, or another cluster answers there", heard: make(chan struct{})}
	n, err := Open(Config{Dir: j.Dir, Logger: slog.New(slog.NewTextHandler(log, nil)), Failed: func(err error) { t.Errorf("it ends: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-log.heard:
	case <-time.After(within):
		t.Error("it does not say why nobody speaks to it")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// listener is a log of which one text is waited for. slog writes a record at a time.
type listener struct {
	wants string
	once  sync.Once
	heard chan struct{} // closed by the first record with it
}

// Write implements io.Writer.
func (l *listener) Write(b []byte) (int, error) {
	if strings.Contains(string(b), l.wants) {
		l.once.Do(func() { close(l.heard) })
	}
	return len(b), nil
}

// TestStrangerGetsNoMap asks for the map with a certificate of another cluster,
// and without any.
func TestStrangerGetsNoMap(t *testing.T) {
	_, f := founded(t, "red")
	other, _ := founded(t, "blue")
	id, err := trust.Load(vfs.Default, other.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"of another cluster", "none"} {
		config := trust.MapServer(trust.NewHolder(id))
		config.InsecureSkipVerify, config.VerifyConnection = true, nil
		if what == "none" {
			config.GetClientCertificate = nil
		}
		conn, err := tls.Dial("tcp", f.Peer, config)
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(within))
			_, err = trust.ReadMap(conn)
			conn.Close()
		}
		if !trust.Refused(err) {
			t.Errorf("a certificate %s: %v", what, err)
		}
	}
}

// TestClockFarOff joins a machine whose clock is an hour ahead: it is a node as any
// other, and is told.
func TestClockFarOff(t *testing.T) {
	one, f := founded(t, "red")
	for name, off := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		clock := shard.SystemClock()
		wall := clock.Wall
		clock.Wall = func() int64 { return wall() + off.Milliseconds() }
		joined, err := Join(t.Context(), Config{Clock: clock}, joining(t, f, token(t, one), name))
		if err != nil || (joined.Ahead-off).Abs() > time.Minute {
			t.Errorf("%s: %+v, %v", name, joined, err)
		}
	}
}

// TestJoinWrongAddress dials what is no peer port.
func TestJoinWrongAddress(t *testing.T) {
	one, f := founded(t, "red")
	j := joining(t, f, token(t, one), "two")
	j.Addr = f.Client
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if _, err := Join(ctx, Config{}, j); err == nil {
		t.Error("joined through the port for clients")
	}
}

// TestJoinsAreBounded has more machines come at the same time than are taken in,
// and more than may be connected.
func TestJoinsAreBounded(t *testing.T) {
	a := &admitter{log: slog.New(slog.DiscardHandler), room: make(chan struct{}, 1), doors: make(chan struct{}, 1)}
	var token trust.Token
	request := trust.JoinRequest{Token: token.ID, Name: "two"}
	visit := func() (trust.JoinAnswer, error) {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.serve(t.Context(), theirs)
			theirs.Close()
		}()
		defer func() { <-done }()
		defer ours.Close()
		if err := trust.WriteJoin(ours, request.Encode(nil)); err != nil {
			return trust.JoinAnswer{}, err
		}
		return trust.ReadJoinAnswer(ours)
	}
	a.room <- struct{}{}
	if answer, err := visit(); err != nil || !strings.HasPrefix(answer.Refusal, "BUSY ") {
		t.Errorf("one too many is told %+v, %v", answer, err)
	}
	<-a.room
	if answer, err := visit(); err != nil || !strings.Contains(answer.Refusal, "not secured") {
		t.Errorf("the next one, in plain, is told %+v, %v", answer, err)
	}
	a.doors <- struct{}{}
	if answer, err := visit(); err == nil {
		t.Errorf("one too many that is connected is told %+v", answer)
	}
}

// TestJoinUndecided asks a node whose cluster does not decide: what the machine is
// told has a code, and says that it may ask again.
func TestJoinUndecided(t *testing.T) {
	one, f := founded(t, "red")
	pinned := token(t, one).Pin
	ident, err := trust.Load(vfs.Default, f.Dir)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	shaken := make(chan error, 1)
	go func() { shaken <- tls.Client(ours, trust.JoinClient(pinned)).Handshake() }()
	conn := tls.Server(theirs, trust.JoinServer(ident))
	defer theirs.Close()
	if err := errors.Join(conn.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	a := &admitter{log: slog.New(slog.DiscardHandler), room: make(chan struct{}, 1),
		ask: func([][]byte, <-chan struct{}) (resp.Value, error) { return resp.Value{}, context.Canceled }}
	_, err = a.admit(t.Context(), conn, trust.JoinRequest{})
	if refused, _ := errors.AsType[*RefusedError](err); refused == nil || refused.Code() != "UNCERTAIN" {
		t.Errorf("%v, want UNCERTAIN", err)
	}
}
