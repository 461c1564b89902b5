package tutti_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tutti"
	"tutti/tuttitest"
)

// losing is a way to a node on which the first answer with a mark in it is lost, and
// the connection with it.
type losing struct {
	net.Listener
	to, mark string
	once     sync.Once
	gone     chan struct{} // closed when it was lost
	running  sync.WaitGroup
}

func startLosing(t *testing.T, to, mark string) *losing {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &losing{Listener: l, to: to, mark: mark, gone: make(chan struct{})}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.running.Wait()
	})
	return p
}

func (p *losing) accept() {
	for {
		client, err := p.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.pass(client) })
	}
}

func (p *losing) pass(client net.Conn) {
	defer client.Close()
	node, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer node.Close()
	p.running.Go(func() {
		defer node.Close()
		_, _ = node.(*net.TCPConn).ReadFrom(client) // ends with either
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := node.Read(buf)
		if err != nil || p.loses(buf[:n]) {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *losing) loses(answer []byte) (now bool) {
	if bytes.Contains(answer, []byte(p.mark)) {
		p.once.Do(func() {
			close(p.gone)
			now = true
		})
	}
	return now
}

// What a claim gave whose answer was lost is nobody's. It comes back although the
// worker is never idle: signs of life for what it has later must not keep it.
func TestLostClaimComesBack(t *testing.T) {
	t.Parallel()
	cluster := tuttitest.Start(t)
	way := startLosing(t, cluster.Addr(0), "to be lost")
	through := redis.NewClient(&redis.Options{Addr: way.Addr().String()})
	defer through.Close()
	c := cluster.Client(1)
	begun := make(chan string, 100)
	proceed := map[string]chan struct{}{"first": make(chan struct{}), "second": make(chan struct{})}
	quick := tutti.NewTask("quick", func(context.Context, string) (int, error) { return 1, nil })
	slow := tutti.NewTask("slow", func(_ context.Context, name string) (int, error) {
		begun <- name
		<-proceed[name]
		return 2, nil
	})
	w := startWork(t, through, tutti.WorkConfig{Lease: 2 * time.Second, Concurrency: 3}, quick, slow)
	first := must[tutti.Job[int]](t)(slow.Add(t.Context(), c, "first", tutti.Options{}))
	within(t, begun)
	job := must[tutti.Job[int]](t)(quick.Add(t.Context(), c, "to be lost", tutti.Options{}))
	within(t, way.gone)
	second := must[tutti.Job[int]](t)(slow.Add(t.Context(), c, "second", tutti.Options{}))
	for within(t, begun) != "second" {
	}
	close(proceed["first"])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := job.Wait(ctx)
	if err != nil {
		t.Error(err)
	}
	close(proceed["second"])
	if n := field(t, c, job.ID, "crashes"); n == int64(0) {
		t.Error("it was never taken from a worker")
	}
	for _, j := range []tutti.Job[int]{first, second} {
		if _, err := j.Wait(ctx); err != nil {
			t.Error(err)
		}
	}
	w.stop()
	if err := within(t, w.end); err != nil {
		t.Error(err)
	}
}

// holding is a connection on which the first answer with a mark in it comes late.
type holding struct {
	net.Conn
	mark       string
	once       *sync.Once
	held, free chan struct{} // closed when it is held, and to let it come
}

func (h *holding) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if bytes.Contains(b[:n], []byte(h.mark)) {
		h.once.Do(func() {
			close(h.held)
			<-h.free
		})
	}
	return n, err
}

// While the answer to a claim travels, a worker that claims ahead gets what is added
// meanwhile.
func TestClaimsAheadOverlap(t *testing.T) {
	t.Parallel()
	cluster := tuttitest.Start(t)
	c := cluster.Client(1)
	var once sync.Once
	held, free := make(chan struct{}), make(chan struct{})
	through := redis.NewClient(&redis.Options{Addr: cluster.Addr(0), Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &holding{conn, "to be held", &once, held, free}, err
	}})
	defer through.Close()
	quick := tutti.NewTask("quick", func(context.Context, string) (int, error) { return 1, nil })
	startWork(t, through, tutti.WorkConfig{Concurrency: 2, Ahead: 2}, quick)
	late := must[tutti.Job[int]](t)(quick.Add(t.Context(), c, "to be held", tutti.Options{}))
	within(t, held)
	other := must[tutti.Job[int]](t)(quick.Add(t.Context(), c, "another", tutti.Options{}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := other.Wait(ctx); err != nil {
		t.Error(err)
	}
	close(free)
	if _, err := late.Wait(ctx); err != nil {
		t.Error(err)
	}
}
