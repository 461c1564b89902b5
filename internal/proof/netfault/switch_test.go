package netfault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// patience bounds what must happen; moment is how long a test looks for what
// must not. On a slow machine a moment may see less, never too much.
const (
	patience = 20 * time.Second
	moment   = 40 * time.Millisecond
)

// pair returns the two ends of a connection from host a to host b.
func pair(t *testing.T, s *Switch) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	addr, err := s.Connect("a", "b", l.Addr().String())
	must(t, err)
	c, err := net.Dial("tcp", addr)
	must(t, err)
	d, err := l.Accept()
	must(t, err)
	near, far = c.(*net.TCPConn), d.(*net.TCPConn)
	for _, c := range []net.Conn{near, far} {
		must(t, c.SetDeadline(time.Now().Add(patience)))
		t.Cleanup(func() { c.Close() })
	}
	return near, far
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// firstRead dials addr and says why nothing could be read. The dialling itself
// may see the reset already.
func firstRead(t *testing.T, addr string, within time.Duration) error {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(within)))
	_, err = c.Read(make([]byte, 1))
	return err
}

func newSwitch(t *testing.T, seed uint64) *Switch {
	s := New(seed)
	t.Cleanup(s.Close)
	return s
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := c.Write([]byte(text))
	must(t, err)
}

func arrives(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// silent fails if something arrives within a moment, be it the end.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(moment)))
	n, err := c.Read(make([]byte, 100))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes arrived, %v; want silence", n, err)
	}
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
}

func TestBytesAndEndsPass(t *testing.T) {
	near, far := pair(t, newSwitch(t, 1))
	send(t, near, "there")
	arrives(t, far, "there")
	send(t, far, "back")
	arrives(t, near, "back")
	must(t, near.CloseWrite())
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("read after the end: %v", err)
	}
	send(t, far, "still open this way")
	arrives(t, near, "still open this way")
}

func TestCutHoldsOneDirection(t *testing.T) {
	s := newSwitch(t, 1)
	near, far := pair(t, s)
	s.CutOne("a", "b")
	send(t, near, "held")
	send(t, far, "passes")
	arrives(t, near, "passes")
	must(t, near.CloseWrite())
	silent(t, far)
	s.Heal()
	arrives(t, far, "held")
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the end did not follow: %v", err)
	}
}

// A connection takes packets both ways: either cut keeps it from coming about.
func TestCutKeepsConnectionsFromBeingMade(t *testing.T) {
	for _, cut := range [][2]string{{"a", "b"}, {"b", "a"}} {
		s := newSwitch(t, 1)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		addr, err := s.Connect("a", "b", l.Addr().String())
		must(t, err)
		s.CutOne(cut[0], cut[1])
		near, err := net.Dial("tcp", addr)
		must(t, err)
		defer near.Close()
		must(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(moment)))
		if c, err := l.Accept(); err == nil {
			c.Close()
			t.Fatalf("a connection was made while %s>%s was cut", cut[0], cut[1])
		}
		s.Heal()
		must(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)))
		far, err := l.Accept()
		must(t, err)
		far.Close()
	}
}

func TestResetBreaksBothEnds(t *testing.T) {
	s := newSwitch(t, 1)
	near, far := pair(t, s)
	send(t, near, "x")
	arrives(t, far, "x")
	s.Cut("a", "b")
	s.Reset("b", "a")
	for _, c := range []net.Conn{near, far} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
	}
}

// The peer of a process that is killed learns of it only when the way heals.
func TestResetOfOneEndTravels(t *testing.T) {
	s := newSwitch(t, 1)
	near, far := pair(t, s)
	send(t, near, "x")
	arrives(t, far, "x")
	s.CutOne("b", "a")
	abort(far)
	silent(t, near)
	s.Heal()
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
}

func TestNobodyListens(t *testing.T) {
	s := newSwitch(t, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	addr, err := s.Connect("a", "b", l.Addr().String())
	must(t, err)
	if err := firstRead(t, addr, patience); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	s := newSwitch(t, 1)
	addr, err := s.Listen("127.0.0.1:0", "b", "127.0.0.1:1", func(remote net.Addr) (string, error) {
		return "", fmt.Errorf("%s is nobody", remote)
	})
	must(t, err)
	if err := firstRead(t, addr, patience); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
}

func TestDelayAndJitterKeepOrder(t *testing.T) {
	s := newSwitch(t, 1)
	near, far := pair(t, s)
	const delay = 30 * time.Millisecond
	s.Set("a", "b", func(p *Path) { p.Delay, p.Jitter = delay, delay })
	began := time.Now()
	var all string
	for i := range 20 {
		word := fmt.Sprintf("%d ", i)
		all += word
		send(t, near, word)
	}
	arrives(t, far, all)
	if took := time.Since(began); took < delay {
		t.Errorf("the bytes took %v of %v", took, delay)
	}
	send(t, far, "the other direction is free")
	arrives(t, near, "the other direction is free")
}

func TestRateIsSharedByConnections(t *testing.T) {
	s := newSwitch(t, 1)
	near, far := pair(t, s)
	near2, far2 := pair(t, s)
	const each, rate = 32 << 10, 256 << 10
	s.Set("a", "b", func(p *Path) { p.BytesPerSecond = rate })
	began := time.Now()
	send(t, near, string(make([]byte, each)))
	send(t, near2, string(make([]byte, each)))
	arrives(t, far, string(make([]byte, each)))
	arrives(t, far2, string(make([]byte, each)))
	if took, least := time.Since(began), 2*each*time.Second/rate; took < least {
		t.Errorf("%d bytes took %v, must take %v", 2*each, took, least)
	}
}

// What waits for a slow link goes at once when it heals.
func TestHealFreesWhatWaits(t *testing.T) {
	s := newSwitch(t, 1)
	near, far := pair(t, s)
	s.Set("a", "b", func(p *Path) { p.Delay, p.BytesPerSecond = time.Hour, 1 })
	send(t, near, "slow")
	silent(t, far)
	s.Heal()
	arrives(t, far, "slow")
}

// A sender is stopped by a full window, as by TCP.
func TestHeldBytesAreBounded(t *testing.T) {
	s := newSwitch(t, 1)
	near, _ := pair(t, s)
	s.CutOne("a", "b")
	must(t, near.SetWriteBuffer(64<<10))
	must(t, near.SetWriteDeadline(time.Now().Add(time.Second)))
	n, err := near.Write(make([]byte, 256<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a cut direction took %d bytes: %v", n, err)
	}
}

// The same seed flips the same bits, however the stream is cut; another seed
// others; without tampering nothing changes.
func TestTamperFollowsTheSeed(t *testing.T) {
	clean := bytes.Repeat([]byte("0123456789"), 10_000)
	through := func(seed uint64, pieces int, mean int64) []byte {
		s := newSwitch(t, seed)
		near, far := pair(t, s)
		s.Set("a", "b", func(p *Path) { p.TamperBytes = mean })
		go func() {
			for i := range pieces {
				_, _ = near.Write(clean[i*len(clean)/pieces : (i+1)*len(clean)/pieces])
			}
			_ = near.CloseWrite()
		}()
		got, err := io.ReadAll(far)
		must(t, err)
		return got
	}
	const mean = 1000
	first := through(7, 1, mean)
	flips := 0
	for i := range clean {
		if first[i] != clean[i] {
			flips++
		}
	}
	if want := len(clean) / mean; flips < want/2 || flips > 2*want {
		t.Errorf("%d of %d bytes were hit, want about %d", flips, len(clean), want)
	}
	if !bytes.Equal(first, through(7, 37, mean)) {
		t.Error("the same seed flipped other bits")
	}
	if bytes.Equal(first, through(8, 1, mean)) {
		t.Error("another seed flipped the same bits")
	}
	if !bytes.Equal(clean, through(7, 1, 0)) {
		t.Error("bits flipped without tampering")
	}
}

// More connections than a forwarder carries are reset, and room comes back.
func TestConnectionsAreBounded(t *testing.T) {
	s := newSwitch(t, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	addr, err := s.Connect("a", "b", l.Addr().String())
	must(t, err)
	var all []net.Conn
	for range connsMax {
		c, err := net.Dial("tcp", addr)
		must(t, err)
		defer c.Close()
		far, err := l.Accept()
		must(t, err)
		defer far.Close()
		all = append(all, c)
	}
	refused := func() bool { return errors.Is(firstRead(t, addr, moment), syscall.ECONNRESET) }
	if !refused() {
		t.Error("one connection too many was taken")
	}
	for _, c := range all {
		abort(c)
	}
	for end := time.Now().Add(patience); refused(); {
		if time.Now().After(end) {
			t.Fatal("no room after all connections had ended")
		}
	}
}

// Close ends what is held, delayed, half open or not yet made.
func TestCloseEndsEverything(t *testing.T) {
	s := New(1)
	near, far := pair(t, s)
	s.Set("a", "b", func(p *Path) { p.Delay = time.Hour })
	send(t, near, "never arrives")
	s.CutOne("b", "a")
	send(t, far, "never arrives")
	must(t, far.CloseWrite())
	s.Close() // returns: its goroutines have ended
	for _, c := range []net.Conn{near, far} {
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read after Close: %v", err)
		}
	}
	if _, err := s.Connect("a", "b", "127.0.0.1:1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Connect after Close: %v", err)
	}
}
