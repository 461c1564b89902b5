package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/node"
)

// Options say what cluster to make. Zero values are defaults.
type Options struct {
	Nodes, Shards int // 3, 1
	Seed          uint64
	LogBytesMax   int64         // see node.Config
	ScrubEvery    time.Duration // the same
	// Expect is part of an error with which nodes may stop themselves, beside
	// that their data is damaged.
	Expect string
}

// Cluster is a cluster in a bubble.
type Cluster struct {
	Net  *Network
	Rand *rand.Rand // of the schedule; used by the test's goroutine only

	t        testing.TB
	opts     Options
	machines []*machine
	clients  int
	admin    *Client
	loads    []*Load
}

// machine is what outlives its node: disk and clock.
type machine struct {
	id    int // from 1
	name  string
	dir   string
	gate  *gate
	disk  *disk
	room  room
	clock *Clock

	node    *node.Node // nil: down
	closing sync.WaitGroup
	log     tail
	// damaged is set once the node has stopped itself because its data is.
	damaged atomic.Bool
}

// New forms a cluster and starts all its nodes. The test's end stops them.
func New(t testing.TB, opts Options) *Cluster {
	t.Helper()
	opts.Nodes, opts.Shards = max(opts.Nodes, 0), max(opts.Shards, 1)
	if opts.Nodes == 0 {
		opts.Nodes = 3
	}
	r := rand.New(rand.NewPCG(opts.Seed, 1))
	c := &Cluster{t: t, opts: opts, Rand: r, Net: NewNetwork(rand.New(rand.NewPCG(opts.Seed, 2)))}
	f := node.Formation{Cluster: "sim", Shards: opts.Shards, Small: true}
	var dirs []string
	for i := 1; i <= opts.Nodes; i++ {
		m := &machine{id: i, name: fmt.Sprintf("n%d", i), gate: newGate(), clock: NewClock()}
		m.dir = "/" + m.name
		c.machines = append(c.machines, m)
		dirs = append(dirs, m.dir)
		f.Members = append(f.Members, node.Member{ID: uint64(i), Peer: m.name + ":7379", Client: m.name + ":6379"})
	}
	mem := vfs.NewCrashableMem()
	if err := node.Form(mem, dirs, f); err != nil {
		t.Fatalf("form: %v", err)
	}
	for _, m := range c.machines {
		// What Form has returned from must survive a power cut.
		m.disk = newDisk(mem.CrashClone(vfs.CrashCloneCfg{}), m.gate, &m.room)
	}
	c.admin = c.Client("admin")
	c.admin.Timeout = time.Second
	for i := range c.machines {
		c.Start(i + 1)
	}
	return c
}

func (c *Cluster) machine(i int) *machine { return c.machines[i-1] }

// Nodes returns the number of nodes, whether up or not.
func (c *Cluster) Nodes() int { return len(c.machines) }

// Name returns the host name of node i.
func (c *Cluster) Name(i int) string { return c.machine(i).name }

// Clock returns the clock of node i.
func (c *Cluster) Clock(i int) *Clock { return c.machine(i).clock }

// Up reports whether node i runs.
func (c *Cluster) Up(i int) bool { return c.machine(i).node != nil }

// Logged counts the lines of node i's log that contain text.
func (c *Cluster) Logged(i int, text string) int {
	return strings.Count(c.machine(i).log.String(), text)
}

// Start starts node i.
func (c *Cluster) Start(i int) {
	c.t.Helper()
	m := c.machine(i)
	if m.node != nil {
		c.t.Fatalf("node %d runs", i)
	}
	c.Net.Up(m.name)
	cfg := node.Config{Dir: m.dir, FS: m.disk.fs(), LogBytesMax: c.opts.LogBytesMax, ScrubEvery: c.opts.ScrubEvery,
		Logger:        slog.New(slog.NewTextHandler(&m.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		ListenClients: c.Net.Listen, ListenPeers: c.Net.Listen,
		DialPeer: func(ctx context.Context, to node.Member) (net.Conn, error) { return c.Net.Dial(ctx, m.name, to.Peer) },
		SecurePeer: func(_ context.Context, conn net.Conn) (net.Conn, uint64, error) {
			var id uint64
			_, err := fmt.Sscanf(conn.(*Conn).remote, "n%d", &id)
			return conn, id, err
		},
		Rand:   lockedRand(rand.NewPCG(c.opts.Seed, uint64(100+i))),
		Failed: func(err error) { c.failed(m, err) },
	}
	cfg.Clock.Wall = m.clock.Wall
	gate := m.gate
	cfg.Clock.Mono = func() time.Duration {
		gate.pass()
		return m.clock.Mono()
	}
	n, err := node.Open(cfg)
	if err != nil {
		c.t.Fatalf("%s open node %d: %v\n%s", stamp(), i, err, m.log.String())
	}
	m.node = n
	m.disk.setDelay(syncDelay)
}

func lockedRand(src rand.Source) func(n uint64) uint64 {
	r := rand.New(src)
	var mu sync.Mutex
	return func(n uint64) uint64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Uint64N(n)
	}
}

// Crash cuts the power of node i: of what it has not synced a random part
// stays, its peers hear nothing more.
func (c *Cluster) Crash(i int) {
	c.Net.Down(c.machine(i).name, false)
	c.end(i, c.Rand.IntN(3)*50)
}

// CrashAtChange cuts the power of node i before the n-th change from now that
// it makes to its disk; it may be starting then. With a path, changes count from
// the first one to a file whose name contains it. Crash ends the node in any
// case, as it was at that moment if it has come.
func (c *Cluster) CrashAtChange(i, n int, path string) {
	m := c.machine(i)
	m.disk.cutAfter(n, path, c.Rand.IntN(3)*50, rand.New(rand.NewPCG(c.Rand.Uint64(), 3)), func() { c.Net.Down(m.name, false) })
}

// Gone reports whether the power cut that CrashAtChange asked for has come.
func (c *Cluster) Gone(i int) bool {
	d := c.machine(i).disk
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.after != nil
}

// Kill ends the process of node i: its files stay as they are, its connections
// are closed by the operating system.
func (c *Cluster) Kill(i int) {
	c.Net.Down(c.machine(i).name, true)
	c.end(i, 100)
}

func (c *Cluster) end(i, keepPercent int) {
	m := c.machine(i)
	n := m.node
	if n == nil {
		c.t.Fatalf("node %d is down", i)
	}
	m.node = nil
	m.damaged.Store(false)
	mem := m.disk.gone()
	if mem == nil {
		mem = m.disk.crash(c.Rand, keepPercent)
	}
	// The goroutines of the dead go on for a while, on a disk that nobody looks
	// at and without a network.
	m.disk.setDelay(0)
	m.gate = newGate()
	m.disk = newDisk(mem, m.gate, &m.room)
	m.closing.Go(func() { _ = n.Close() })
}

// Stop stops node i as an operator does.
func (c *Cluster) Stop(i int) {
	m := c.machine(i)
	n := m.node
	m.node = nil
	m.disk.setDelay(0)
	if err := n.Stop(context.Background()); err != nil {
		c.t.Errorf("%s stop node %d: %v", stamp(), i, err)
	}
	c.Net.Down(m.name, true)
}

// Pause stops the process of node i, as SIGSTOP does: nothing comes or goes,
// its log is not written, its loop stands at the next look at the clock.
func (c *Cluster) Pause(i int) {
	m := c.machine(i)
	c.Net.Pause(m.name, true)
	m.gate.set(true)
}

// Resume lets a paused node go on.
func (c *Cluster) Resume(i int) {
	m := c.machine(i)
	m.gate.set(false)
	c.Net.Pause(m.name, false)
}

// SlowDisk makes the fsyncs of node i's log take d; 0: as usual.
func (c *Cluster) SlowDisk(i int, d time.Duration) {
	if d == 0 {
		d = syncDelay
	}
	c.machine(i).disk.setDelay(d)
}

// CutOne cuts the direction from one host to another.
func (c *Cluster) CutOne(from, to string) { c.Net.Set(from, to, func(p *Path) { p.Cut = true }) }

// Cut cuts both directions.
func (c *Cluster) Cut(a, b string) {
	c.CutOne(a, b)
	c.CutOne(b, a)
}

// Split lets only hosts within one group reach each other. Hosts in no group
// reach all.
func (c *Cluster) Split(groups ...[]string) {
	for i, g := range groups {
		for _, h := range groups[i+1:] {
			for _, a := range g {
				for _, b := range h {
					c.Cut(a, b)
				}
			}
		}
	}
}

// Heal undoes all faults of the network; nodes that are down stay down.
func (c *Cluster) Heal() { c.Net.Heal() }

// Recover heals the network, resumes and starts all nodes, repairs disks, and
// waits until every shard has a leader again.
func (c *Cluster) Recover() {
	c.t.Helper()
	c.Heal()
	for i := 1; i <= len(c.machines); i++ {
		c.Resume(i)
		if c.Up(i) {
			c.SlowDisk(i, 0)
		} else {
			c.Start(i)
		}
	}
	for s := 1; s <= c.opts.Shards; s++ {
		c.WaitLeader(s)
	}
}

// Close stops everything and waits until no goroutine is left.
func (c *Cluster) Close() {
	for _, l := range c.loads {
		l.quit()
	}
	c.Heal()
	for _, m := range c.machines {
		m.disk.setDelay(0)
		c.Net.Pause(m.name, false)
		if n := m.node; n != nil {
			m.node = nil
			m.closing.Go(func() {
				if err := n.Close(); err != nil {
					c.t.Errorf("close node %d: %v", m.id, err)
				}
			})
		}
	}
	for _, m := range c.machines {
		m.closing.Wait()
	}
	c.Net.Close()
	for _, l := range c.loads {
		l.wg.Wait()
	}
	if dir := os.Getenv(logsEnv); dir != "" && c.t.Failed() {
		for _, m := range c.machines {
			name := filepath.Join(dir, strings.ReplaceAll(c.t.Name(), "/", "_")+"-"+m.name+".log")
			if err := os.WriteFile(name, []byte(m.log.String()), 0o644); err != nil {
				c.t.Log(err)
			}
			c.t.Logf("log of node %d: %s", m.id, name)
		}
	}
}

// Status asks node i for its status.
func (c *Cluster) Status(i int) (node.Status, error) {
	var s node.Status
	if !c.Up(i) {
		return s, errors.New("down")
	}
	v, err := c.admin.At(i).Do("TUTTI.STATUS")
	if err != nil {
		return s, err
	}
	if v.IsError() {
		return s, fmt.Errorf("status of node %d: %s", i, v.Str)
	}
	return s, json.Unmarshal(v.Str, &s)
}

// Leader returns the node that a majority takes for the leader of a shard, or 0.
func (c *Cluster) Leader(shard int) int {
	votes := make(map[[2]uint64]int)
	for i := range c.machines {
		s, err := c.Status(i + 1)
		if err != nil {
			continue
		}
		info := s.Shards[shard-1]
		if l := int(info.Leader); l != 0 && c.Up(l) {
			at := [2]uint64{info.Leader, info.Term}
			if votes[at]++; votes[at] > len(c.machines)/2 {
				return l
			}
		}
	}
	return 0
}

// WaitLeader waits until a shard has a leader that a majority follows.
func (c *Cluster) WaitLeader(shard int) int {
	c.t.Helper()
	for range 600 {
		if l := c.Leader(shard); l != 0 {
			return l
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Fatalf("%s shard %d has no leader after 30 s", stamp(), shard)
	return 0
}

// WaitEqual waits until all nodes have applied the same of all shards and
// compares their hashes.
func (c *Cluster) WaitEqual(within time.Duration) {
	c.t.Helper()
	var last string
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var all []node.Status
		for i := range c.machines {
			if s, err := c.Status(i + 1); err == nil {
				all = append(all, s)
			}
		}
		if len(all) < len(c.machines) {
			last = fmt.Sprintf("%d of %d nodes answer", len(all), len(c.machines))
			continue
		}
		equal := true
		for _, s := range all[1:] {
			for k, info := range s.Shards {
				first := all[0].Shards[k]
				if info.Applied != first.Applied {
					equal = false
					last = fmt.Sprintf("shard %d: node %d applied %d, node %d %d", info.Shard, all[0].Node, first.Applied, s.Node, info.Applied)
				} else if info.Hash != first.Hash {
					c.t.Fatalf("%s shard %d at %d: hash %s at node %d, %s at node %d", stamp(), info.Shard, info.Applied, first.Hash, all[0].Node, info.Hash, s.Node)
				}
			}
		}
		if equal {
			return
		}
	}
	c.t.Fatalf("%s replicas did not converge within %v: %s", stamp(), within, last)
}

// stamp is the virtual time since the bubble began.
func stamp() string {
	return fmt.Sprintf("[%8.3fs]", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds())
}

// tail keeps the newest lines of a log.
type tail struct {
	mu    sync.Mutex // guards lines
	lines []string
}

// tailLines bounds the memory; logsEnv names a folder where a failed test
// leaves the logs of its nodes.
const (
	tailLines = 20_000
	logsEnv   = "TUTTI_SIM_LOGS"
)

func (t *tail) Write(p []byte) (int, error) {
	line := stamp() + " " + string(bytes.TrimSpace(p))
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) >= tailLines {
		t.lines = t.lines[1:]
	}
	t.lines = append(t.lines, line)
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
