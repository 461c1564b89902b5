package sim

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// changer draws changes of who belongs to the cluster and of where its replicas
// are, so that they meet the faults of a nemesis. Its lines are an operator's
// orders: the next ones are often given before the last are carried out.
type changer struct {
	n     *Nemesis
	kinds []change // that this run knows
	past  map[int][]placing
	// drains are the nodes that are to drain, drained is when that was said last.
	drains  map[int]bool
	drained time.Time
	// returned are the nodes that came back after they were taken out, which each
	// does once.
	returned map[int]bool
}

// placing is where the replicas of a shard may be: where they were at first, or
// were to go.
type placing struct {
	at time.Time // when that was said
	on []int
}

type change struct {
	name string
	plan func(ch *changer) []string // nil: it makes no sense now
}

// allChanges by name, of a cluster whose replicas an operator places. The swarm draws half of them for a run, and joins, as
// without them there is soon nowhere to go.
var allChanges = []change{
	{"join", (*changer).join},
	{"grow", func(ch *changer) []string { return ch.resize(2) }},
	{"shrink", func(ch *changer) []string { return ch.resize(-2) }},
	{"move", (*changer).move},
	{"move off leader", (*changer).moveOffLeader},
	{"move back", (*changer).moveBack},
	{"replace dead", (*changer).replaceDead},
	{"leave", (*changer).leave},
	{"return of removed", (*changer).returnRemoved},
	{"rotate", (*changer).rotate},
}

const (
	// changeShare is how many of the nemesis' draws are changes.
	changeShare = 0.3
	machinesMax = 20
	replicasMax = 7  // of a shard
	spareMax    = 3  // nodes without the first shard
	membersMax  = 8  // at once, of a cluster that places its replicas by itself
	ordersMax   = 12 // not carried out yet
	// lateMax is longer than an order can be under way that was given up.
	lateMax = 15 * time.Second
)

func newChanger(n *Nemesis) *changer {
	ch := &changer{n: n, past: make(map[int][]placing), drains: make(map[int]bool), returned: make(map[int]bool)}
	var nodes []int
	for i := range n.c.Nodes() {
		nodes = append(nodes, i+1)
	}
	for s := range n.c.opts.Shards + 1 {
		ch.past[s] = []placing{{on: nodes}}
	}
	if n.c.Rand.IntN(4) == 0 {
		return ch // nothing changes in this run
	}
	all := allChanges
	if n.c.opts.AutoPlace {
		all = autoChanges
		n.do(deadAfter)
	}
	for i, x := range all {
		if i == 0 || n.c.Rand.IntN(2) == 0 {
			ch.kinds = append(ch.kinds, x)
		}
	}
	return ch
}

// due reports whether the next thing to draw is a change.
func (ch *changer) due() bool { return len(ch.kinds) > 0 && ch.n.chance(changeShare) }

// draw orders a change.
func (ch *changer) draw() {
	c := ch.n.c
	if open, _ := c.desk.orders.open(); open > ordersMax {
		return
	}
	if !c.opts.AutoPlace {
		ch.forget()
	}
	for _, i := range c.Rand.Perm(len(ch.kinds)) {
		lines := ch.kinds[i].plan(ch)
		if lines == nil {
			continue // the next one, then
		}
		ch.n.Count[ch.kinds[i].name]++
		for _, line := range lines {
			ch.n.do(line)
		}
		return
	}
}

// forget forgets where the replicas of shards were that are where they are to be, and
// go nowhere else on the way: an older order may wait for a leader for a long time.
func (ch *changer) forget() {
	m, ok := operator{ch.n.c}.now()
	for s, past := range ch.past {
		if ch.n.c.desk.orders.waits(func(x order) bool { return x.what == "place" && x.shard == s }) {
			continue
		}
		last := past[len(past)-1]
		if voters, others := m.on(s); ok && len(others) == 0 && slices.Equal(voters, slices.Sorted(slices.Values(last.on))) {
			ch.past[s] = slices.DeleteFunc(past[:len(past)-1], func(p placing) bool { return time.Since(p.at) > lateMax })
			ch.past[s] = append(ch.past[s], last)
		}
	}
}

// on is where a shard is to be.
func (ch *changer) on(shard int) []int { return ch.past[shard][len(ch.past[shard])-1].on }

// survives reports whether all that was acknowledged in a shard outlives the
// loss of some nodes, wherever its replicas are just now.
func (ch *changer) survives(past []placing, lost map[int]bool) bool {
	least, among := math.MaxInt, make(map[int]bool)
	for _, p := range past {
		least = min(least, len(p.on))
		for _, i := range p.on {
			if lost[i] {
				among[i] = true
			}
		}
	}
	return len(among) <= (least-1)/2
}

// lost are the nodes whose data is, or may be, gone.
func (ch *changer) lost() map[int]bool {
	lost := make(map[int]bool)
	for i := range ch.n.suspect {
		lost[i] = true
	}
	for _, m := range ch.n.c.machines {
		if _, out := ch.n.c.desk.orders.isIn(m.id); m.dead != nil && !out {
			lost[m.id] = true
		}
	}
	return lost
}

// mayLose reports whether the data of node i may be lost now, too.
func (ch *changer) mayLose(i int) bool {
	lost := ch.lost()
	lost[i] = true
	if ch.n.c.opts.AutoPlace {
		return len(lost) == 1 && ch.mayLoseOne()
	}
	for _, past := range ch.past {
		if !ch.survives(past, lost) {
			return false
		}
	}
	return true
}

// place is the line that places a shard on nodes, if that is safe and new.
func (ch *changer) place(shard int, on []int) []string {
	past := append(ch.past[shard], placing{time.Now(), on})
	if len(on) == 0 || slices.Equal(on, ch.on(shard)) || !ch.survives(past, ch.lost()) {
		return nil
	}
	ch.past[shard] = past
	line := fmt.Sprint("place ", shard)
	for _, i := range on {
		line += fmt.Sprint(" ", i)
	}
	return []string{line}
}

// nodes lists those that replicas can be placed on, in random order.
func (ch *changer) nodes() (list []int) {
	for _, i := range ch.n.c.Rand.Perm(ch.n.c.Nodes()) {
		if m := ch.n.c.machines[i]; m.formed && !m.leaves && m.dead == nil {
			list = append(list, m.id)
		}
	}
	return list
}

// shards lists one shard, or all with meta.
func (ch *changer) shards() (list []int) {
	if ch.n.chance(0.5) {
		return []int{ch.n.c.Rand.IntN(ch.n.c.opts.Shards + 1)}
	}
	for s := range ch.n.c.opts.Shards + 1 {
		list = append(list, s)
	}
	return list
}

// keep returns a plan of some size that keeps as much of on as it can, and takes
// others for the rest; nil if there are too few.
func (ch *changer) keep(on []int, size int) (next []int) {
	nodes := ch.nodes()
	for _, i := range nodes {
		if slices.Contains(on, i) {
			next = append(next, i)
		}
	}
	for _, i := range nodes {
		if !slices.Contains(on, i) {
			next = append(next, i)
		}
	}
	if size < 1 || size > len(next) {
		return nil
	}
	return next[:size]
}

func (ch *changer) join() []string {
	c, spare := ch.n.c, 0
	for _, m := range c.machines {
		if m.dead == nil && !m.leaves && (c.opts.AutoPlace || !slices.Contains(ch.on(1), m.id)) {
			spare++
		}
	}
	most := spareMax
	if c.opts.AutoPlace {
		most = membersMax
	}
	if c.Nodes() >= machinesMax || spare >= most {
		return nil
	}
	line := fmt.Sprint("join ", c.Nodes()+1)
	switch c.Rand.IntN(4) {
	case 0:
		// Who is in and has not heard it needs another token once there is a new
		// authority, and so would his rival.
		if !slices.ContainsFunc(ch.kinds, func(k change) bool { return k.name == "rotate" }) {
			line += " rival"
		}
	case 1:
		line += fmt.Sprint(" ttl=", tokenTime)
	}
	if ch.n.chance(0.5) {
		return []string{line}
	}
	// The machine loses its power on the way in, or soon after.
	cut := fmt.Sprintf("crash-at %d change=%d keep=%d seed=%d", c.Nodes()+1, 1+c.Rand.IntN(2*joinChanges), c.Rand.IntN(3)*50, ch.n.seed())
	return []string{line, cut}
}

// resize places shards on more nodes, or on fewer.
func (ch *changer) resize(by int) (lines []string) {
	for _, s := range ch.shards() {
		size := min(len(ch.on(s))+by, replicasMax)
		lines = append(lines, ch.place(s, ch.keep(ch.on(s), size))...)
	}
	return lines
}

// move places shards on other nodes, as many as before.
func (ch *changer) move() (lines []string) {
	nodes := ch.nodes()
	for _, s := range ch.shards() {
		if size := len(ch.on(s)); size <= len(nodes) {
			lines = append(lines, ch.place(s, slices.Clone(nodes[:size]))...)
		}
	}
	return lines
}

// moveOffLeader takes the first shard away from the node that leads it.
func (ch *changer) moveOffLeader() []string {
	lead := ch.n.c.Leader(1)
	if lead == 0 {
		return nil
	}
	return ch.without(1, lead)
}

// without places a shard on other nodes in the place of one.
func (ch *changer) without(shard, node int) []string {
	on := ch.on(shard)
	if !slices.Contains(on, node) {
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(on), func(i int) bool { return i == node })
	next := rest
	for _, i := range ch.nodes() {
		if i != node && !slices.Contains(on, i) {
			next = append(next, i)
			break
		}
	}
	return ch.place(shard, next)
}

// moveBack places shards where they were before.
func (ch *changer) moveBack() (lines []string) {
	for _, s := range ch.shards() {
		if past := ch.past[s]; len(past) > 1 {
			before := past[len(past)-2].on
			if nodes := ch.nodes(); !slices.ContainsFunc(before, func(i int) bool { return !slices.Contains(nodes, i) }) {
				lines = append(lines, ch.place(s, before)...)
			}
		}
	}
	return lines
}

// takeOut takes a node out, for which others come in.
func (ch *changer) takeOut(node int) (lines []string) {
	for s := range ch.n.c.opts.Shards + 1 {
		lines = append(lines, ch.without(s, node)...)
		if slices.Contains(ch.on(s), node) {
			return lines // not now
		}
	}
	return append(lines, fmt.Sprint("remove ", node))
}

// replaceDead lets a node die for good, or replaces one that has.
func (ch *changer) replaceDead() []string {
	for _, m := range ch.n.c.machines {
		if m.dead != nil && !m.leaves {
			return ch.takeOut(m.id)
		}
	}
	return ch.die()
}

// leave takes a node out that lives.
func (ch *changer) leave() []string {
	nodes := ch.nodes()
	if len(nodes) < 2 {
		return nil
	}
	return ch.takeOut(nodes[0])
}

// returnRemoved starts a node again that was taken out.
func (ch *changer) returnRemoved() []string {
	for _, m := range ch.n.c.machines {
		if m.leaves && m.dead == nil && m.formed && !ch.n.busy[m.id] && !ch.returned[m.id] {
			ch.returned[m.id] = true
			return []string{fmt.Sprint("kill ", m.id), fmt.Sprint("start ", m.id)}
		}
	}
	return nil
}

func (ch *changer) rotate() []string { return []string{"rotate"} }
