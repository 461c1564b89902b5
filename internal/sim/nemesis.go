package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Nemesis draws faults from the cluster's seed and undoes them after a while.
// Every fault has its kind in a table, so a run can choose among them.
type Nemesis struct {
	c      *Cluster
	kinds  []fault
	active []active
	down   map[int]bool // nodes that a fault has stopped
	hurt   int          // the node whose data was last damaged; 0: none
	// Log is what was done, and when, for the report of a failure.
	Log   []string
	Count map[string]int
}

type fault struct {
	name string
	// start begins the fault and returns how to end it, or nil if it could not
	// begin now.
	start func(n *Nemesis) (text string, end func())
}

type active struct {
	until time.Time
	name  string
	end   func()
}

var faults = []fault{
	{"crash", func(n *Nemesis) (string, func()) { return n.halt((*Cluster).Crash, 1) }},
	{"kill", func(n *Nemesis) (string, func()) { return n.halt((*Cluster).Kill, 1) }},
	{"stop", func(n *Nemesis) (string, func()) { return n.halt((*Cluster).Stop, 1) }},
	{"crash at change", (*Nemesis).crashAtChange},
	{"blackout", func(n *Nemesis) (string, func()) { return n.halt((*Cluster).Crash, len(n.c.machines)) }},
	{"pause", (*Nemesis).pause},
	{"isolate", (*Nemesis).isolate},
	{"one-way", (*Nemesis).oneWay},
	{"bridge", (*Nemesis).bridge},
	{"slow link", (*Nemesis).slowLink},
	{"reset", (*Nemesis).reset},
	{"clock jump", (*Nemesis).jump},
	{"clock drift", (*Nemesis).drift},
	{"slow disk", (*Nemesis).slowDisk},
	{"damage", (*Nemesis).damage},
}

// Nemesis returns one that knows a random part of all faults.
func (c *Cluster) Nemesis() *Nemesis {
	n := &Nemesis{c: c, down: make(map[int]bool), Count: make(map[string]int)}
	for len(n.kinds) == 0 {
		for _, f := range faults {
			if c.Rand.IntN(2) == 0 {
				n.kinds = append(n.kinds, f)
			}
		}
	}
	return n
}

// Run makes faults for d.
func (n *Nemesis) Run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(time.Duration(20+n.c.Rand.IntN(600)) * time.Millisecond)
		n.expire(time.Now())
		if len(n.active) > 3 {
			continue
		}
		f := n.kinds[n.c.Rand.IntN(len(n.kinds))]
		text, undo := f.start(n)
		if undo == nil {
			continue
		}
		n.Count[f.name]++
		n.note("%s %s", f.name, text)
		n.active = append(n.active, active{time.Now().Add(time.Duration(50+n.c.Rand.IntN(2500)) * time.Millisecond), f.name + " " + text, undo})
	}
	n.expire(time.Time{})
}

// expire ends the faults that are due, all for the zero time.
func (n *Nemesis) expire(now time.Time) {
	n.active = slices.DeleteFunc(n.active, func(a active) bool {
		if !now.IsZero() && a.until.After(now) {
			return false
		}
		n.note("end of %s", a.name)
		a.end()
		return true
	})
}

func (n *Nemesis) note(format string, args ...any) {
	n.Log = append(n.Log, stamp()+" "+fmt.Sprintf(format, args...))
}

// String is the schedule so far.
func (n *Nemesis) String() string { return strings.Join(n.Log, "\n") }

// node picks a node that runs, the leader of the first shard half of the time.
func (n *Nemesis) node() int {
	if n.c.Rand.IntN(2) == 0 {
		if l := n.c.Leader(1); l != 0 && !n.down[l] {
			return l
		}
	}
	var up []int
	for i := range n.c.machines {
		if !n.down[i+1] {
			up = append(up, i+1)
		}
	}
	if len(up) == 0 {
		return 0
	}
	return up[n.c.Rand.IntN(len(up))]
}

// blackoutsMax bounds the power cuts of all nodes at once in one run: in the
// dark nothing happens that could go wrong.
const blackoutsMax = 3

// halt stops count nodes at once and starts them again. Below all of them, a
// majority is left alone: else nothing would happen most of the time.
func (n *Nemesis) halt(how func(*Cluster, int), count int) (string, func()) {
	if count == 1 && len(n.down) >= (len(n.c.machines)-1)/2 {
		return "", nil
	}
	var nodes []int
	if count == 1 {
		nodes = []int{n.node()}
	} else {
		if len(n.down) > 0 || n.Count["blackout"] >= blackoutsMax {
			return "", nil
		}
		for i := range n.c.machines {
			if !n.down[i+1] {
				nodes = append(nodes, i+1)
			}
		}
	}
	for _, i := range nodes {
		n.down[i] = true
		how(n.c, i)
	}
	return fmt.Sprint(nodes), func() {
		for _, i := range nodes {
			n.c.Start(i)
			delete(n.down, i)
		}
	}
}

// crashAtChange cuts the power of a node at some change to its disk, lets it
// start, and cuts it again while it recovers.
func (n *Nemesis) crashAtChange() (string, func()) {
	if len(n.down) >= (len(n.c.machines)-1)/2 {
		return "", nil
	}
	i, first, second := n.node(), 1+n.c.Rand.IntN(60), 1+n.c.Rand.IntN(60)
	n.down[i] = true
	n.c.CrashAtChange(i, first, "")
	return fmt.Sprintf("%d: %d, then %d", i, first, second), func() {
		n.c.Crash(i)
		n.c.CrashAtChange(i, second, "")
		n.c.Start(i)
		n.c.Crash(i)
		n.c.Start(i)
		delete(n.down, i)
	}
}

func (n *Nemesis) pause() (string, func()) {
	i := n.node()
	if i == 0 {
		return "", nil
	}
	// A paused node is down for the others, and must not be stopped meanwhile.
	n.down[i] = true
	n.c.Pause(i)
	return fmt.Sprint(i), func() {
		n.c.Resume(i)
		delete(n.down, i)
	}
}

// cutNames cuts directions and heals them again.
func (n *Nemesis) cut(pairs [][2]string) func() {
	for _, p := range pairs {
		n.c.CutOne(p[0], p[1])
	}
	return func() {
		for _, p := range pairs {
			n.c.Net.Set(p[0], p[1], func(p *Path) { p.Cut = false })
		}
	}
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

func (n *Nemesis) isolate() (string, func()) {
	i := n.node()
	if i == 0 {
		return "", nil
	}
	var pairs [][2]string
	for _, o := range n.others(i) {
		pairs = append(pairs, [2]string{n.c.Name(i), o}, [2]string{o, n.c.Name(i)})
	}
	return fmt.Sprint(i), n.cut(pairs)
}

// oneWay makes a node deaf or mute, towards one other or all.
func (n *Nemesis) oneWay() (string, func()) {
	i := n.node()
	if i == 0 {
		return "", nil
	}
	deaf, all := n.c.Rand.IntN(2) == 0, n.c.Rand.IntN(2) == 0
	var pairs [][2]string
	for _, o := range n.others(i) {
		p := [2]string{n.c.Name(i), o}
		if deaf {
			p = [2]string{o, n.c.Name(i)}
		}
		if pairs = append(pairs, p); !all {
			break
		}
	}
	return fmt.Sprint(pairs), n.cut(pairs)
}

// bridge separates two nodes that both reach all others.
func (n *Nemesis) bridge() (string, func()) {
	i := n.node()
	if i == 0 {
		return "", nil
	}
	o := n.others(i)
	p := [2]string{n.c.Name(i), o[n.c.Rand.IntN(len(o))]}
	return fmt.Sprint(p), n.cut([][2]string{p, {p[1], p[0]}})
}

func (n *Nemesis) slowLink() (string, func()) {
	i := n.node()
	if i == 0 {
		return "", nil
	}
	o := n.others(i)
	a, b := n.c.Name(i), o[n.c.Rand.IntN(len(o))]
	loss, delay := n.c.Rand.Float64()/2, time.Duration(n.c.Rand.IntN(100))*time.Millisecond
	set := func(loss float64, delay, jitter time.Duration) {
		for _, p := range [][2]string{{a, b}, {b, a}} {
			n.c.Net.Set(p[0], p[1], func(p *Path) { p.Loss, p.Delay, p.Jitter = loss, delay, jitter })
		}
	}
	set(loss, delay, delay)
	return fmt.Sprintf("%s-%s loss %.2f delay %v", a, b, loss, delay), func() { set(0, delayDefault, jitterDefault) }
}

func (n *Nemesis) reset() (string, func()) {
	i := n.node()
	if i == 0 {
		return "", nil
	}
	for _, o := range n.others(i) {
		n.c.Net.Reset(n.c.Name(i), o)
	}
	return fmt.Sprint(i), func() {}
}

func (n *Nemesis) jump() (string, func()) {
	i := 1 + n.c.Rand.IntN(len(n.c.machines))
	d := []time.Duration{time.Hour, -time.Hour, -24 * time.Hour, 2 * time.Second, -2 * time.Second}[n.c.Rand.IntN(5)]
	n.c.Clock(i).Jump(d)
	return fmt.Sprintf("%d by %v", i, d), func() {}
}

func (n *Nemesis) drift() (string, func()) {
	i := 1 + n.c.Rand.IntN(len(n.c.machines))
	rate := 0.8 + n.c.Rand.Float64()*0.4
	n.c.Clock(i).Drift(rate)
	return fmt.Sprintf("%d to %.3f", i, rate), func() { n.c.Clock(i).Drift(1) }
}

func (n *Nemesis) slowDisk() (string, func()) {
	i := n.node()
	if i == 0 {
		return "", nil
	}
	d := time.Duration(10+n.c.Rand.IntN(500)) * time.Millisecond
	n.c.SlowDisk(i, d)
	return fmt.Sprintf("%d %v", i, d), func() {
		if n.c.Up(i) {
			n.c.SlowDisk(i, 0)
		}
	}
}
