package server_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"tutti/internal/node/nodetest"
)

// held is what the process holds, in bytes: live objects and stacks.
func held() int64 {
	runtime.GC()
	runtime.GC() // what has finalizers, and what pools let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// bare is a client of which this process holds nothing but a descriptor.
type bare int

func dialBare(t *testing.T, addr string) bare {
	t.Helper()
	to, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	return bare(fd)
}

func (b bare) send(t *testing.T, line string) {
	t.Helper()
	if _, err := syscall.Write(int(b), []byte(line+"\r\n")); err != nil {
		t.Fatal(err)
	}
}

func (b bare) do(t *testing.T, line string) {
	t.Helper()
	b.send(t, line)
	var reply [64]byte
	if n, err := syscall.Read(int(b), reply[:]); n <= 0 || err != nil {
		t.Fatalf("%s: %d bytes, %v", line, n, err)
	}
}

// A node with thousands of clients holds little for those that rest, and little more
// for those whose commands wait.
func TestMemoryOfClientsThatRest(t *testing.T) {
	const (
		clients    = 2000
		idleMax    = 5 << 10
		waitingMax = 7 << 10 // without a goroutine
	)
	c := nodetest.Start(t, nodetest.Options{})
	admin := c.Dial(0)
	admin.Do("SET", "k", "v")
	var all []bare
	before := held()
	for range clients {
		b := dialBare(t, c.Addr(0))
		for range 10 { // until a loop has it
			b.do(t, "PING")
		}
		b.do(t, "GET k")
		all = append(all, b)
	}
	idle := held()
	for i, b := range all {
		b.send(t, fmt.Sprintf("BLPOP list:%d 0", i))
	}
	wanted := fmt.Sprintf("blocked_clients:%d\r\n", clients)
	for end := time.Now().Add(30 * time.Second); !strings.Contains(string(admin.Do("INFO", "clients").Str), wanted); {
		if time.Now().After(end) {
			t.Fatal("not all clients wait")
		}
	}
	allAsleep(t)
	waiting := held()
	t.Logf("%d bytes for a client that rests, %d for one that waits", (idle-before)/clients, (waiting-before)/clients)
	if each := (idle - before) / clients; each > idleMax {
		t.Errorf("a client that rests holds %d bytes, wanted %d at most", each, idleMax)
	}
	if each := (waiting - before) / clients; each > waitingMax {
		t.Errorf("a client that waits holds %d bytes, wanted %d at most", each, waitingMax)
	}
}
