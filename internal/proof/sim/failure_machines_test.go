package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tutti/internal/proof/check"
)

// electionMax bounds the time in which a leader that has gone is replaced.
const electionMax = 1300 * time.Millisecond

// pause returns the longest time between two writes that clients of a load were
// told to be done, and when it ended.
func pause(h *check.History) (longest, at time.Duration) {
	last := time.Duration(-1)
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Outcome != check.OK || op.Client >= setupClient || !slices.ContainsFunc(op.Cmds, writes) {
			continue
		}
		if last >= 0 && op.Until-last > longest {
			longest, at = op.Until-last, op.Until
		}
		last = op.Until
	}
	return longest, at
}

func writes(c check.Cmd) bool { return c.Args[0] != "GET" && c.Args[0] != "LRANGE" }

// noPause fails if writing stood still for longer than an election takes.
func noPause(t *testing.T, h *check.History) {
	t.Helper()
	longest, at := pause(h)
	t.Logf("the longest time without a write was %v", longest)
	if longest > electionMax {
		t.Errorf("no write was done for %v until %v", longest, at)
	}
}

// rightOf counts how the operations of a history through one node ended that began
// and ended within a time. Each that began in it must have been answered soon, and
// an error must say whether it was applied.
func rightOf(t *testing.T, h *check.History, node int, from, to time.Duration) (ok, refused int) {
	t.Helper()
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Node != node || op.Client >= setupClient || op.At < from || op.At >= to {
			continue
		}
		if took := op.Until - op.At; took > settleTime {
			t.Errorf("answered after %v: %v", took, op)
		}
		clear := strings.HasPrefix(op.Why, "CLUSTERDOWN ") || strings.HasPrefix(op.Why, "UNCERTAIN ")
		switch {
		case op.Until >= to:
		case clear:
			refused++
		case op.Outcome == check.Unknown || strings.HasPrefix(op.Why, "connection: "):
			t.Errorf("not answered: %v", op)
		default:
			ok++
		}
	}
	return ok, refused
}

// Half of the clients reach one node only: a follower, the leader, or one without
// copies. It keeps its links to the others, loses them, or reaches one of them only;
// the other clients work on the same keys through the others. Whatever is answered
// is right, and all is answered: with what was asked for while the node reaches the
// leader, and else with an error that says whether it was applied.
func TestClientsThatReachOneNode(t *testing.T) {
	for _, reached := range []string{"follower", "leader", "gateway"} {
		t.Run(reached, func(t *testing.T) {
			for seed := range uint64(rounds(1)) {
				reachOne(t, reached, 2210+seed)
			}
		})
	}
}

func reachOne(t *testing.T, reached string, seed uint64) {
	t.Helper()
	var h *History
	var only int
	var calm, apart [2]time.Duration
	bubble(t, Options{Seed: seed}, func(t *testing.T, c *Cluster) {
		h = NewHistory()
		only = c.WaitLeader(1)
		switch reached {
		case "follower":
			only = only%3 + 1
		case "gateway":
			only = operator{c}.Join()
		}
		others := slices.DeleteFunc([]string{"n1", "n2", "n3"}, func(n string) bool { return n == c.Name(only) })
		reach := func() {
			c.Heal()
			for _, o := range others {
				c.Cut("far", o)
			}
		}
		c.live(h, LoadOptions{Clients: 6, Think: 60 * time.Millisecond, Hosts: []string{"far", "near"}}, func() {
			reach()
			time.Sleep(settleTime) // who had begun at another node has given up
			calm[0] = h.Now()
			time.Sleep(6 * time.Second)
			calm[1] = h.Now()
			c.Split([]string{c.Name(only)}, others)
			time.Sleep(2 * time.Second)
			apart[0] = h.Now()
			time.Sleep(11 * time.Second)
			apart[1] = h.Now()
			for _, o := range others { // it reaches one of the others
				reach()
				time.Sleep(3 * time.Second)
				c.Cut(c.Name(only), o)
				time.Sleep(8 * time.Second)
			}
		})
	})
	all := judge(t, h, fmt.Sprintf("go test ./internal/proof/sim -run '^%s$' -count=10", t.Name()))
	if ok, refused := rightOf(t, all, only, calm[0], calm[1]); ok == 0 || refused > 0 {
		t.Errorf("while it reached all: %d answered, %d refused", ok, refused)
	}
	if ok, refused := rightOf(t, all, only, apart[0], apart[1]); ok > 0 || refused == 0 {
		t.Errorf("while it reached nobody: %d answered, %d refused", ok, refused)
	}
	ok, refused := rightOf(t, all, only, apart[1], h.Now())
	t.Logf("afterwards %d answered, %d refused", ok, refused)
}

// The power of all goes while the cluster changes, again and again: machines join,
// drain and come back. It comes up by itself each time, and goes on with what it
// was to do.
func TestAllLosePowerWhileTheClusterChanges(t *testing.T) {
	for seed := range uint64(rounds(2)) {
		bubbleLoad(t, Options{Seed: 2250 + seed, Nodes: 4, AutoPlace: true}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
			c := operator{all}
			c.waitShape([]int{1, 2, 3}, []int{4})
			for n, words := range [][]any{{"join", 5}, {"drain", 1}, {"drain", 2}, {"undrain", 1}, {"undrain", 2}} {
				c.do(words...)
				for end := time.Now().Add(time.Duration(c.Rand.IntN(2500)) * time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
					registrar{c}.admit()
				}
				var up []int
				for i := 1; i <= c.Nodes(); i++ {
					if c.Up(i) {
						up = append(up, i)
						c.Crash(i)
					}
				}
				time.Sleep(100 * time.Millisecond)
				began := time.Now()
				for _, i := range up {
					c.Start(i)
				}
				k := c.Client("").At(up[n%len(up)])
				k.Must("SET", "back", fmt.Sprint(n))
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("%s after %v: the first write was answered after %v", stamp(), words, took)
				}
				k.Close()
			}
		})
	}
}

// All storage nodes are stopped and started one after the other, and killed, while
// clients work through a node without copies: no command fails, and none takes
// longer than an election.
func TestRollingRestartThroughAGateway(t *testing.T) {
	for seed := range uint64(rounds(1)) {
		var h *History
		bubble(t, Options{Seed: 2390 + seed}, func(t *testing.T, c *Cluster) {
			gateway := operator{c}.Join()
			h = NewHistory()
			c.live(h, LoadOptions{Nodes: []int{gateway}}, func() {
				for _, end := range []func(int){c.Stop, c.Kill, c.Stop} {
					for i := 1; i <= 3; i++ {
						time.Sleep(time.Second)
						end(i)
						time.Sleep(time.Second)
						c.Start(i)
					}
				}
				time.Sleep(time.Second)
			})
		})
		all := judge(t, h, "go test ./internal/proof/sim -run '^"+t.Name()+"$' -count=10")
		if refused, unknown := all.Refused(), all.Count(check.Unknown); refused+unknown > 0 {
			t.Errorf("%d refused, %d unknown", refused, unknown)
		}
		noPause(t, all)
	}
}
