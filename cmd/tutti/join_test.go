package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/node"
	"tutti/internal/trust"
)

// cluster of processes that init and join have made.
type joinedCluster struct {
	dir   string
	base  int // port for clients of the first node
	procs []*running
}

func (c *joinedCluster) addr(i int) string { return fmt.Sprintf("127.0.0.1:%d", c.base+i) }

func (c *joinedCluster) folder(i int) string { return filepath.Join(c.dir, fmt.Sprint(i+1)) }

func (c *joinedCluster) peer(i int) string {
	return fmt.Sprintf("127.0.0.1:%d", c.base+i+peerPortOffset)
}

// initialized runs init and returns the token that it prints.
func initialized(t *testing.T) (*joinedCluster, string) {
	t.Helper()
	c := &joinedCluster{dir: t.TempDir(), base: freeBase(t, 5)}
	c.procs = append(c.procs, launch(t, t.TempDir(), "init", "--dir", c.folder(0), "--listen", c.addr(0), "--name", "red", "--node", "ada", "--log", "warn"))
	fields := strings.Fields(c.procs[0].line(t, "tutti join "+c.peer(0)+" --token "))
	return c, fields[len(fields)-1]
}

// join runs join for the next node, and waits until it has joined.
func (c *joinedCluster) join(t *testing.T, token string) {
	t.Helper()
	i := len(c.procs)
	p := launch(t, t.TempDir(), "join", c.peer(0), "--token", token, "--dir", c.folder(i), "--listen", c.addr(i), "--log", "warn")
	c.procs = append(c.procs, p)
	p.line(t, fmt.Sprintf("joined red as node %d (%s), authority verified by the token", i+1, c.peer(i)))
}

// command runs the program against node i.
func (c *joinedCluster) command(t *testing.T, i int, args ...string) result {
	t.Helper()
	at := []string{"--addr", c.addr(i), "--cacert", filepath.Join(c.folder(i), trust.CAFile)}
	words := 1
	if args[0] == "token" || args[0] == "node" {
		words = 2
	}
	return tutti(t, "", slices.Concat(args[:words], at, args[words:])...)
}

// ask runs a command through node i until it is answered without an error.
func (c *joinedCluster) ask(t *testing.T, i int, args ...string) string {
	t.Helper()
	var r result
	eventually(t, func() error {
		if r = c.command(t, i, append([]string{"cli"}, args...)...); r.code != 0 {
			return fmt.Errorf("%v: %s%s", args, r.out, r.errors)
		}
		return nil
	})
	return strings.TrimSpace(r.out)
}

// TestInitAndJoin makes a cluster of three machines as a user does, and loses
// the one that began it.
func TestInitAndJoin(t *testing.T) {
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config) // where the login is
	c, token := initialized(t)
	c.join(t, token)
	c.join(t, token)
	eventually(t, func() error {
		r := c.command(t, 2, "status")
		if !strings.Contains(r.out, "Healthy. Survives the loss of any 1 of 3 nodes") {
			return fmt.Errorf("%s%s", r.out, r.errors)
		}
		return nil
	})
	c.ask(t, 0, "SET", "greeting", "hello")
	c.procs[0].signal(t, syscall.SIGKILL)
	c.procs[0].ends(t)
	if got := c.ask(t, 2, "GET", "greeting"); got != "hello" {
		t.Errorf("node 3 reads %q", got)
	}
	// Who has no login, or no TLS, gets nothing.
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(none, []byte("admin wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.command(t, 1, "cli", "--secret", none, "GET", "greeting").wants(t, exitNoLogin, "not logged in", "WRONGPASS", "--secret with the file that init wrote")
	tutti(t, "", "cli", "--plain", "--addr", c.addr(1), "GET", "greeting").wants(t, exitUnreachable, "speaks TLS")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // another machine, where the login is not
	for _, args := range [][]string{{"status"}, {"doctor"}, {"leave"}, {"why", "greeting"}, {"token", "ls"}, {"token", "create"}, {"node", "ls"}} {
		c.command(t, 1, args...).wants(t, exitNoLogin, "NOAUTH", "nothing was changed", "--secret with the file that init wrote on the machine where it ran")
	}
	t.Setenv("XDG_CONFIG_HOME", config)
	// It comes back by the command that made it.
	c.procs[0] = launch(t, t.TempDir(), "init", "--dir", c.folder(0), "--listen", c.addr(0), "--log", "warn")
	c.procs[0].line(t, "cluster red is here already; started on ada")
	c.procs[0].line(t, "login     user admin, password in ") // who was cut off the first time has not read it
	if got := c.ask(t, 0, "GET", "greeting"); got != "hello" {
		t.Errorf("node 1 reads %q", got)
	}
}

// TestFirstTokenIsTriedFor lets a node not lead for a while, and for ever.
func TestFirstTokenIsTriedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		led := errors.New("CLUSTERDOWN node 1 does not lead yet. Not applied, safe to retry")
		n := 0
		token, err := makeToken(t.Context(), time.Minute, func() (string, error) {
			if n++; n < 20 {
				return "", led
			}
			return "tutti1.token", nil
		})
		if token != "tutti1.token" || err != nil {
			t.Errorf("%q, %v", token, err)
		}
		began := time.Now()
		_, err = makeToken(t.Context(), time.Minute, func() (string, error) { return "", led })
		if !errors.Is(err, led) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := untold(t.Context(), err); err != nil {
			t.Errorf("the node ends: %v", err)
		}
	})
}

// TestJoinSaysWhatIsWrong makes all mistakes that a person can make: each is one
// clear sentence, nothing is made, and it says what helps.
func TestJoinSaysWhatIsWrong(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // where the login is
	c, several := initialized(t)
	c.join(t, several)
	create := func(args ...string) string {
		r := c.command(t, 0, append([]string{"token", "create"}, args...)...)
		fields := strings.Fields(r.out)
		if r.code != 0 || len(fields) == 0 {
			t.Fatalf("%s%s", r.out, r.errors)
		}
		return fields[len(fields)-1]
	}
	id := func(token string) string { return strings.Split(token, ".")[1] }
	revoked := create()
	if r := c.command(t, 0, "token", "revoke", id(revoked)); r.code != 0 || !strings.Contains(r.out, "is revoked") {
		t.Fatalf("%s%s", r.out, r.errors)
	}
	c.command(t, 0, "token", "revoke", id(revoked)).wants(t, exitFailed, "there is no such token")
	used := create()
	c.join(t, used)
	blue, foreign := initialized(t)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	photos := filepath.Join(t.TempDir(), "photos")
	if err := os.WriteFile(photos, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	other := "a"
	if strings.HasSuffix(several, other) {
		other = "b"
	}
	badPart := several[:len(several)-1] + other
	for _, x := range []struct {
		what, to, token string
		args            []string
		code            int
		words           []string
	}{
		{"used", c.peer(0), used, nil, exitFailed, []string{"was used up by another machine", "tutti token create"}},
		{"revoked", c.peer(0), revoked, nil, exitFailed, []string{"knows no such token: it was revoked", "tutti token create"}},
		{"truncated", c.peer(0), several[:90], nil, exitUsage, []string{"not a whole token", "nothing was sent", "copy it again"}},
		{"of a later version", c.peer(0), "tutti2" + several[6:], nil, exitFailed, []string{"of another version of tutti", "install the version"}},
		{"with a wrong letter", c.peer(0), badPart, nil, exitFailed, []string{"its last part is wrong", "copy it again"}},
		{"of another cluster", c.peer(0), foreign, nil, exitFailed, []string{"another cluster answers there", "it was told nothing", "check the address"}},
		{"for another role", c.peer(0), several, []string{"--role", "gateway"}, exitFailed, []string{"for another role", "--role"}},
		{"same name", c.peer(0), several, []string{"--node", "ada"}, exitFailed, []string{"another node of this name: node 1 (ada)", "tutti node remove"}},
		{"same address", c.peer(0), several, []string{"--peer-listen", strings.Replace(c.peer(0), "127.0.0.1", "127.0.0.9", 1), "--advertise", "127.0.0.1"}, exitFailed,
			[]string{"another node with this address: node 1 (ada)", "tutti node remove"}},
		{"without a token", c.peer(0), "", nil, exitUsage, []string{"there is no --token", "nothing was sent", "tutti token create"}},
		// A member that can't start would be in everybody's way, and the token gone.
		{"to a port in use", c.peer(0), several, []string{"--peer-listen", c.peer(0)}, exitFailed, []string{c.peer(0) + " is in use by another process", "choose another"}},
		{"under an address with two ports", c.peer(0), several, []string{"--advertise", "10.0.0.11:6379"}, exitUsage, []string{`--advertise: not an address that others can reach: "10.0.0.11:6379"`, "without a port"}},
		{"under all addresses", c.peer(0), several, []string{"--advertise", "0.0.0.0"}, exitUsage, []string{"--advertise: not an address that others can reach: 0.0.0.0 means another machine"}},
		{"to an address of another machine", c.peer(0), several, []string{"--listen", "203.0.113.1:6379"}, exitFailed, []string{"cannot listen on 203.0.113.1:6379: cannot assign", "choose another"}},
		{"a port for clients", c.addr(0), several, nil, exitFailed, []string{"not where nodes listen for each other", "tutti join " + c.peer(0)}},
		{"a web server", strings.TrimPrefix(web.URL, "http://"), several, nil, exitFailed, []string{"a web server answers there"}},
		{"nobody", "127.0.0.1:1", several, nil, exitUnreachable, []string{"cannot join 127.0.0.1:1: connection refused", "check that the node runs"}},
		{"no such host", "nobody.invalid", several, nil, exitUnreachable, []string{"cannot join nobody.invalid:7379: ", "check that the node runs"}},
		{"the folder of a node of another cluster", c.peer(0), several, []string{"--dir", blue.folder(0)}, exitFailed, []string{"there is a node already: node 1 of cluster red", "choose another folder"}},
		{"a folder with something else", c.peer(0), several, []string{"--dir", filepath.Dir(photos)}, exitFailed, []string{"the folder is not empty: there is photos", "--dir"}},
	} {
		t.Run(strings.ReplaceAll(x.what, " ", "_"), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "n")
			args := append([]string{"join", x.to, "--token", x.token, "--dir", dir, "--listen", c.addr(4)}, x.args...)
			r := tutti(t, "", args...)
			r.wants(t, x.code, append(x.words, safeNothingChanged)...)
			if _, err := node.ReadSelf(vfs.Default, dir); !errors.Is(err, node.ErrNoNode) {
				t.Errorf("there is a node: %v", err)
			}
			if first, _, _ := strings.Cut(r.errors, "\n"); !strings.HasPrefix(first, errorPrefix) || strings.Count(r.errors, "\n") > 3 || x.token != "" && strings.Contains(r.errors, x.token) {
				t.Errorf("not one clear sentence without the token:\n%s", r.errors)
			}
		})
	}
	// Expired: until then it is for another role.
	made := c.command(t, 0, "token", "create", "--ttl", "1s", "--role", "gateway").out
	short := made[strings.Index(made, "tutti1."):]
	short, _, _ = strings.Cut(short, " ")
	eventually(t, func() error {
		dir := filepath.Join(t.TempDir(), "n")
		r := tutti(t, "", "join", c.peer(0), "--token", short, "--dir", dir, "--listen", c.addr(4))
		if !strings.Contains(r.errors, "the token has expired") || !strings.Contains(r.errors, " ago") || !strings.Contains(r.errors, "tutti token create") {
			return fmt.Errorf("%s%s", r.out, r.errors)
		}
		return nil
	})
	if n := strings.Count(c.command(t, 0, "node", "ls").out, "\n"); n != 4 {
		t.Errorf("%d lines of nodes, want a head and three", n)
	}
}

// TestGatewayJoins has a machine join that keeps no data: it answers as any other
// node.
func TestGatewayJoins(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	c, _ := initialized(t)
	made := c.command(t, 0, "token", "create", "--role", "gateway").out
	args := strings.Fields(made[strings.Index(made, "tutti join")+len("tutti "):])
	g := launch(t, t.TempDir(), append(args, "--dir", c.folder(1), "--listen", c.addr(1), "--node", "gate", "--log", "warn")...)
	g.line(t, "gate joined red as node 2")
	c.ask(t, 1, "SET", "k", "v")
	if got := c.ask(t, 0, "GET", "k"); got != "v" {
		t.Errorf("node 1 reads %q", got)
	}
	if out := c.command(t, 1, "node", "show", "gate").out; !strings.Contains(out, `"role": "gateway"`) || !strings.Contains(out, `"votes": 0`) || !strings.Contains(out, `"learns": 0`) {
		t.Errorf("%s", out)
	}
	c.command(t, 1, "leave").wants(t, 0)
	if code := g.ends(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, g.text())
	}
	tutti(t, "", "start", "--dir", c.folder(1)).wants(t, exitFailed, "this node was removed from the cluster", "tutti join with a new token")
	made = c.command(t, 0, "token", "create", "--role", "gateway").out
	args = strings.Fields(made[strings.Index(made, "tutti join")+len("tutti "):])
	r := tutti(t, "", append(args, "--dir", c.folder(1), "--listen", c.addr(1))...)
	if r.wants(t, exitFailed, "this node was removed from the cluster", "the token was not used", "remove or move its folder"); r.out != "" {
		t.Errorf("who was removed and joins from its folder is told %q", r.out)
	}
	again := exec.Command(binary(t), "leave")
	again.Env = append(os.Environ(), "TUTTI_DIR="+c.folder(1), "TUTTI_ADDR=")
	out, err := again.CombinedOutput()
	if text := string(out); err == nil || !strings.Contains(text, "this node was removed from the cluster, and does not run") || !strings.Contains(text, "nothing was changed") {
		t.Errorf("who leaves once more: %v, %s", err, text)
	}
}

// TestJoinWhileTheAuthorityTurns is told apart from another cluster: its node shows
// the token's authority beside the one that has signed its certificate.
func TestJoinWhileTheAuthorityTurns(t *testing.T) {
	e := joinError(hostPort{"10.0.0.1", 7379}, fmt.Errorf("handshake: %w", trust.ErrUntrusted))
	if text := e.what + e.do; !strings.Contains(text, "being replaced") || !strings.Contains(text, "tutti token create") {
		t.Error(text)
	}
}

// TestJoinAsksNobodyOfAFolder: an error of a folder is not explained by who answers at the
// address, which may be somebody else's.
func TestJoinAsksNobodyOfAFolder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var dialled atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			dialled.Add(1)
			_, _ = c.Write([]byte("+PONG\r\n")) // as a port for clients does
			_ = c.Close()
		}
	}()
	at, err := splitAddr("address", l.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	e := joinError(at, &os.PathError{Op: "open", Path: "/var/lib/tutti", Err: syscall.EACCES})
	if dialled.Load() != 0 || !strings.Contains(e.what, "permission denied") || !strings.Contains(e.do, "--dir") {
		t.Errorf("dialled %d times: %s; %s", dialled.Load(), e.what, e.do)
	}
	if e = joinError(at, io.EOF); !strings.Contains(e.what, "not where nodes listen") {
		t.Errorf("of a connection: %s", e.what)
	}
	_ = l.Close()
	<-ended
	if dialled.Load() == 0 {
		t.Error("nobody was asked what answers there")
	}
}
