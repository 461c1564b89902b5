package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/proof/action"
)

// Nodes join and leave a cluster that runs, and replicas move among them. What
// an operator does is done here by the commands of the meta shard, which
// orders.go sends; how machines join is in joining.go.

// operator is who changes a cluster.
type operator struct{ *Cluster }

// changeWithin bounds how long a change may take without faults.
const changeWithin = 30 * time.Second

// doJoin is the line "join N".
func (c operator) doJoin(a *action.Action) error {
	x := order{what: "join", node: len(c.machines) + 1, ttl: a.Duration("ttl", 0)}
	if a.Word(0) != fmt.Sprint(x.node) {
		return errMoot
	}
	m := newMachine(c.opts, x.node)
	m.disk = newDisk(vfs.NewCrashableMem(), m.gate, &m.room)
	c.machines = append(c.machines, m)
	m.apply(len(a.Words) > 1 && a.Word(1) == "rival")
	c.desk.orders.know(m)
	c.desk.orders.give(x)
	return nil
}

// doPlace is the line "place SHARD N …".
func (c operator) doPlace(a *action.Action) error {
	x := order{what: "place", shard: a.Number(0)}
	for i := range a.Words[min(1, len(a.Words)):] {
		x.on = append(x.on, a.Number(i+1))
	}
	if a.Err() != nil {
		return nil
	}
	if slices.ContainsFunc(x.on, func(i int) bool { return i < 1 || i > c.Nodes() || c.machine(i).leaves }) || x.shard > c.opts.Shards {
		return errMoot
	}
	c.desk.orders.give(x)
	return nil
}

// doRemove is the line "remove N".
func (c operator) doRemove(a *action.Action) error {
	m := c.machine(a.Node(c.Nodes()))
	if a.Err() != nil || m.leaves {
		return errMoot
	}
	m.leaves = true
	c.desk.orders.give(order{what: "remove", node: m.id})
	for _, l := range c.loads {
		l.forget(m.id)
	}
	return nil
}

// doDrain is the line "drain N", and "undrain N".
func (c operator) doDrain(a *action.Action) error {
	m := c.machine(a.Node(c.Nodes()))
	if a.Err() != nil || m.leaves {
		return errMoot
	}
	c.desk.orders.give(order{what: a.Name, node: m.id})
	return nil
}

// doPolicy is the line "policy …".
func (c operator) doPolicy(a *action.Action) error {
	c.desk.orders.give(order{what: "policy", text: strings.Join(a.Words, " ")})
	return nil
}

// doRotate is the line "rotate".
func (c operator) doRotate(*action.Action) error {
	c.desk.orders.give(order{what: "rotate"})
	return nil
}

// doDie is the line "die N".
func (c operator) doDie(a *action.Action) error {
	i := a.Node(c.Nodes())
	if a.Err() != nil || !c.Up(i) {
		return errMoot
	}
	c.Crash(i)
	c.machine(i).dead = errors.New("it died for good")
	return nil
}

// do does what a line says, which must not be moot.
func (c operator) do(words ...any) {
	c.t.Helper()
	line := fmt.Sprint(words[0])
	for _, w := range words[1:] {
		line += fmt.Sprint(" ", w)
	}
	if moot, err := c.Do(line); moot != nil || err != nil {
		c.t.Fatalf("%s %s: %v", stamp(), line, errors.Join(moot, err))
	}
}

// wait waits until all orders are carried out, of which each is a change.
func (c operator) wait() {
	c.t.Helper()
	for left, _ := c.desk.orders.open(); left > 0; {
		before := left
		c.await("the operator's orders", func() (bool, string) {
			var last string
			left, last = c.desk.orders.open()
			return left < before, fmt.Sprintf("%d are left; %s; on their way: %s", left, last, registrar{c}.onTheirWay())
		})
	}
}

// await waits until ok.
func (c operator) await(what string, ok func() (bool, string)) {
	c.t.Helper()
	var last string
	for end := time.Now().Add(changeWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		c.restart()
		registrar{c}.admit()
		var done bool
		if done, last = ok(); done {
			return
		}
	}
	c.t.Fatalf("%s %s after %v: %s", stamp(), what, changeWithin, last)
}

// Join adds a node to the cluster and starts it, without replicas.
func (c operator) Join() int {
	c.t.Helper()
	i := len(c.machines) + 1
	c.do("join", i)
	c.await(fmt.Sprintf("node %d is not up", i), func() (bool, string) { return c.Up(i), "" })
	return i
}

// Place plans that a shard has voters on these nodes.
func (c operator) Place(shard int, nodes ...int) {
	c.t.Helper()
	words := []any{"place", shard}
	for _, n := range nodes {
		words = append(words, n)
	}
	c.do(words...)
	c.wait()
}

// WaitPlaced waits until exactly these nodes vote in a shard, and no other
// replicas are left.
func (c operator) WaitPlaced(shard int, nodes ...int) {
	c.t.Helper()
	want := slices.Sorted(slices.Values(nodes))
	c.await(fmt.Sprintf("shard %d is not on %v", shard, nodes), func() (bool, string) {
		m, ok := c.now()
		if !ok {
			return false, "nobody has a map"
		}
		voters, others := m.on(shard)
		return slices.Equal(voters, want) && len(others) == 0 && c.dropped(shard, want), fmt.Sprint(m.Shards)
	})
}

// now asks the nodes that are up for the map, one after the other.
func (c operator) now() (m mapText, ok bool) {
	for i := range c.machines {
		if !c.Up(i+1) || c.machines[i].leaves {
			continue
		}
		v, err := c.desk.admin.At(i + 1).Do("TUTTI.MAP")
		if err == nil && !v.IsError() {
			return parseMap(Text(v))
		}
	}
	return m, false
}

// dropped reports whether no node that is up but these has data of a shard.
func (c operator) dropped(shard int, want []int) bool {
	for i, m := range c.machines {
		if !c.Up(i+1) || m.leaves || slices.Contains(want, i+1) {
			continue
		}
		s, err := c.Status(i + 1)
		if err != nil {
			return false
		}
		for _, info := range s.Shards {
			if int(info.Shard) == shard && info.Replica != 0 {
				return false
			}
		}
	}
	return true
}

// MoveAll plans and waits for all shards, meta first.
func (c operator) MoveAll(nodes ...int) {
	c.t.Helper()
	for s := range c.opts.Shards + 1 {
		c.Place(s, nodes...)
	}
	for s := range c.opts.Shards + 1 {
		c.WaitPlaced(s, nodes...)
	}
}

// Remove takes a node that has no replicas out of the cluster.
func (c operator) Remove(i int) {
	c.t.Helper()
	c.do("remove", i)
	c.wait()
}

// Settle waits, after all faults, until the cluster is what was ordered last. A
// node that is dead is replaced where it was to be.
func (c operator) Settle() {
	c.t.Helper()
	c.wait()
	r := registrar{c}
	r.waitIn()
	defer r.checkMembers()
	defer newKeeper(c.Cluster).waitTurned()
	defer c.waitMaps()
	if c.opts.AutoPlace {
		c.waitPlan()
		return
	}
	for s := range c.opts.Shards + 1 {
		if plan := c.desk.orders.planned(s); plan != nil {
			c.Place(s, c.alive(plan)...) // an older plan may have been carried out late
		}
	}
	for s := range c.opts.Shards + 1 {
		if plan := c.desk.orders.planned(s); plan != nil {
			c.WaitPlaced(s, plan...)
		}
	}
}

// waitPlan waits until a cluster that places its replicas by itself has them all
// in their places, and nothing elsewhere.
func (c operator) waitPlan() {
	c.t.Helper()
	c.await("the cluster has not placed its replicas", func() (bool, string) {
		m, ok := c.now()
		if !ok || !m.placed() {
			return false, fmt.Sprintf("%+v", m)
		}
		for _, s := range m.Shards {
			voters, others := m.on(s.ID)
			if !c.dropped(s.ID, append(voters, others...)) {
				return false, fmt.Sprintf("somebody still has something of shard %d", s.ID)
			}
		}
		return true, ""
	})
}

// waitMaps waits until all nodes have the same map.
func (c operator) waitMaps() {
	c.t.Helper()
	c.await("the nodes do not have the same map", func() (bool, string) {
		epochs := make(map[uint64][]int)
		for _, m := range c.machines {
			if !c.Up(m.id) || m.leaves {
				continue
			}
			known, err := node.ReadMap(m.disk.mem, m.dir)
			if err != nil {
				return false, err.Error()
			}
			epochs[known.Epoch] = append(epochs[known.Epoch], m.id)
		}
		return len(epochs) == 1, fmt.Sprint(epochs)
	})
}

// alive returns a plan without nodes that are dead, and with others for them.
func (c operator) alive(plan []int) (nodes []int) {
	for _, i := range plan {
		if c.Dead(i) == nil {
			nodes = append(nodes, i)
		}
	}
	for i, m := range c.machines {
		if len(nodes) < len(plan) && m.formed && !m.leaves && m.dead == nil && !slices.Contains(nodes, i+1) {
			nodes = append(nodes, i+1)
		}
	}
	return nodes
}

// discardRemoved ends the nodes that were taken out, for the rest of the run.
func (c operator) discardRemoved() {
	for _, m := range c.machines {
		if _, out := c.desk.orders.isIn(m.id); out && m.dead == nil {
			c.discard(m.id, nil)
		}
	}
}

// discard ends a removed node for the rest of the run.
func (c operator) discard(i int, err error) {
	if c.Up(i) {
		c.Crash(i)
	}
	c.machine(i).dead = errors.Join(errors.New("it was removed"), err)
}

// replica returns the id of node i's replica of a shard, 0 if it has none.
func (c operator) replica(i, shard int) cluster.ReplicaID {
	c.t.Helper()
	s, err := c.Status(i)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, info := range s.Shards {
		if int(info.Shard) == shard {
			return info.Replica
		}
	}
	return 0
}

// waitShape waits until every shard has exactly these voters and learners.
func (c operator) waitShape(voters, learners []int) {
	c.t.Helper()
	c.await(fmt.Sprintf("no shape of voters %v and learners %v", voters, learners), func() (bool, string) {
		m, ok := c.now()
		for _, s := range m.Shards {
			votes, learns := m.on(s.ID)
			ok = ok && slices.Equal(votes, voters) && slices.Equal(learns, learners)
		}
		return ok, fmt.Sprint(m.Shards)
	})
}

// until sends an administrative command to any node until one answers it as it
// should, and returns that answer.
func (c operator) until(ok func(text string, refused bool) bool, args ...string) (answer string) {
	c.t.Helper()
	c.await(fmt.Sprint(args, " is not answered"), func() (bool, string) {
		for i := range c.machines {
			if !c.Up(i + 1) {
				continue
			}
			v, err := c.desk.admin.At(i + 1).Do(args...)
			if answer = Text(v); err == nil && ok(answer, v.IsError()) {
				return true, ""
			}
		}
		return false, answer
	})
	return answer
}

// ask sends an administrative command to any node until one does not refuse it.
func (c operator) ask(args ...string) string {
	c.t.Helper()
	return c.until(func(_ string, refused bool) bool { return !refused }, args...)
}

// ok sends an administrative command that is to succeed.
func (c operator) ok(args ...string) {
	c.t.Helper()
	if got := c.ask(args...); got != "OK" {
		c.t.Fatalf("%v: %s", args, got)
	}
}

// refused sends a command until it is refused with this text.
func (c operator) refused(text string, args ...string) {
	c.t.Helper()
	c.until(func(got string, refused bool) bool { return refused && strings.HasPrefix(got, text) }, args...)
}
