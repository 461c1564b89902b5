package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A shard is to move to a node that dies before it can take it. Whoever is to be
// taken out then must not wait for that.
func TestRemovalBehindAMoveToADeadNode(t *testing.T) {
	bubble(t, Options{Seed: 1}, func(t *testing.T, c *Cluster) {
		o := operator{c}
		joined := o.Join()
		for s := range c.opts.Shards + 1 {
			o.do("place", s, 1, 2, joined)
		}
		o.do("remove", 3)
		o.do("die", joined)
		o.wait()
		o.WaitPlaced(1, 1, 2)
	})
}

// A replica moves while its disk is slow, and the leader dies in the middle. The
// replica that is to leave leads then for a moment, ends the change, and is the
// only one to know: what it says of that is lost. It must not go before the others
// can do without it.
func TestLeaverAloneKnowsOfItsRemoval(t *testing.T) {
	for i := range 12 {
		after := 2*time.Second + time.Duration(i)*200*time.Millisecond
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			bubble(t, Options{Seed: uint64(i + 1)}, func(t *testing.T, c *Cluster) { leaverAlone(t, c, after) })
		})
	}
}

func leaverAlone(t *testing.T, c *Cluster, after time.Duration) {
	o := operator{c}
	o.Place(1, 1, 2)
	o.WaitPlaced(1, 1, 2)
	k := c.Client("").At(3)
	defer k.Close()
	k.Must("SET", "k", "v")
	lead := c.WaitLeader(1)
	leaver := 3 - lead
	c.SlowDisk(leaver, time.Second)
	o.Place(1, lead, 3)
	time.Sleep(after)
	c.Crash(lead)
	c.SlowDisk(leaver, 0)
	time.Sleep(2 * time.Second)
	for _, to := range []int{lead, 3} {
		c.Net.Set(c.Name(leaver), c.Name(to), func(p *Path) { p.Delay = 50 * time.Millisecond })
	}
	c.Start(lead)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && !o.hasLed(1, leaver); time.Sleep(time.Millisecond) {
	}
	for _, to := range []int{lead, 3} {
		c.CutOne(c.Name(leaver), c.Name(to))
		c.Net.Reset(c.Name(leaver), c.Name(to))
		c.Net.Set(c.Name(leaver), c.Name(to), func(p *Path) { p.Cut, p.Delay = false, delayDefault })
	}
	o.WaitPlaced(1, lead, 3)
	if got := Text(k.Must("GET", "k")); got != "v" {
		t.Errorf("GET k: %s", got)
	}
}

// hasLed reports whether what a node did last in a shard was to stop leading it.
func (c operator) hasLed(shard, node int) bool {
	led, leads := false, false
	for line := range strings.Lines(c.machine(node).log.String()) {
		if strings.Contains(line, fmt.Sprintf("msg=\"raft role\" shard=%d ", shard)) {
			led, leads = leads, strings.Contains(line, "role=StateLeader")
		}
	}
	return led && !leads
}
