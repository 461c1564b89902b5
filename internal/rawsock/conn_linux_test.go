package rawsock

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkPingPong is a byte that goes to another process and back, so that this one is
// idle meanwhile. Beside the time of each it tells how often the scheduler's watching
// thread was switched to.
func BenchmarkPingPong(b *testing.B) {
	for _, c := range []struct {
		name string
		wrap func(net.Conn) net.Conn
	}{{"watched", func(c net.Conn) net.Conn { return c }}, {"wrapped", Wrap}} {
		b.Run(c.name, func(b *testing.B) {
			near := c.wrap(echo(b))
			p := make([]byte, 1)
			before := watcherSwitches(b)
			for b.Loop() {
				if _, err := near.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := near.Read(p); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(watcherSwitches(b)-before)/float64(b.N), "watcher-switches/op")
		})
	}
}

// echoAt is the variable that has this test be a process that sends back what it gets
// from an address.
const echoAt = "RAWSOCK_ECHO"

func TestMain(m *testing.M) {
	addr := os.Getenv(echoAt)
	if addr == "" {
		os.Exit(m.Run())
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
}

// echo returns a connection to a process that sends back what it gets.
func echo(b *testing.B) net.Conn {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	other := exec.Command(os.Args[0]) //nolint:noctx // ends with its connection
	other.Env = append(os.Environ(), echoAt+"="+l.Addr().String())
	if err := other.Start(); err != nil {
		b.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Close()
		if err := other.Wait(); err != nil {
			b.Error(err)
		}
	})
	return c
}

// watcherSwitches counts how often the first thread that Go has made was switched to:
// the one that watches.
func watcherSwitches(b *testing.B) (n int) {
	b.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		b.Fatal(err)
	}
	var threads []int
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil && id != os.Getpid() {
			threads = append(threads, id)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", slices.Min(threads)))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if _, after, is := strings.Cut(line, "voluntary_ctxt_switches:"); is {
			more, err := strconv.Atoi(strings.TrimSpace(after))
			if err != nil {
				b.Fatal(err)
			}
			n += more
		}
	}
	return n
}
