package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Nemesis draws faults from the cluster's seed and undoes them after a while.
// What it does are actions, which it writes down as the steps of a schedule.
type Nemesis struct {
	c      *Cluster
	faults []fault // that this run knows
	active []active
	busy   map[int]bool // nodes that a fault has stopped, or will
	// suspect are nodes whose disks have lost or garbled something, and of which
	// generation their data was. They stay a minority.
	suspect map[int]uint64
	lead    int // of the first shard, as last seen
	changer *changer
	diary
}

// diary is what a nemesis has done.
type diary struct {
	begin time.Time
	Steps []Step
	Count map[string]int // faults and changes by name
}

type active struct {
	from  time.Duration // since the nemesis began
	until time.Time
	name  string
	nodes []int    // that were made busy
	end   []string // actions
}

// Nemesis returns one that knows a random part of all faults, and the schedule
// begins.
func (c *Cluster) Nemesis() *Nemesis {
	n := &Nemesis{c: c, busy: make(map[int]bool), suspect: make(map[int]uint64), diary: diary{begin: time.Now(), Count: make(map[string]int)}}
	for len(n.faults) == 0 {
		for _, f := range faults {
			if c.Rand.IntN(2) == 0 {
				n.faults = append(n.faults, f)
			}
		}
	}
	n.changer = newChanger(n)
	return n
}

// Spare leaves out the faults whose names begin with a word.
func (n *Nemesis) Spare(word string) {
	n.faults = slices.DeleteFunc(n.faults, func(f fault) bool { return strings.HasPrefix(f.name, word) })
	if len(n.faults) == 0 {
		n.faults = faults[:1]
	}
}

// How dense faults are.
const (
	activeMax = 4
	pauseMax  = 600 * time.Millisecond // between the beginnings of two
	lastMax   = 2500 * time.Millisecond
)

// Run makes faults for d.
func (n *Nemesis) Run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(20*time.Millisecond + time.Duration(n.c.Rand.Int64N(int64(pauseMax))))
		n.reap()
		n.expire(time.Now())
		switch {
		case n.changer.due():
			n.changer.draw()
		case len(n.active) < activeMax:
			n.draw()
		}
	}
	n.expire(time.Time{})
}

// draw begins a fault, if the one that is drawn can begin now.
func (n *Nemesis) draw() {
	f := n.faults[n.c.Rand.IntN(len(n.faults))]
	p := f.plan(n)
	if p == nil {
		return
	}
	n.Count[f.name]++
	for _, i := range p.Nodes {
		n.busy[i] = true
	}
	for _, line := range p.Begin {
		n.do(line)
	}
	last := 50*time.Millisecond + time.Duration(n.c.Rand.Int64N(int64(lastMax)))
	n.active = append(n.active, active{time.Since(n.begin), time.Now().Add(max(last, p.Last)), f.name, p.Nodes, p.End})
}

func (n *Nemesis) do(line string) {
	step := Step{At: time.Since(n.begin), Text: line}
	moot, err := n.c.Do(line)
	if err != nil {
		n.c.t.Fatalf("%s nemesis: %v", stamp(), err)
	}
	if errors.Is(moot, errMoot) {
		return
	}
	n.Steps = append(n.Steps, step)
}

// reap starts nodes again after a while that a fault of their disk has stopped.
func (n *Nemesis) reap() {
	n.c.Reap()
	registrar{operator{n.c}}.admit()
	for i := 1; i <= n.c.Nodes(); i++ {
		if n.c.Up(i) || n.busy[i] || n.c.Dead(i) != nil || !n.c.machine(i).formed {
			continue
		}
		n.busy[i] = true
		n.active = append(n.active, active{time.Since(n.begin), time.Now().Add(lastMax / 2), "stopped by itself", []int{i}, []string{fmt.Sprint("start ", i)}})
	}
}

// expire ends the faults that are due, all for the zero time.
func (n *Nemesis) expire(now time.Time) {
	n.active = slices.DeleteFunc(n.active, func(a active) bool {
		if !now.IsZero() && a.until.After(now) {
			return false
		}
		for _, line := range a.end {
			n.do(line)
		}
		for _, i := range a.nodes {
			delete(n.busy, i)
		}
		for _, l := range n.c.loads {
			l.H.Fault(a.name, l.H.Now()-time.Since(n.begin)+a.from)
		}
		return true
	})
}

// String is the schedule so far.
func (n *Nemesis) String() string {
	var b strings.Builder
	for _, s := range n.Steps {
		fmt.Fprintf(&b, "%.3fs %s\n", s.At.Seconds(), s.Text)
	}
	return b.String()
}

// node picks a node that no fault has stopped, the leader of the first shard
// half of the time; 0 if there is none.
func (n *Nemesis) node() int {
	if n.c.Rand.IntN(2) == 0 {
		l, term := n.c.leader(1)
		if n.lead != l {
			n.lead = l
			for _, load := range n.c.loads {
				load.H.Leader(1, l, term)
			}
		}
		if l != 0 && !n.busy[l] && !n.c.machine(l).leaves {
			return l
		}
	}
	var up []int
	for i := 1; i <= n.c.Nodes(); i++ {
		if !n.busy[i] && n.c.Up(i) && !n.c.machine(i).leaves {
			up = append(up, i)
		}
	}
	if len(up) == 0 {
		return 0
	}
	return up[n.c.Rand.IntN(len(up))]
}

// victim picks a node to be stopped, 0 if none may be now: were more than a
// minority down, nothing would happen most of the time.
func (n *Nemesis) victim() int {
	members, down := 0, len(n.busy)
	for _, m := range n.c.machines {
		if m.formed && !m.leaves {
			members++
			if m.dead != nil {
				down++
			}
		}
	}
	if down >= max((members-1)/2, 1) {
		return 0
	}
	return n.node()
}

// rotten picks a node whose disk may be damaged, 0 if none may be.
func (n *Nemesis) rotten() int {
	n.acquit()
	i := n.victim()
	if i == 0 {
		return 0
	}
	s, err := n.c.Status(i)
	if err != nil || !n.changer.mayLose(i) {
		return 0
	}
	n.suspect[i] = s.Generation // a rebuild before this does not count
	return i
}

// acquit forgets the damage of nodes that have been rebuilt since, but for what
// is still to come: a disk that lies shows it only in the end.
func (n *Nemesis) acquit() {
	for i, generation := range n.suspect {
		if n.busy[i] {
			continue
		}
		s, err := n.c.Status(i)
		if err == nil && s.Generation > generation && !n.c.Rebuilding(i) {
			delete(n.suspect, i)
			n.c.machine(i).rotten = ""
		}
	}
}

// other picks a node beside i, if there is one.
func (n *Nemesis) other(i int) int {
	if n.c.Nodes() == 1 {
		return i
	}
	o := 1 + n.c.Rand.IntN(n.c.Nodes()-1)
	if o >= i {
		o++
	}
	return o
}

func (n *Nemesis) chance(part float64) bool { return n.c.Rand.Float64() < part }

func (n *Nemesis) between(low, high time.Duration) time.Duration {
	return (low + time.Duration(n.c.Rand.Int64N(int64(high-low)))).Round(time.Microsecond)
}

func (n *Nemesis) share(most float64) string { return fmt.Sprintf("%.3f", most*n.c.Rand.Float64()) }

// seed is for the choices of one action, which must not depend on what was drawn
// before.
func (n *Nemesis) seed() uint32 { return n.c.Rand.Uint32() }
