package sim

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// Machines join by token while the node they ask, the network, their own power
// and the clocks fail them, at all moments of what is said: in the end each is one
// node, and no token has let in more than it was made for.

// farAway is how long a word to a machine that joins takes, each way: what is said
// takes a second then, and faults can meet it anywhere.
const farAway = 100 * time.Millisecond

func TestJoinsUnderFaults(t *testing.T) {
	for i, trouble := range []struct {
		name   string
		how    string // the machine comes
		strike func(o registrar, asked int)
		again  bool // it has to ask again now and then
	}{
		{"whoever is asked dies", "", func(o registrar, asked int) { o.Crash(asked) }, true},
		{"answers are lost", "", func(o registrar, asked int) { o.CutOne(o.Name(asked), "n4"); o.Net.Reset(o.Name(asked), "n4") }, true},
		{"who is asked is cut off", "", func(o registrar, asked int) { o.alone(asked) }, true},
		{"its power goes", "", func(o registrar, _ int) { o.Crash(4) }, true},
		{"clocks jump", " ttl=3s", func(o registrar, _ int) { o.Clock(1).Jump(time.Hour); o.Clock(2).Jump(2 * time.Hour) }, true},
		{"rivals", " rival", func(registrar, int) {}, false},
		{"rivals, and whoever is asked dies", " rival", func(o registrar, asked int) { o.Crash(asked) }, true},
		{"rivals, and their power goes", " rival", func(o registrar, _ int) { o.Crash(4) }, true},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			more := 0
			for moment := range 6 {
				bubble(t, Options{Seed: 320 + uint64(10*i+moment)}, func(t *testing.T, c *Cluster) {
					o := registrar{operator{c}}
					c.WaitLeader(0)
					time.Sleep(500 * time.Millisecond) // nodes ask for clocks every second: so they do while it joins
					for _, m := range c.machines {
						o.do("link", m.name+">n4", fmt.Sprint("delay=", farAway))
						o.do("link", "n4>"+m.name, fmt.Sprint("delay=", farAway))
					}
					o.do("join 4" + trouble.how)
					m := c.machine(4)
					o.await("nobody asks", func() (bool, string) { return m.asks(), "" })
					asked := o.host(m).id
					time.Sleep(time.Duration(moment) * 2 * farAway)
					if m.asks() || asked != 4 && c.Up(asked) {
						trouble.strike(o, asked)
					}
					time.Sleep(20 * time.Second) // longer than anybody waits for an answer
					c.Recover()
					o.Settle()
					c.WaitEqual(equalWithin)
					if !c.Up(4) {
						t.Error("node 4 does not run")
					}
					more += m.asked - 1
					o.checkTokens(t)
				})
			}
			if trouble.again && more == 0 {
				t.Error("nobody had to ask again: the faults met nothing")
			}
		})
	}
}

// The leader who takes a machine in is cut off from the others before they have the
// entry that says so. Nobody is told that he is in by him: the others would know
// nothing of him, and give his number to the next.
func TestNobodyIsInBeforeAMajorityKnows(t *testing.T) {
	bubble(t, Options{Seed: 330}, func(t *testing.T, c *Cluster) {
		o := registrar{operator{c}}
		lead := c.WaitLeader(0)
		o.do("join 4")
		m := c.machine(4)
		m.asked = lead + 1 // of the three that are there its turn is next
		o.await("nobody asks", func() (bool, string) { return m.asks(), "" })
		if asked := o.host(m).id; asked != lead {
			t.Fatalf("node %d leads, node %d is asked", lead, asked)
		}
		for i := 1; i <= 3; i++ {
			if i != lead {
				c.Cut(c.Name(lead), c.Name(i))
			}
		}
		time.Sleep(20 * time.Second) // longer than anybody waits for an answer
		try := m.tries[0]
		select {
		case <-try.done:
			if try.err == nil {
				t.Errorf("node %d, alone, has let node %d in", lead, try.joined.Self.Node)
			}
		default:
		}
		if c.Logged(lead, "a machine was not let in") == 0 {
			t.Error("the leader was not asked")
		}
		c.Recover()
		o.Settle()
		c.WaitEqual(equalWithin)
		o.checkTokens(t)
	})
}

// alone leaves a node without a way to the other nodes.
func (c registrar) alone(node int) {
	for _, m := range c.machines {
		if m.formed && m.id != node {
			c.Cut(c.Name(node), m.name)
		}
	}
}

// checkTokens checks that one machine has come by tokens for one.
func (c registrar) checkTokens(t *testing.T) {
	t.Helper()
	var list []struct {
		Left int `json:"uses_left"`
	}
	text, used := c.ask("TUTTI.TOKEN", "LIST"), 0
	err := json.Unmarshal([]byte(text), &list)
	for _, token := range list {
		used += 1 - token.Left
	}
	if err != nil || used != 1 {
		t.Errorf("%d tokens were used: %s, %v", used, text, err)
	}
}
