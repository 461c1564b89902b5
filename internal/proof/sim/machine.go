package sim

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/store"
)

// machine is what outlives its node: disk and clock.
type machine struct {
	id   int // from 1
	name string
	dir  string
	membership

	gate  *gate
	disk  *disk
	room  room
	clock *Clock
	// entropy goes on over starts, so that no two draw the same number.
	entropy *rand.ChaCha8

	node    *node.Node // nil: down
	closing sync.WaitGroup
	log     tail

	rotten string // what a fault has damaged on the disk; empty: nothing
	dead   error  // why the node can't start any more; nil: it can

	mu      sync.Mutex // guards what follows
	rand    *rand.Rand // of what is left on the disk when the node stops itself
	life    *disk      // that of the node that runs; nil: none
	open    *node.Node // for whoever takes it to close; nil: somebody has
	failure error      // why it stopped itself; nil: it did not
}

// membership is what a machine is to the cluster.
type membership struct {
	// formed says that its folder is a node's; leaves that the node was, or will
	// be, taken out of the cluster.
	formed, leaves bool
	asked          int // how often it has asked a node to be taken in
	// peer is where the node listens for others, if it came in as the rival of
	// another process of its machine; empty: where the first node of a machine does.
	peer       string
	*applicant // nil: it is none
}

// Start starts node i.
func (c *Cluster) Start(i int) {
	c.t.Helper()
	if err := c.start(i); err != nil {
		c.t.Fatalf("%s open node %d: %v\n%s", stamp(), i, err, c.machine(i).log.String())
	}
}

// TryStart starts node i if its disk lets it. An error is one that a fault of
// the disk explains: an injected one, after which it may start another time, or
// damage that the node has found and refuses to live with.
func (c *Cluster) TryStart(i int) error {
	c.t.Helper()
	m := c.machine(i)
	if m.dead != nil {
		return m.dead
	}
	d := m.disk
	err := c.start(i)
	if err == nil {
		return nil
	}
	struck, _ := d.faulty()
	switch {
	case m.leaves && errors.Is(err, node.ErrRemoved):
		m.dead = err
	case struck:
	case m.rotten != "" && isDamage(err):
		c.bury(m, err)
	default:
		c.t.Fatalf("%s open node %d: %v\n%s", stamp(), i, err, m.log.String())
	}
	return err
}

// isDamage reports whether a node says that its disk lost or garbled something.
func isDamage(err error) bool {
	return errors.Is(err, store.ErrDamaged) || pebble.IsCorruptionError(err)
}

// bury gives up a node that can't rebuild itself, for the rest of the run: to
// give it an empty disk would let it forget what it has promised.
func (c *Cluster) bury(m *machine, err error) {
	m.dead = fmt.Errorf("%s, and the node says: %w", m.rotten, err)
	c.Net.Down(m.name, true)
}

// Dead returns why node i can't start any more, or nil.
func (c *Cluster) Dead(i int) error { return c.machine(i).dead }

func (c *Cluster) start(i int) error {
	c.t.Helper()
	m := c.machine(i)
	if m.node != nil {
		c.t.Fatalf("node %d runs", i)
	}
	c.Net.Up(m.name)
	d := m.disk
	m.mu.Lock()
	m.life, m.failure = d, nil
	m.mu.Unlock()
	n, err := node.Open(c.config(m, d))
	if err != nil {
		c.Net.Down(m.name, true)
		m.mu.Lock()
		m.life = nil
		m.mu.Unlock()
		c.renew(m)
		return err
	}
	m.node = n
	m.mu.Lock()
	m.open = n
	m.mu.Unlock()
	d.setDelay(syncDelay)
	return nil
}

func (c *Cluster) config(m *machine, d *disk) node.Config {
	level := slog.LevelInfo
	if os.Getenv(logsEnv) != "" {
		level = slog.LevelDebug
	}
	cfg := node.Config{Dir: m.dir, FS: d.fs(), Pace: node.Pace{LogBytesMax: c.opts.LogBytesMax, MemtableBytes: memtableBytes, ScrubEvery: c.opts.ScrubEvery, Uploads: c.opts.Uploads, Large: c.opts.Large},
		Logger:        slog.New(slog.NewTextHandler(&m.log, &slog.HandlerOptions{Level: level})),
		ListenClients: c.Net.Listen, ListenPeers: c.Net.Listen, Dial: c.Net.sealed(m.name),
		DialPeer: func(ctx context.Context, to node.Member) (net.Conn, error) { return c.Net.Dial(ctx, m.name, to.Peer) },
		SecurePeer: func(ctx context.Context, conn net.Conn) (net.Conn, cluster.NodeID, error) {
			if conn.(*Conn).sealed {
				return welcome(ctx, conn, d, m.dir)
			}
			var id uint64
			_, err := fmt.Sscanf(conn.(*Conn).remote, "n%d", &id)
			return conn, cluster.NodeID(id), err
		},
		Rand: lockedRand(rand.NewPCG(c.opts.Seed, uint64(100+m.id))), Entropy: m.entropy,
		Failed: func(err error) { c.nodeFailed(m, d, err) }, Debug: true, Formats: c.opts.Formats[m.id],
	}
	if c.opts.Secured {
		cfg.DialPeer, cfg.SecurePeer = nil, nil
	}
	cfg.Clock.Wall = m.clock.Wall
	gate := m.gate
	cfg.Clock.Mono = func() time.Duration {
		gate.pass()
		return m.clock.Mono()
	}
	return cfg
}

// memtableBytes is so small that a run of a minute rotates logs, and writes and
// compacts tables; and every fsync copies the whole file in MemFS.
const memtableBytes = 256 << 10

func lockedRand(src rand.Source) func(n uint64) uint64 {
	r := rand.New(src)
	var mu sync.Mutex
	return func(n uint64) uint64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Uint64N(n)
	}
}

// nodeFailed is what the end of its process does to a node that stopped itself: it
// is called on some goroutine of the node. Nothing that the node does from then
// on reaches anybody. Of what it had not synced a random part is left, as
// Linux drops pages that it could not write.
func (c *Cluster) nodeFailed(m *machine, d *disk, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life != d {
		return // it was stopped before
	}
	c.Net.Down(m.name, true)
	keep := m.rand.IntN(3) * 50
	d.stop(func() *vfs.MemFS { return d.crash(m.rand, keep) })
	m.life, m.failure = nil, err
	if n := m.open; n != nil {
		// At once: Pebble tries a compaction of damaged tables again and again
		// until then, and virtual time stands still.
		m.open = nil
		d.setDelay(0)
		m.closing.Go(func() { _ = n.Close() })
	}
}

// take returns the node if nobody else closes it.
func (m *machine) take() *node.Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.open
	m.open = nil
	return n
}

// Reap clears away the nodes that have stopped themselves, and returns them. A
// failed disk is a good reason, and damage is one that keeps a node from coming
// back; anything else is an error of the test.
func (c *Cluster) Reap() []int {
	var found []int
	for _, m := range c.machines {
		m.mu.Lock()
		err := m.failure
		m.failure = nil
		m.mu.Unlock()
		if m.node == nil || err == nil {
			continue
		}
		found = append(found, m.id)
		c.judge(m, err)
		c.end(m.id, func(d *disk) *vfs.MemFS { panic("sim: the disk of a failed node did not end") })
	}
	return found
}

// judge looks at why a node stopped itself.
func (c *Cluster) judge(m *machine, err error) {
	struck, retried := m.disk.faulty()
	switch {
	case retried != "":
		c.t.Errorf("%s node %d fsynced %s again after that had failed", stamp(), m.id, retried)
	case m.leaves && errors.Is(err, node.ErrRemoved):
		m.dead = err
	case struck:
	case m.rotten != "" && isDamage(err): // it is rebuilt when it starts again
	case c.opts.Expect != "" && strings.Contains(err.Error(), c.opts.Expect):
	default:
		c.t.Errorf("%s node %d failed: %v", stamp(), m.id, err)
	}
}

// Crash cuts the power of node i: of what it has not synced a random part
// stays, its peers hear nothing more.
func (c *Cluster) Crash(i int) {
	c.Net.Down(c.machine(i).name, false)
	keep := c.Rand.IntN(3) * 50
	c.end(i, func(d *disk) *vfs.MemFS { return d.crash(c.Rand, keep) })
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
	_, gone := c.machine(i).disk.gone()
	return gone
}

// Kill ends the process of node i: its files stay as they are, its connections
// are closed by the operating system.
func (c *Cluster) Kill(i int) {
	c.Net.Down(c.machine(i).name, true)
	c.end(i, keepAll)
}

// keepAll is what is left when a process ends but not its machine.
func keepAll(d *disk) *vfs.MemFS {
	return d.crash(rand.New(rand.NewPCG(0, 0)), 100)
}

// end ends a node whose network is down already. survivor says what is left on
// its disk, unless that has ended before.
func (c *Cluster) end(i int, survivor func(d *disk) *vfs.MemFS) {
	m := c.machine(i)
	if m.node == nil && !m.asks() {
		c.t.Fatalf("node %d is down", i)
	}
	m.interrupt()
	m.node = nil
	m.mu.Lock()
	m.life = nil
	m.mu.Unlock()
	c.replace(m, survivor)
	if n := m.take(); n != nil {
		m.closing.Go(func() { _ = n.Close() })
	}
}

// renew is a new disk with what a process left that has ended.
func (c *Cluster) renew(m *machine) { c.replace(m, keepAll) }

// replace ends the disk of a machine and puts another with what is left in its
// place, which goes on failing as long as it is to fail. The goroutines of the
// dead go on for a while, on a disk that nobody looks at and without a network.
func (c *Cluster) replace(m *machine, survivor func(d *disk) *vfs.MemFS) {
	old := m.disk
	old.setDelay(0)
	m.gate = newGate()
	next := newDisk(nil, m.gate, &m.room)
	next.mem, next.fail = old.stop(func() *vfs.MemFS { return survivor(old) })
	m.disk = next
}

// Stop stops node i as an operator does.
func (c *Cluster) Stop(i int) {
	m := c.machine(i)
	m.disk.setDelay(0)
	var err error
	if n := m.take(); n != nil {
		err = n.Stop(context.Background())
	}
	m.node = nil
	c.Net.Down(m.name, true)
	m.mu.Lock()
	failure := m.failure
	m.life, m.failure = nil, nil
	m.mu.Unlock()
	if failure != nil {
		c.judge(m, failure)
		c.renew(m)
		return
	}
	if err != nil {
		c.t.Errorf("%s stop node %d: %v", stamp(), i, err)
	}
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

// newMachine makes machine i, whose disk is still to be made.
func newMachine(opts Options, i int) *machine {
	m := &machine{id: i, name: fmt.Sprintf("n%d", i), gate: newGate(), clock: NewClock(), rand: rand.New(rand.NewPCG(opts.Seed, uint64(1000+i)))}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], opts.Seed)
	binary.BigEndian.PutUint64(seed[8:], uint64(i))
	m.entropy = rand.NewChaCha8(seed)
	m.dir = "/" + m.name
	return m
}

func (m *machine) member() node.Member {
	return node.Member{ID: cluster.NodeID(m.id), Peer: cmp.Or(m.peer, m.name+":7379"), Client: m.name + ":6379"}
}
