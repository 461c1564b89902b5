package sim

import (
	"fmt"
	"strings"
	"time"
)

// fault is a kind of trouble.
type fault struct {
	name string
	plan func(n *Nemesis) *plan // nil: it can't happen now
}

// plan is one fault: the actions that begin and end it.
type plan struct {
	begin, end []string
	nodes      []int // that no other fault may stop meanwhile
	last       time.Duration
}

// faults by name. The swarm draws half of them for a run, so that some runs
// have what others would hide.
var faults = []fault{
	{"crash", (*Nemesis).crash},
	{"torn write", (*Nemesis).torn},
	{"kill", func(n *Nemesis) *plan { return n.halt("kill") }},
	{"stop", func(n *Nemesis) *plan { return n.halt("stop") }},
	{"crash at change", (*Nemesis).crashAtChange},
	{"blackout", (*Nemesis).blackout},
	{"pause", (*Nemesis).pause},
	{"isolate", (*Nemesis).isolate},
	{"one-way", (*Nemesis).oneWay},
	{"bridge", (*Nemesis).bridge},
	{"client cut", (*Nemesis).clientCut},
	{"slow link", (*Nemesis).slowLink},
	{"frames", (*Nemesis).frames},
	{"corruption", (*Nemesis).corruption},
	{"reset", (*Nemesis).reset},
	{"clock jump", (*Nemesis).jump},
	{"clock drift", (*Nemesis).drift},
	{"clock freeze", (*Nemesis).freeze},
	{"slow disk", (*Nemesis).slowDisk},
	{"stalled disk", (*Nemesis).stalledDisk},
	{"fsync error", func(n *Nemesis) *plan { return n.diskError("sync") }},
	{"write error", func(n *Nemesis) *plan { return n.diskError("write") }},
	{"read error", func(n *Nemesis) *plan { return n.diskError("read") }},
	{"disk full", (*Nemesis).full},
	{"lying disk", (*Nemesis).lyingDisk},
	{"bit rot", (*Nemesis).bitRot},
	{"lost log", (*Nemesis).lostLog},
}

func (n *Nemesis) halt(how string) *plan {
	i := n.victim()
	if i == 0 {
		return nil
	}
	return &plan{begin: []string{fmt.Sprint(how, " ", i)}, end: []string{fmt.Sprint("start ", i)}, nodes: []int{i}}
}

func (n *Nemesis) crashLine(i int) string {
	return fmt.Sprintf("crash %d keep=%d seed=%d", i, n.c.Rand.IntN(3)*50, n.seed())
}

func (n *Nemesis) crash() *plan {
	p := n.halt("crash")
	if p != nil {
		p.begin = []string{n.crashLine(p.nodes[0])}
	}
	return p
}

func (n *Nemesis) torn() *plan {
	p := n.halt("crash")
	if p != nil {
		p.begin = []string{fmt.Sprintf("crash %d torn seed=%d", p.nodes[0], n.seed())}
	}
	return p
}

// crashAtChange cuts the power of a node at some change to its disk, lets it
// start, and cuts it again while it recovers.
func (n *Nemesis) crashAtChange() *plan {
	i := n.victim()
	if i == 0 {
		return nil
	}
	cut := func() string {
		return fmt.Sprintf("crash-at %d change=%d keep=%d seed=%d", i, 1+n.c.Rand.IntN(60), n.c.Rand.IntN(3)*50, n.seed())
	}
	start := fmt.Sprint("start ", i)
	return &plan{begin: []string{cut()}, end: []string{n.crashLine(i), cut(), start, n.crashLine(i), start}, nodes: []int{i}}
}

// blackoutsMax bounds the power cuts of all nodes at once in one run: in the
// dark nothing happens that could go wrong.
const blackoutsMax = 3

func (n *Nemesis) blackout() *plan {
	if len(n.busy) > 0 || n.Count["blackout"] >= blackoutsMax {
		return nil
	}
	p := &plan{}
	for i := 1; i <= n.c.Nodes(); i++ {
		if !n.c.Up(i) {
			continue
		}
		p.begin = append(p.begin, n.crashLine(i))
		p.end = append(p.end, fmt.Sprint("start ", i))
		p.nodes = append(p.nodes, i)
	}
	return p
}

func (n *Nemesis) pause() *plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	// A paused node is down for the others, and must not be stopped meanwhile.
	return &plan{begin: []string{fmt.Sprint("pause ", i)}, end: []string{fmt.Sprint("resume ", i)}, nodes: []int{i}}
}

// cutPlan cuts directions and mends them again.
func cutPlan(ways ...string) *plan {
	list := strings.Join(ways, " ")
	return &plan{begin: []string{"cut " + list}, end: []string{"mend " + list}}
}

func way(from, to string) string { return from + ">" + to }

// others lists the names of all nodes but i.
func (n *Nemesis) others(i int) []string {
	var names []string
	for _, m := range n.c.machines {
		if m.id != i {
			names = append(names, m.name)
		}
	}
	return names
}

func (n *Nemesis) isolate() *plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	var ways []string
	for _, o := range n.others(i) {
		ways = append(ways, way(n.c.Name(i), o), way(o, n.c.Name(i)))
	}
	return cutPlan(ways...)
}

// oneWay makes a node deaf or mute, towards one other or all.
func (n *Nemesis) oneWay() *plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	deaf, all := n.chance(0.5), n.chance(0.5)
	var ways []string
	for _, o := range n.others(i) {
		if deaf {
			ways = append(ways, way(o, n.c.Name(i)))
		} else {
			ways = append(ways, way(n.c.Name(i), o))
		}
	}
	if !all {
		ways = ways[:1]
	}
	return cutPlan(ways...)
}

// bridge separates two nodes that both reach all others.
func (n *Nemesis) bridge() *plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	a, b := n.c.Name(i), n.c.Name(n.other(i))
	return cutPlan(way(a, b), way(b, a))
}

// clientCut leaves a client with one node that it reaches.
func (n *Nemesis) clientCut() *plan {
	hosts := n.c.clientHosts()
	if len(hosts) == 0 {
		return nil
	}
	host, left := hosts[n.c.Rand.IntN(len(hosts))], 1+n.c.Rand.IntN(n.c.Nodes())
	var ways []string
	for _, o := range n.others(left) {
		ways = append(ways, way(host, o))
		if n.chance(0.7) { // else answers still come
			ways = append(ways, way(o, host))
		}
	}
	return cutPlan(ways...)
}

// linkPlan gives both directions between two nodes a behaviour.
func (n *Nemesis) linkPlan(text string) *plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	a, b := n.c.Name(i), n.c.Name(n.other(i))
	p := &plan{}
	for _, w := range []string{way(a, b), way(b, a)} {
		p.begin = append(p.begin, fmt.Sprintf("link %s %s", w, text))
		p.end = append(p.end, "link "+w)
	}
	return p
}

func (n *Nemesis) slowLink() *plan {
	delay := n.between(0, 100*time.Millisecond)
	return n.linkPlan(fmt.Sprintf("loss=%s delay=%v jitter=%v", n.share(0.5), delay, delay))
}

func (n *Nemesis) frames() *plan {
	return n.linkPlan(fmt.Sprintf("drop=%s dup=%s reorder=%s", n.share(0.2), n.share(0.3), n.share(0.3)))
}

func (n *Nemesis) corruption() *plan { return n.linkPlan("flip=" + n.share(0.05)) }

func (n *Nemesis) reset() *plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	p := &plan{}
	for _, o := range n.others(i) {
		p.begin = append(p.begin, fmt.Sprintf("reset %s %s", n.c.Name(i), o))
	}
	return p
}

func (n *Nemesis) anyNode() int { return 1 + n.c.Rand.IntN(n.c.Nodes()) }

func (n *Nemesis) jump() *plan {
	d := []time.Duration{time.Hour, -time.Hour, -24 * time.Hour, 2 * time.Second, -2 * time.Second}[n.c.Rand.IntN(5)]
	return &plan{begin: []string{fmt.Sprintf("clock %d jump=%v", n.anyNode(), d)}}
}

// drift lets a clock run up to 20 % too fast or slow, or as wrong as a bad
// crystal: 500 ppm.
func (n *Nemesis) drift() *plan {
	off := 0.2
	if n.chance(0.5) {
		off = 500e-6
	}
	i, rate := n.anyNode(), 1-off+2*off*n.c.Rand.Float64()
	return &plan{begin: []string{fmt.Sprintf("clock %d rate=%.6f", i, rate)}, end: []string{fmt.Sprintf("clock %d rate=1", i)}}
}

func (n *Nemesis) freeze() *plan {
	i := n.anyNode()
	return &plan{begin: []string{fmt.Sprintf("clock %d rate=0", i)}, end: []string{fmt.Sprintf("clock %d rate=1", i)}}
}

func (n *Nemesis) syncPlan(low, high time.Duration) *plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	return &plan{begin: []string{fmt.Sprintf("disk %d sync=%v", i, n.between(low, high))}, end: []string{fmt.Sprint("disk ", i)}}
}

func (n *Nemesis) slowDisk() *plan    { return n.syncPlan(5*time.Millisecond, 100*time.Millisecond) }
func (n *Nemesis) stalledDisk() *plan { return n.syncPlan(300*time.Millisecond, 3*time.Second) }

// diskError makes one operation fail; the node stops itself and is started
// again.
func (n *Nemesis) diskError(op string) *plan {
	i := n.victim()
	if i == 0 {
		return nil
	}
	on := []string{"wal", "wal", "table", "vow", "counters"}[n.c.Rand.IntN(5)]
	if op == "write" && on == "wal" {
		// Nobody may wait for that write, and the next to notice may be the one
		// who closes the log, where Pebble panics: its fsync fails instead.
		op = "sync"
	}
	p := &plan{begin: []string{fmt.Sprintf("fail %d op=%s on=%s error=eio", i, op, on)}, nodes: []int{i}}
	if on == "counters" || op == "read" { // read, and written, at the start
		p.begin = append([]string{fmt.Sprint("kill ", i)}, append(p.begin, fmt.Sprint("start ", i))...)
	}
	p.end = []string{fmt.Sprint("room ", i), fmt.Sprint("start ", i)}
	return p
}

// full lets a disk say that it is full. A node looks every second. (Writes of
// tables that fail would make Pebble hold writers up under its locks until there
// is room, and virtual time would stand still: real disks are filled in the
// tests of cmd/tutti.)
func (n *Nemesis) full() *plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	return &plan{begin: []string{fmt.Sprint("full ", i)}, end: []string{fmt.Sprint("room ", i)}, last: 1500 * time.Millisecond}
}

// lyingDisk lets fsyncs lie, and shows it.
func (n *Nemesis) lyingDisk() *plan {
	i := n.rotten()
	if i == 0 {
		return nil
	}
	on := []string{"log", "state"}[n.c.Rand.IntN(2)]
	end := []string{fmt.Sprintf("lose %d seed=%d", i, n.seed()), fmt.Sprint("start ", i)}
	return &plan{begin: []string{fmt.Sprintf("lie %d on=%s", i, on)}, end: end, nodes: []int{i}, last: 500 * time.Millisecond}
}

// bitRot stops a node in order, so that its vow tells of all its log, and flips
// a bit of its disk.
func (n *Nemesis) bitRot() *plan {
	i := n.rotten()
	if i == 0 {
		return nil
	}
	on := []string{"wal", "wal", "vow", "table", "table", "manifest", "counters", "starts", "node.json"}[n.c.Rand.IntN(9)]
	begin := []string{fmt.Sprint("stop ", i), fmt.Sprintf("flip %d on=%s seed=%d", i, on, n.seed())}
	return &plan{begin: begin, end: []string{fmt.Sprint("start ", i)}, nodes: []int{i}}
}

// lostLog lets the disk of a node that was stopped in order lose the newest part
// of its log.
func (n *Nemesis) lostLog() *plan {
	i := n.rotten()
	if i == 0 {
		return nil
	}
	return &plan{begin: []string{fmt.Sprint("stop ", i), fmt.Sprint("lose-log ", i)}, end: []string{fmt.Sprint("start ", i)}, nodes: []int{i}}
}
