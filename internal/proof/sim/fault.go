package sim

import (
	"fmt"
	"time"

	"tutti/internal/proof/action"
)

// fault is a kind of trouble.
type fault struct {
	name string
	plan func(n *Nemesis) *action.Plan // nil: it can't happen now
}

// faults by name. The swarm draws half of them for a run, so that some runs
// have what others would hide.
var faults = []fault{
	{"crash", (*Nemesis).crash},
	{"torn write", (*Nemesis).torn},
	{"kill", func(n *Nemesis) *action.Plan { return n.halt("kill") }},
	{"stop", func(n *Nemesis) *action.Plan { return n.halt("stop") }},
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
	{"fsync error", func(n *Nemesis) *action.Plan { return n.diskError("sync") }},
	{"write error", func(n *Nemesis) *action.Plan { return n.diskError("write") }},
	{"read error", func(n *Nemesis) *action.Plan { return n.diskError("read") }},
	{"disk full", (*Nemesis).full},
	{"lying disk", (*Nemesis).lyingDisk},
	{"bit rot", (*Nemesis).bitRot},
	{"lost log", (*Nemesis).lostLog},
}

func (n *Nemesis) halt(how string) *action.Plan {
	i := n.victim()
	if i == 0 {
		return nil
	}
	return action.Halt(how, i)
}

func (n *Nemesis) crashLine(i int) string {
	return fmt.Sprintf("crash %d keep=%d seed=%d", i, n.c.Rand.IntN(3)*50, n.seed())
}

func (n *Nemesis) crash() *action.Plan {
	p := n.halt("crash")
	if p != nil {
		p.Begin = []string{n.crashLine(p.Nodes[0])}
	}
	return p
}

func (n *Nemesis) torn() *action.Plan {
	p := n.halt("crash")
	if p != nil {
		p.Begin = []string{fmt.Sprintf("crash %d torn seed=%d", p.Nodes[0], n.seed())}
	}
	return p
}

// crashAtChange cuts the power of a node at some change to its disk, lets it
// start, and cuts it again while it recovers.
func (n *Nemesis) crashAtChange() *action.Plan {
	i := n.victim()
	if i == 0 {
		return nil
	}
	cut := func() string {
		return fmt.Sprintf("crash-at %d change=%d keep=%d seed=%d", i, 1+n.c.Rand.IntN(60), n.c.Rand.IntN(3)*50, n.seed())
	}
	start := fmt.Sprint("start ", i)
	return &action.Plan{Begin: []string{cut()}, End: []string{n.crashLine(i), cut(), start, n.crashLine(i), start}, Nodes: []int{i}}
}

// blackoutsMax bounds the power cuts of all nodes at once in one run: in the
// dark nothing happens that could go wrong.
const blackoutsMax = 3

func (n *Nemesis) blackout() *action.Plan {
	if len(n.busy) > 0 || n.Count["blackout"] >= blackoutsMax {
		return nil
	}
	p := &action.Plan{}
	for i := 1; i <= n.c.Nodes(); i++ {
		if !n.c.Up(i) {
			continue
		}
		p.Begin = append(p.Begin, n.crashLine(i))
		p.End = append(p.End, fmt.Sprint("start ", i))
		p.Nodes = append(p.Nodes, i)
	}
	return p
}

func (n *Nemesis) pause() *action.Plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	return action.Pause(i)
}

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

func (n *Nemesis) isolate() *action.Plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	return action.Isolate(n.c.Name(i), n.others(i)...)
}

// oneWay makes a node deaf or mute, towards one other or all.
func (n *Nemesis) oneWay() *action.Plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	deaf, all, others := n.chance(0.5), n.chance(0.5), n.others(i)
	if !all && len(others) > 0 {
		others = others[:1]
	}
	if deaf {
		return action.Deaf(n.c.Name(i), others...)
	}
	return action.Mute(n.c.Name(i), others...)
}

// bridge separates two nodes that both reach all others.
func (n *Nemesis) bridge() *action.Plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	return action.Isolate(n.c.Name(i), n.c.Name(n.other(i)))
}

// clientCut leaves a client with one node that it reaches.
func (n *Nemesis) clientCut() *action.Plan {
	hosts := n.c.clientHosts()
	if len(hosts) == 0 {
		return nil
	}
	host, left := hosts[n.c.Rand.IntN(len(hosts))], 1+n.c.Rand.IntN(n.c.Nodes())
	var ways []string
	for _, o := range n.others(left) {
		ways = append(ways, action.Way(host, o))
		if n.chance(0.7) { // else answers still come
			ways = append(ways, action.Way(o, host))
		}
	}
	return action.Cut(ways...)
}

// linkPlan gives both directions between two nodes a behaviour.
func (n *Nemesis) linkPlan(settings string) *action.Plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	return action.Link(settings, n.c.Name(i), n.c.Name(n.other(i)))
}

func (n *Nemesis) slowLink() *action.Plan {
	delay := n.between(0, 100*time.Millisecond)
	return n.linkPlan(fmt.Sprintf("loss=%s delay=%v jitter=%v", n.share(0.5), delay, delay))
}

func (n *Nemesis) frames() *action.Plan {
	return n.linkPlan(fmt.Sprintf("drop=%s dup=%s reorder=%s", n.share(0.2), n.share(0.3), n.share(0.3)))
}

func (n *Nemesis) corruption() *action.Plan { return n.linkPlan("flip=" + n.share(0.05)) }

func (n *Nemesis) reset() *action.Plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	return action.Reset(n.c.Name(i), n.others(i)...)
}

func (n *Nemesis) anyNode() int { return 1 + n.c.Rand.IntN(n.c.Nodes()) }

func (n *Nemesis) jump() *action.Plan {
	d := []time.Duration{time.Hour, -time.Hour, -24 * time.Hour, 2 * time.Second, -2 * time.Second}[n.c.Rand.IntN(5)]
	return &action.Plan{Begin: []string{fmt.Sprintf("clock %d jump=%v", n.anyNode(), d)}}
}

// drift lets a clock run up to 20 % too fast or slow, or as wrong as a bad
// crystal: 500 ppm.
func (n *Nemesis) drift() *action.Plan {
	off := 0.2
	if n.chance(0.5) {
		off = 500e-6
	}
	i, rate := n.anyNode(), 1-off+2*off*n.c.Rand.Float64()
	return &action.Plan{Begin: []string{fmt.Sprintf("clock %d rate=%.6f", i, rate)}, End: []string{fmt.Sprintf("clock %d rate=1", i)}}
}

func (n *Nemesis) freeze() *action.Plan {
	i := n.anyNode()
	return &action.Plan{Begin: []string{fmt.Sprintf("clock %d rate=0", i)}, End: []string{fmt.Sprintf("clock %d rate=1", i)}}
}

func (n *Nemesis) syncPlan(low, high time.Duration) *action.Plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	return &action.Plan{Begin: []string{fmt.Sprintf("disk %d sync=%v", i, n.between(low, high))}, End: []string{fmt.Sprint("disk ", i)}}
}

func (n *Nemesis) slowDisk() *action.Plan {
	return n.syncPlan(5*time.Millisecond, 100*time.Millisecond)
}
func (n *Nemesis) stalledDisk() *action.Plan { return n.syncPlan(300*time.Millisecond, 3*time.Second) }

// diskError makes one operation fail; the node stops itself and is started
// again.
func (n *Nemesis) diskError(op string) *action.Plan {
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
	p := &action.Plan{Begin: []string{fmt.Sprintf("fail %d op=%s on=%s error=eio", i, op, on)}, Nodes: []int{i}}
	if on == "counters" || op == "read" { // read, and written, at the start
		p.Begin = append([]string{fmt.Sprint("kill ", i)}, append(p.Begin, fmt.Sprint("start ", i))...)
	}
	p.End = []string{fmt.Sprint("room ", i), fmt.Sprint("start ", i)}
	return p
}

// full lets a disk say that it is full. A node looks every second. (Writes of
// tables that fail would make Pebble hold writers up under its locks until there
// is room, and virtual time would stand still: real disks are filled in the
// tests of cmd/tutti.)
func (n *Nemesis) full() *action.Plan {
	i := n.node()
	if i == 0 {
		return nil
	}
	return &action.Plan{Begin: []string{fmt.Sprint("full ", i)}, End: []string{fmt.Sprint("room ", i)}, Last: 1500 * time.Millisecond}
}

// lyingDisk lets fsyncs lie, and shows it.
func (n *Nemesis) lyingDisk() *action.Plan {
	i := n.rotten()
	if i == 0 {
		return nil
	}
	on := []string{"log", "state"}[n.c.Rand.IntN(2)]
	end := []string{fmt.Sprintf("lose %d seed=%d", i, n.seed()), fmt.Sprint("start ", i)}
	return &action.Plan{Begin: []string{fmt.Sprintf("lie %d on=%s", i, on)}, End: end, Nodes: []int{i}, Last: 500 * time.Millisecond}
}

// bitRot stops a node in order, so that its vow tells of all its log, and flips
// a bit of its disk.
func (n *Nemesis) bitRot() *action.Plan {
	i := n.rotten()
	if i == 0 {
		return nil
	}
	on := []string{"wal", "wal", "vow", "table", "table", "manifest", "counters", "starts", "node.json", "map"}[n.c.Rand.IntN(10)]
	begin := []string{fmt.Sprint("stop ", i), fmt.Sprintf("flip %d on=%s seed=%d", i, on, n.seed())}
	return &action.Plan{Begin: begin, End: []string{fmt.Sprint("start ", i)}, Nodes: []int{i}}
}

// lostLog lets the disk of a node that was stopped in order lose the newest part
// of its log.
func (n *Nemesis) lostLog() *action.Plan {
	i := n.rotten()
	if i == 0 {
		return nil
	}
	return &action.Plan{Begin: []string{fmt.Sprint("stop ", i), fmt.Sprint("lose-log ", i)}, End: []string{fmt.Sprint("start ", i)}, Nodes: []int{i}}
}
