package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
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
// reply. Clients with NOLOOP keep what they have written themselves, too, also where others
// have written the same key at the same moment, and so in the same entry.
const cacheMax = 9 * time.Second

// ledger is what was written and answered.
type ledger struct {
	quiet time.Time // since when nobody writes but as lastWrite says

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

// moved notes that the list has one element more.
func (l *ledger) moved() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[list] = append(l.acked[list], ack{int64(len(l.acked[list])) + 1, time.Now()})
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
	options []string // of CLIENT TRACKING
	ledger  *ledger
	seed    uint64

	mu    sync.Mutex
	kept  map[string]int64
	mine  map[string]bool // is kept as the client has written it
	asked []question      // whose replies are to come, in order
	hits  int
	own   int // of them of what it has written
	told  int

	last int // how many keys have been written for the last time
}

// question is what a client has asked.
type question struct {
	key   string
	write bool
}

func (c *cache) noLoop() bool { return slices.Contains(c.options, "NOLOOP") }

// take takes what has come: a reply to the oldest question, or word that keys are old.
func (c *cache) take(v resp.Value) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case v.Kind == resp.KindPush && v.Elems[1].Null:
		c.told++
		clear(c.kept)
		clear(c.mine)
	case v.Kind == resp.KindPush:
		c.told++
		for _, key := range v.Elems[1].Elems {
			delete(c.kept, string(key.Str))
			delete(c.mine, string(key.Str))
		}
	case len(c.asked) == 0:
		return fmt.Errorf("a reply to nothing: %s", v.FormatCLI())
	default:
		q := c.asked[0]
		c.asked = c.asked[1:]
		if v.IsError() {
			return fmt.Errorf("%s", v.Str)
		}
		if q.write {
			c.wrote(q.key, v)
			break
		}
		n := v.Int // of a string: 0 if there is none
		_, _ = fmt.Sscan(string(v.Str), &n)
		c.kept[q.key] = n
	}
	return nil
}

// wrote takes the reply to a write.
func (c *cache) wrote(key string, v resp.Value) {
	before, kept := c.kept[key]
	n := v.Int
	switch {
	case key != list:
		c.ledger.wrote(key, n)
	case v.Null:
		return // there was nothing to be moved
	default:
		c.ledger.moved()
		n = before + 1
	}
	// What is not kept is not remembered there either, so it may not be from now on.
	if kept && c.noLoop() {
		c.kept[key], c.mine[key] = n, true
	}
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
	clear(c.mine)
	c.asked = nil
}

// use reads keys, from the cache where they are kept, and judges what is.
func (c *cache) use(t *testing.T, k *Client, quiet, stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(1, c.seed))
	for {
		if v, err := k.Pipe([]string{"HELLO", "3"}, append([]string{"CLIENT", "TRACKING", "ON"}, c.options...)); err != nil || v[1].IsError() {
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
		if c.ask(t, k, conn, r, quiet, stop, ended) {
			conn.Close()
			<-ended
			k.Close()
			return
		}
		k.Close()
	}
}

// ask asks until the connection has ended, or reports that it is time to stop.
func (c *cache) ask(t *testing.T, k *Client, conn *respclient.Conn, r *rand.Rand, quiet, stop, ended <-chan struct{}) bool {
	for {
		select {
		case <-stop:
			return true
		case <-ended:
			return false
		case <-time.After(time.Duration(10+r.IntN(30)) * time.Millisecond):
		}
		write, key := r.IntN(8) == 0, keys[r.IntN(len(keys))]
		write = write && (key != list || c.noLoop())
		select {
		case <-quiet:
			if last := c.lastWrite(k.at); last != "" {
				write, key = true, last
			} else {
				write = false
			}
		default:
		}
		switch kept, err := c.judge(key); {
		case write:
			c.send(conn, true, key)
		case err != nil:
			t.Errorf("%s through node %d, %q: %v", stamp(), k.at, c.options, err)
			return true
		case !kept:
			c.send(conn, false, key)
		}
	}
}

// keys are what everybody reads and writes: numbers, and the length of a list, to which
// clients with NOLOOP move what they have waited for.
var keys = []string{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", list}

const list = "klist"

// lastWrite returns what the client is to write now that nobody else does, or nothing: each
// key is written once more, by the two clients with NOLOOP of one node at the same moment,
// so in one entry, and by nobody else; to the list both move what one command brings. Who is
// not told of the other one's write keeps its own for ever.
func (c *cache) lastWrite(node int) (key string) {
	if !c.noLoop() || c.last >= len(keys) {
		return ""
	}
	wait := time.Until(c.ledger.quiet.Add(2*time.Second + time.Duration(c.last)*100*time.Millisecond))
	if wait > 50*time.Millisecond {
		return ""
	}
	c.last++
	if wait < 0 || c.last%4 != node%4 {
		return ""
	}
	time.Sleep(wait)
	return keys[c.last-1]
}

// judge reports whether a key is kept, and whether it must not be any more.
func (c *cache) judge(key string) (kept bool, err error) {
	least := c.ledger.least(key, cacheMax)
	c.mu.Lock()
	defer c.mu.Unlock()
	n, kept := c.kept[key]
	switch {
	case kept && n < least:
		return true, fmt.Errorf("%s is kept as %d, %d was written %v ago", key, n, least, cacheMax)
	case kept:
		c.hits++
		if c.mine[key] {
			c.own++
		}
	}
	return kept, nil
}

// send asks for a key, or writes it.
func (c *cache) send(conn *respclient.Conn, write bool, key string) {
	c.mu.Lock()
	c.asked = append(c.asked, question{key, write})
	c.mu.Unlock()
	cmd := []string{"GET", key}
	switch {
	case key == list && write && c.last > 0:
		cmd = []string{"BLMOVE", "q", list, "LEFT", "LEFT", "4"}
	case key == list && write:
		cmd = []string{"BLMOVE", "q", list, "LEFT", "LEFT", "0.3"}
	case key == list:
		cmd[0] = "LLEN"
	case write:
		cmd[0] = "INCR"
	}
	if conn.Send(cmd) != nil {
		conn.Close()
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
				quiet := make(chan struct{})
				for n := range 16 {
					options := [][]string{nil, {"BCAST", "PREFIX", "k"}, {"NOLOOP"}, {"NOLOOP", "BCAST", "PREFIX", "k"}}[n/4]
					x, k := &cache{options: options, ledger: l, seed: uint64(n), kept: map[string]int64{}, mine: map[string]bool{}}, c.Client("").At(n%4+1)
					all = append(all, x)
					readers.Go(func() { x.use(t, k, quiet, stop) })
				}
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
				l.quiet = time.Now()
				close(quiet)
				writers.Wait()
				pusher := c.Client("").At(1)
				defer pusher.Close()
				_, _ = pusher.Do("DEL", "q") // so that all wait
				time.Sleep(4 * time.Second)
				_, _ = pusher.Do("RPUSH", "q", "x", "y")
				time.Sleep(cacheMax + 3*time.Second) // by now everybody keeps what there is
				close(stop)
				readers.Wait()
				for n, x := range all {
					if x.hits == 0 || x.told == 0 {
						t.Errorf("client %d of node %d: %d answers from its cache, told %d times", n, n%4+1, x.hits, x.told)
					}
					if x.noLoop() && x.own == 0 && i == 0 { // of those whose node is in trouble there may be none
						t.Errorf("client %d of node %d has kept nothing that it has written", n, n%4+1)
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
		if r.IntN(12) == 0 {
			_, _ = k.Do("RPUSH", "q", "x", "y")
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
