package sim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// Clients keep what they have read through all nodes, one of them without copies, as long
// as they are not told that it is old, while others write, and nodes die, are cut off, or
// need a snapshot. Nobody keeps a value that is older than a write that was answered
// cacheMax ago: that is how long a node that was cut off goes without noticing, 3.5 s, and
// the client with a command that nobody answers, 5 s: what it is told comes behind the
// reply.
const cacheMax = 9 * time.Second

// ledger is what was written and answered.
type ledger struct {
	mu    sync.Mutex
	acked map[string][]ack
}

// ack is a number that a key was given, and when that was answered.
type ack struct {
	n  int64
	at time.Time
}

func (l *ledger) wrote(key string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[key] = append(l.acked[key], ack{n, time.Now()})
}

// least returns the least number that may be kept.
func (l *ledger) least(key string, age time.Duration) (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.acked[key] {
		if time.Since(a.at) >= age {
			n = max(n, a.n)
		}
	}
	return n
}

// cache is what one client keeps.
type cache struct {
	mu    sync.Mutex
	kept  map[string]int64
	asked []string // keys whose replies are to come, in order
	hits  int
	told  int
}

// take takes what has come: a reply to the oldest question, or word that keys are old.
func (c *cache) take(v resp.Value) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case v.Kind == resp.KindPush && v.Elems[1].Null:
		c.told++
		clear(c.kept)
	case v.Kind == resp.KindPush:
		c.told++
		for _, key := range v.Elems[1].Elems {
			delete(c.kept, string(key.Str))
		}
	case len(c.asked) == 0:
		return fmt.Errorf("a reply to nothing: %s", v.FormatCLI())
	default:
		key := c.asked[0]
		c.asked = c.asked[1:]
		if v.IsError() {
			return fmt.Errorf("%s", v.Str)
		}
		if key != "" {
			var n int64 // 0: there is none
			_, _ = fmt.Sscan(string(v.Str), &n)
			c.kept[key] = n
		}
	}
	return nil
}

// receive takes what comes until the connection ends; then nothing is kept any more.
func (c *cache) receive(conn *respclient.Conn) {
	for {
		v, err := conn.Receive()
		if err == nil {
			err = c.take(v)
		}
		if err != nil {
			break
		}
	}
	conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.kept)
	c.asked = nil
}

// use reads keys, from the cache where they are kept, and judges what is.
func (c *cache) use(t *testing.T, k *Client, l *ledger, options []string, stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(1, uint64(k.at)))
	for {
		if v, err := k.Pipe([]string{"HELLO", "3"}, append([]string{"CLIENT", "TRACKING", "ON"}, options...)); err != nil || v[1].IsError() {
			k.Close()
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		conn := k.conn
		_ = conn.SetDeadline(time.Time{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.receive(conn)
		}()
		if c.ask(t, k, conn, l, r, stop, ended) {
			conn.Close()
			<-ended
			k.Close()
			return
		}
		k.Close()
	}
}

// ask asks until the connection has ended, or reports that it is time to stop.
func (c *cache) ask(t *testing.T, k *Client, conn *respclient.Conn, l *ledger, r *rand.Rand, stop, ended <-chan struct{}) bool {
	for {
		select {
		case <-stop:
			return true
		case <-ended:
			return false
		case <-time.After(time.Duration(5+r.IntN(20)) * time.Millisecond):
		}
		key := fmt.Sprint("k", r.IntN(8))
		least := l.least(key, cacheMax)
		c.mu.Lock()
		n, kept := c.kept[key]
		switch {
		case kept && n < least:
			t.Errorf("%s through node %d: %s is kept as %d, %d was written %v ago", stamp(), k.at, key, n, least, cacheMax)
			c.mu.Unlock()
			return true
		case kept:
			c.hits++
			c.mu.Unlock()
		default:
			cmd := []string{"GET", key}
			if r.IntN(8) == 0 {
				cmd[0], key = "INCR", "" // what it writes is not remembered, so it may not be kept
			}
			c.asked = append(c.asked, key)
			c.mu.Unlock()
			if conn.Send(cmd) != nil {
				conn.Close()
			}
		}
	}
}

func TestCachesUnderFaults(t *testing.T) {
	for i, trouble := range []struct {
		name   string
		strike func(c *Cluster, a, b int)
	}{
		{"nothing", func(*Cluster, int, int) {}},
		{"a node dies", func(c *Cluster, a, _ int) { c.Kill(a) }},
		{"the leader is cut off", func(c *Cluster, _, _ int) {
			if lead := c.Leader(1); lead != 0 {
				for other := 1; other <= c.Nodes(); other++ {
					if other != lead {
						c.Cut(c.Name(lead), c.Name(other))
					}
				}
			}
		}},
		{"a node is cut off", func(c *Cluster, a, _ int) {
			for other := 1; other <= c.Nodes(); other++ {
				if other != a {
					c.Cut(c.Name(a), c.Name(other))
				}
			}
		}},
		{"words are lost one way", func(c *Cluster, a, b int) { c.CutOne(c.Name(a), c.Name(b)) }},
		{"links break", func(c *Cluster, a, b int) { c.Net.Reset(c.Name(a), c.Name(b)) }},
		{"frames are lost, repeated and late", func(c *Cluster, a, b int) {
			for _, to := range []string{c.Name(b), c.Name(4)} {
				c.Net.Set(c.Name(a), to, func(p *Path) { p.Frames = Frames{Drop: 0.05, Duplicate: 0.1, Reorder: 0.1} })
			}
		}},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			bubble(t, Options{Seed: 4300 + uint64(i), LogBytesMax: 64 << 10}, func(t *testing.T, c *Cluster) {
				c.WaitLeader(1)
				operator{c}.Join() // node 4, which has no copies
				l := &ledger{acked: map[string][]ack{}}
				stop := make(chan struct{})
				var writers, readers sync.WaitGroup
				var all []*cache
				for n := range 8 {
					options := [][]string{nil, {"BCAST", "PREFIX", "k"}}[n/4]
					x, k := &cache{kept: map[string]int64{}}, c.Client("").At(n%4+1)
					all = append(all, x)
					readers.Go(func() { x.use(t, k, l, options, stop) })
				}
				quiet := make(chan struct{})
				for n := range 2 {
					k, r := c.Client("").At(n+1), rand.New(rand.NewPCG(c.Rand.Uint64(), uint64(n)))
					writers.Go(func() { writeAll(k, r, l, quiet) })
				}
				for round := range 3 {
					time.Sleep(time.Second)
					a := 1 + c.Rand.IntN(3)
					trouble.strike(c, a, 1+a%3)
					time.Sleep(time.Duration(2+10*(round%2)) * time.Second)
					c.Recover()
				}
				close(quiet)
				writers.Wait()
				time.Sleep(cacheMax + 3*time.Second) // by now everybody keeps what there is
				close(stop)
				readers.Wait()
				for n, x := range all {
					if x.hits == 0 || x.told == 0 {
						t.Errorf("client %d of node %d: %d answers from its cache, told %d times", n, n%4+1, x.hits, x.told)
					}
				}
			})
		})
	}
}

// writeAll writes until quiet.
func writeAll(k *Client, r *rand.Rand, l *ledger, quiet <-chan struct{}) {
	defer k.Close()
	for {
		select {
		case <-quiet:
			return
		case <-time.After(time.Duration(r.IntN(200)) * time.Millisecond):
		}
		key := fmt.Sprint("k", r.IntN(8))
		v, err := k.Do("INCR", key)
		if err != nil || v.IsError() {
			k.At(1 + r.IntN(3))
			continue
		}
		l.wrote(key, v.Int)
	}
}
