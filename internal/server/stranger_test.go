package server

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/acl"
	"tutti/internal/command"
)

// callers is a server on virtual time, and what calls it.
type callers struct {
	t *testing.T
	s *Server
}

// users are those of a cluster where default has the password x.
func users(t *testing.T) *acl.Holder {
	t.Helper()
	c := command.NewTable().Catalog()
	rule := fmt.Sprintf("#%x", sha256.Sum256([]byte("x")))
	u, err := acl.Change(c, acl.NewDefault(c), acl.Default, 0, []string{"resetpass", rule})
	if err != nil {
		t.Fatal(err)
	}
	return acl.NewHolder(acl.NewSet(c, 1, []*acl.User{u}))
}

func newCallers(t *testing.T, cfg Config) *callers {
	cfg.Table, cfg.Rand, cfg.Wall = command.NewTable(), rand.Uint64N, func() int64 { return 0 }
	return &callers{t, New(cfg)}
}

// caller is a client at the other end of a pipe.
type caller struct {
	net.Conn
	r *bufio.Reader
}

func (c *callers) call() *caller {
	here, there := net.Pipe()
	c.s.start(there)
	return &caller{here, bufio.NewReader(here)}
}

// ask sends text and returns the line that is answered; "closed" if none is.
func (c *caller) ask(text string) string {
	if _, err := io.WriteString(c, text); err != nil {
		return "closed"
	}
	return c.answer()
}

func (c *caller) answer() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "closed"
	}
	return strings.TrimSpace(line)
}

// ends returns how long it takes until the server closes.
func (c *caller) ends() time.Duration {
	began := time.Now()
	_, _ = io.Copy(io.Discard, c.r)
	return time.Since(began)
}

func TestStrangerMustLogInSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t, Config{Rights: Rights{Users: users(t)}})
		defer c.s.Close()
		silent := c.call()
		if took := silent.ends(); took != strangerTimeout {
			t.Errorf("one who says nothing was cut off after %v", took)
		}
		busy := c.call() // its commands do not give it more time
		began := time.Now()
		for busy.ask("PING\r\n") == "-"+errNoAuth {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > strangerTimeout+time.Second {
			t.Errorf("one who only says PING was cut off after %v", took)
		}
		member := c.call()
		if got := member.ask("AUTH default x\r\n"); got != "+OK" {
			t.Fatal(got)
		}
		time.Sleep(time.Hour)
		if got := member.ask("PING\r\n"); got != "+PONG" {
			t.Errorf("one who has logged in is answered %s", got)
		}
		if got := member.ask("RESET\r\n"); got != "+RESET" {
			t.Error(got)
		}
		if took := member.ends(); took != strangerTimeout {
			t.Errorf("one who has given up its login was cut off after %v", took)
		}
	})
}

func TestStrangerMaySayLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t, Config{Rights: Rights{Users: users(t)}})
		defer c.s.Close()
		for text, want := range map[string]string{
			"*11\r\n":                         "-ERR Protocol error: unauthenticated multibulk length",
			"*2\r\n$4\r\nPING\r\n$16385\r\n":  "-ERR Protocol error: unauthenticated bulk length",
			"*2\r\n$4\r\nPING\r\n$1\r\nx\r\n": "-" + errNoAuth,
		} {
			stranger := c.call()
			if got := stranger.ask(text); got != want {
				t.Errorf("%q is answered %q", text, got)
			}
			stranger.Close()
		}
		// What comes after the login in the same pipeline is a member's.
		member := c.call()
		big := strings.Repeat("x", 20<<10)
		go fmt.Fprintf(member, "AUTH default x\r\n*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n", len(big), big)
		if got := member.answer() + member.answer(); got != fmt.Sprintf("+OK$%d", len(big)) {
			t.Errorf("after the login: %s", got)
		}
		member.Close()
	})
}

func TestStrangersOfOneAddressAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t, Config{Rights: Rights{Users: users(t)}})
		defer c.s.Close()
		member := c.call()
		if got := member.ask("AUTH default x\r\n"); got != "+OK" {
			t.Fatal(got)
		}
		for range strangersMax {
			c.call()
		}
		synctest.Wait() // until all are counted
		if got := c.call().answer(); got != "-"+errStrangers {
			t.Errorf("one too many is answered %q", got)
		}
		if got := member.ask("PING\r\n"); got != "+PONG" {
			t.Errorf("a member is answered %s meanwhile", got)
		}
		time.Sleep(strangerTimeout)
		synctest.Wait()
		if got := c.call().ask("AUTH default x\r\n"); got != "+OK" {
			t.Errorf("once the others were cut off: %s", got)
		}
	})
}

// A client that sends a byte now and then must not hold its memory for ever.
func TestTrickleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t, Config{})
		defer c.s.Close()
		slow := c.call()
		began := time.Now()
		for _, b := range []byte("*2\r\n$4\r\nECHO\r\n$1000\r\n" + strings.Repeat("x", 1000)) {
			if _, err := slow.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > frameTimeout+2*time.Second || took < frameTimeout {
			t.Errorf("a byte a second was listened to for %v", took)
		}
		// A long argument has more time, as long as it comes.
		long := c.call()
		size := 20 * frameStep
		go fmt.Fprintf(long, "*2\r\n$4\r\nECHO\r\n$%d\r\n", size)
		go func() {
			for range 20 {
				time.Sleep(2 * time.Second)
				_, _ = long.Write(make([]byte, frameStep))
			}
			_, _ = long.Write([]byte("\r\n"))
		}()
		if got := long.answer(); got != fmt.Sprintf("$%d", size) {
			t.Errorf("a long argument over 40 s: %s", got)
		}
		long.Close()
	})
}

func TestLastPlacesAreForAdministration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t, Config{ClientsMax: 2})
		defer c.s.Close()
		first := c.call()
		c.call()
		if got := c.call().ask("PING\r\n"); got != "-"+errFull {
			t.Errorf("one too many is answered %q", got)
		}
		admin := c.call()
		if got := admin.ask("CLIENT NO-EVICT on\r\n"); got != "+OK" {
			t.Errorf("one who administers: %q", got)
		}
		for range reservedMax - 1 {
			c.call()
		}
		if got := c.call().answer(); got != "-"+errFull {
			t.Errorf("with the last places taken: %q", got)
		}
		if got := admin.ask("CONFIG SET maxclients 100\r\n"); got != "+OK" {
			t.Errorf("it can't mend it: %q", got)
		}
		if got := admin.ask("PING\r\n"); got != "+PONG" {
			t.Errorf("with room for all: %q", got)
		}
		first.Close()
	})
}

// If the last protection is taken away while a node runs, nobody else gets in.
func TestPublicNodeWithoutLoginServesItsOwnMachineOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t, Config{Public: true})
		defer c.s.Close()
		if got := c.call().answer(); got != "-"+errExposed {
			t.Errorf("a client of another machine is answered %q", got)
		}
		c = newCallers(t, Config{Public: true, Rights: Rights{Users: users(t)}})
		defer c.s.Close()
		if got := c.call().ask("AUTH default x\r\n"); got != "+OK" {
			t.Errorf("where one has to log in: %q", got)
		}
	})
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"10.0.0.7:4000": "10.0.0.7", "[::ffff:10.0.0.7]:1": "10.0.0.7", "[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::",
		"[fe80::1%eth0]:1": "fe80::", "[::1]:1": "::1", "pipe": "invalid IP",
	} {
		if got := network(remote).String(); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}
