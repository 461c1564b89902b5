package sim

import (
	"fmt"
	"slices"
	"time"
)

// Changes of a cluster that places its replicas by itself: what an operator says
// is only who joins, drains and leaves.

// autoChanges by name, as allChanges.
var autoChanges = []change{
	{"join", (*changer).join},
	{"drain", (*changer).drain},
	{"undrain", (*changer).undrain},
	{"drain and leave", (*changer).drainOut},
	{"die", (*changer).die},
	{"return of removed", (*changer).returnRemoved},
	{"rotate", (*changer).rotate},
}

// deadAfter is so short that nodes are given up, and taken back, all the time.
const deadAfter = "policy DEAD-AFTER 2"

// votersLeast is how many voters bear the loss of one.
const votersLeast = 3

// sure is how many members that do not drain make it sure that three replicas of
// each shard go on to vote, even if a drain that was taken back is carried out
// late.
func (ch *changer) sure() int {
	drains := func(x order) bool { return x.what == "drain" || x.what == "remove" }
	if time.Since(ch.drained) > lateMax && !ch.n.c.desk.orders.waits(drains) {
		return votersLeast
	}
	return votersLeast + 1
}

// staying lists the members that are to keep replicas, in random order.
func (ch *changer) staying() (list []int) {
	for _, i := range ch.nodes() {
		if !ch.drains[i] {
			list = append(list, i)
		}
	}
	return list
}

// mayLoseOne reports whether the cluster bears the loss of one node's data.
func (ch *changer) mayLoseOne() bool {
	m, ok := operator{ch.n.c}.now()
	for _, s := range m.Shards {
		voters, _ := m.on(s.ID)
		ok = ok && len(voters) >= votersLeast
	}
	return ok && len(ch.staying()) >= ch.sure()
}

func (ch *changer) mayDrain() bool {
	return len(ch.staying()) > votersLeast+1 || len(ch.staying()) > 1 && len(ch.lost()) == 0
}

func (ch *changer) drain() []string {
	if !ch.mayDrain() {
		return nil
	}
	i := ch.staying()[0]
	ch.drains[i], ch.drained = true, time.Now()
	return []string{fmt.Sprint("drain ", i)}
}

func (ch *changer) undrain() []string {
	for _, i := range ch.nodes() {
		if ch.drains[i] {
			delete(ch.drains, i)
			return []string{fmt.Sprint("undrain ", i)}
		}
	}
	return nil
}

// drainOut takes out a node that drains already, or another one, or one that is
// dead.
func (ch *changer) drainOut() []string {
	for _, m := range ch.n.c.machines {
		if m.dead != nil && !m.leaves && len(ch.staying()) > 0 {
			ch.drained = time.Now()
			return []string{fmt.Sprint("drain ", m.id), fmt.Sprint("remove ", m.id)}
		}
	}
	list := ch.nodes()
	if i := slices.IndexFunc(list, func(i int) bool { return ch.drains[i] }); i >= 0 {
		return []string{fmt.Sprint("remove ", list[i])}
	}
	lines := ch.drain()
	if lines == nil {
		return nil
	}
	return append(lines, "remove"+lines[0][len("drain"):])
}

func (ch *changer) die() []string {
	i := ch.n.victim()
	if i == 0 || !ch.mayLose(i) {
		return nil
	}
	return []string{fmt.Sprint("die ", i)}
}
