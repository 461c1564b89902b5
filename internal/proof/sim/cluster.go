package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/server"
	"tutti/internal/shard"
)

// Options say what cluster to make. Zero values are defaults.
type Options struct {
	Nodes, Shards int // 3, 1
	Seed          uint64
	LogBytesMax   int64         // see node.Config
	ScrubEvery    time.Duration // the same
	// Uploads says which values go to their shards in parts.
	Uploads server.Uploads
	// Large says what is large.
	Large shard.Large
	// AutoPlace lets the cluster decide where replicas are; otherwise the test
	// does.
	AutoPlace bool
	// Secured lets nodes speak TLS among themselves. Nothing befalls their frames
	// then, which nobody can tell in it.
	Secured bool
	// Formats are the versions that nodes confirm from their next start on; those
	// that are not there the newest.
	Formats map[int]cluster.Version
	// Version is that of the formats that are written at first; zero: the newest.
	Version cluster.Version
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
	desk     desk
	loads    []*Load
}

// desk is what an operator of the cluster has at hand.
type desk struct {
	admin  *Client // of the test's goroutine
	orders *orders
	seen   sightings
}

// bubbleYears is when time in bubbles, which begins in 2000, surely ends.
const bubbleYears = 2020

// New forms a cluster and starts all its nodes. The test's end stops them.
func New(t testing.TB, opts Options) *Cluster {
	t.Helper()
	if time.Now().Year() > bubbleYears {
		t.Fatal("a simulation outside a bubble of testing/synctest")
	}
	opts.Nodes, opts.Shards = max(opts.Nodes, 0), max(opts.Shards, 1)
	if opts.Nodes == 0 {
		opts.Nodes = 3
	}
	r := rand.New(rand.NewPCG(opts.Seed, 1))
	c := &Cluster{t: t, opts: opts, Rand: r, Net: NewNetwork(rand.New(rand.NewPCG(opts.Seed, 2)))}
	f := node.Formation{Cluster: "sim", Shards: opts.Shards, Small: true, Manual: !opts.AutoPlace, Version: opts.Version}
	var dirs []string
	for i := range opts.Nodes {
		m := newMachine(opts, i+1)
		c.machines = append(c.machines, m)
		dirs = append(dirs, m.dir)
		f.Members = append(f.Members, m.member())
	}
	mem := vfs.NewCrashableMem()
	if err := node.Form(mem, dirs, f); err != nil {
		t.Fatalf("form: %v", err)
	}
	for _, m := range c.machines {
		// What Form has returned from must survive a power cut.
		m.disk, m.formed = newDisk(mem.CrashClone(vfs.CrashCloneCfg{}), m.gate, &m.room), true
	}
	c.desk = desk{admin: c.Client("admin"), orders: newOrders(c), seen: newSightings()}
	c.desk.admin.Timeout = time.Second
	for i := range c.machines {
		c.Start(i + 1)
	}
	return c
}

func (c *Cluster) machine(i int) *machine { return c.machines[i-1] }

// Nodes returns the number of nodes that there ever were, whether up or not.
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

// Recover heals the network, resumes and starts all nodes that can start,
// repairs disks, and waits until every shard has a leader again.
func (c *Cluster) Recover() {
	c.t.Helper()
	c.Heal()
	operator{c}.discardRemoved()
	for i, m := range c.machines {
		c.Resume(i + 1)
		m.disk.repair()
		if m.room.made() {
			m.room.say(saidPlenty)
		}
	}
	c.Reap()
	for i := 1; i <= len(c.machines); i++ {
		if !c.Up(i) && c.Dead(i) == nil && c.machine(i).formed {
			if err := c.TryStart(i); err != nil && c.Dead(i) == nil {
				c.t.Fatalf("%s start node %d after all faults: %v", stamp(), i, err)
			}
		}
		if c.Up(i) {
			c.SlowDisk(i, 0)
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
	c.Reap()
	for _, m := range c.machines {
		m.interrupt()
		m.disk.setDelay(0)
		c.Net.Pause(m.name, false)
		m.node = nil
		if n := m.take(); n != nil {
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
	c.desk.orders.close()
	for _, l := range c.loads {
		l.wg.Wait()
	}
}

// stamp is the virtual time since the bubble began.
func stamp() string {
	return fmt.Sprintf("[%8.3fs]", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds())
}
