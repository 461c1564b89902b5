package sim

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// The failure modes that other systems were found broken by, each a scenario
// under its number; docs/FAULTS.md lists them all. This file: leaders that
// pause, die, or lose some of their links.

// apart returns the other nodes' names.
func apart(c *Cluster, i int) []string {
	var names []string
	for n := 1; n <= c.Nodes(); n++ {
		if n != i {
			names = append(names, c.Name(n))
		}
	}
	return names
}

// newLeader waits until somebody else leads and returns who, and how long that
// took.
func newLeader(t *testing.T, c *Cluster, old int) (next int, took time.Duration) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		took = time.Since(start)
		for i := 1; i <= c.Nodes(); i++ {
			if s, err := c.Status(i); err == nil && s.Shards[0].Match != nil && i != old {
				return i, took
			}
		}
		if took > 10*time.Second {
			t.Fatalf("%s nobody but node %d leads", stamp(), old)
		}
	}
}

func termOf(t *testing.T, c *Cluster, i int) uint64 {
	t.Helper()
	s, err := c.Status(i)
	if err != nil {
		t.Fatal(err)
	}
	return s.Shards[0].Term
}

// Nodes stand still for 0.2 to 5 s, the leader every other time, under load.
func TestFault02StaleReadAfterPause(t *testing.T) {
	bubbleLoad(t, Options{Seed: 202}, LoadOptions{Clients: 6, Timeout: 3 * time.Second}, func(c *Cluster) {
		for round := range 8 {
			i := 1 + c.Rand.IntN(3)
			if round%2 == 0 {
				i = c.WaitLeader(1)
			}
			c.Pause(i)
			time.Sleep(time.Duration(200+c.Rand.IntN(4800)) * time.Millisecond)
			c.Resume(i)
			time.Sleep(time.Duration(100+c.Rand.IntN(400)) * time.Millisecond)
		}
	})
}

// The leader is killed every 2 s while money moves between accounts and clients
// append to lists: no transfer is half done, no append lost.
func TestFault03LostUpdateAtLeaderChange(t *testing.T) {
	bubbleLoad(t, Options{Seed: 203}, LoadOptions{Timeout: 6 * time.Second}, func(c *Cluster) {
		b := openBank(t, c)
		for range 4 {
			time.Sleep(2 * time.Second)
			lead := c.WaitLeader(1)
			c.Kill(lead)
			time.Sleep(500 * time.Millisecond)
			c.Start(lead)
		}
		b.close(100)
	})
}

// bank is clients who move money between accounts of one slot, and one who
// counts it.
type bank struct {
	t    *testing.T
	c    *Cluster
	quit chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex // guards moved, sums
	moved int
	sums  int
}

const (
	accounts = 4
	deposit  = 100
)

func account(i int) string { return fmt.Sprintf("{bank}%d", i) }

func openBank(t *testing.T, c *Cluster) *bank {
	t.Helper()
	b := &bank{t: t, c: c, quit: make(chan struct{})}
	k := c.Client("")
	for i := range accounts {
		k.Must("SET", account(i), fmt.Sprint(deposit))
	}
	k.Close()
	for i := range 3 {
		b.wg.Go(func() { b.work(i, i < 2) })
	}
	return b
}

func (b *bank) work(id int, moves bool) {
	k := b.c.Client("").At(id%b.c.Nodes() + 1)
	k.Timeout = 8 * time.Second
	defer k.Close()
	for n := 0; ; n++ {
		select {
		case <-b.quit:
			return
		case <-time.After(5 * time.Millisecond):
		}
		if !moves {
			b.count(k)
			continue
		}
		from, to := account((n+id)%accounts), account((n+id+1+n%2)%accounts)
		v, err := k.Pipe([]string{"MULTI"}, []string{"DECRBY", from, "7"}, []string{"INCRBY", to, "7"}, []string{"EXEC"})
		if err != nil || v[3].IsError() {
			k.At(k.at%b.c.Nodes() + 1) // done or not: the sum stays
			continue
		}
		b.mu.Lock()
		b.moved++
		b.mu.Unlock()
	}
}

// count reads all accounts in one transaction.
func (b *bank) count(k *Client) {
	cmds := [][]string{{"MULTI"}}
	for i := range accounts {
		cmds = append(cmds, []string{"GET", account(i)})
	}
	v, err := k.Pipe(append(cmds, []string{"EXEC"})...)
	if err != nil || v[len(v)-1].IsError() {
		k.At(k.at%b.c.Nodes() + 1)
		return
	}
	sum := 0
	for _, e := range v[len(v)-1].Elems {
		sum += number(b.t, Text(e))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sums++; sum != accounts*deposit {
		b.t.Errorf("%s the accounts hold %d, not %d: %s", stamp(), sum, accounts*deposit, Text(v[len(v)-1]))
	}
}

// close stops the clients; they must have moved money and counted it as often
// as that.
func (b *bank) close(atLeast int) {
	b.t.Helper()
	close(b.quit)
	b.wg.Wait()
	k := b.c.Client("").At(b.c.WaitLeader(1))
	defer k.Close()
	b.count(k)
	if b.moved < atLeast || b.sums < atLeast {
		b.t.Errorf("%d transfers, counted %d times", b.moved, b.sums)
	}
}

// Transactions read one state, without any fault: the sum is always right.
func TestTransactionReadsOneState(t *testing.T) {
	bubble(t, Options{Seed: 1}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		b := openBank(t, c)
		time.Sleep(2 * time.Second)
		b.close(100)
	})
}

// The leader is cut off in the middle of writes. Nobody reads what is not
// committed: whatever was answered or seen is there in the end.
func TestFault05UncommittedRead(t *testing.T) {
	bubble(t, Options{Seed: 205}, func(t *testing.T, c *Cluster) {
		var mu sync.Mutex
		seen := make(map[string]string) // element -> who told
		note := func(who string, elements ...string) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range elements {
				seen[e] = who
			}
		}
		for round := range 4 {
			lead := c.WaitLeader(1)
			var wg sync.WaitGroup
			stop := time.Now().Add(1500 * time.Millisecond)
			for i := 1; i <= 3; i++ {
				side := "out"
				if i == lead {
					side = "in"
				}
				w, r := c.Client(side).At(i), c.Client(side).At(i)
				wg.Go(func() {
					defer w.Close()
					for n := 0; time.Now().Before(stop); n++ {
						e := fmt.Sprintf("%d:%d:%d", round, i, n)
						if v, err := w.Do("RPUSH", "list", e); err == nil && !v.IsError() {
							note("a write through "+c.Name(i), e)
						}
						time.Sleep(5 * time.Millisecond)
					}
				})
				wg.Go(func() {
					defer r.Close()
					for time.Now().Before(stop) {
						if v, err := r.Do("LRANGE", "list", "-5", "-1"); err == nil && !v.IsError() {
							for _, e := range v.Elems {
								note("a read through "+c.Name(i), Text(e))
							}
						}
						time.Sleep(3 * time.Millisecond)
					}
				})
			}
			time.Sleep(time.Duration(c.Rand.IntN(60)) * time.Millisecond)
			c.Split([]string{c.Name(lead), "in"}, append(apart(c, lead), "out"))
			time.Sleep(1300 * time.Millisecond)
			c.Heal()
			wg.Wait()
		}
		c.WaitEqual(10 * time.Second)
		k := c.Client("")
		defer k.Close()
		for i := 1; i <= 3; i++ {
			there := make(map[string]bool)
			for _, e := range k.At(i).Must("LRANGE", "list", "0", "-1").Elems {
				if there[Text(e)] {
					t.Errorf("%s is there twice", Text(e))
				}
				there[Text(e)] = true
			}
			for e, who := range seen {
				if !there[e] {
					t.Errorf("%s told of %s, and node %d does not have it", who, e, i)
				}
			}
		}
		if len(seen) < 150 {
			t.Errorf("only %d elements", len(seen))
		}
	})
}

// oneWay cuts one direction between the leader and the others, and heals it.
func oneWay(t *testing.T, seed uint64, cut func(c *Cluster, lead, other string)) {
	bubble(t, Options{Seed: seed}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		time.Sleep(time.Second)
		before := termOf(t, c, lead)
		for _, o := range apart(c, lead) {
			cut(c, c.Name(lead), o)
		}
		next, took := newLeader(t, c, lead)
		if took > leaderSoon {
			t.Errorf("a new leader after %v", took)
		}
		k := c.Client("").At(next)
		defer k.Close()
		k.Must("SET", "k", "v")
		time.Sleep(10 * time.Second)
		if got := termOf(t, c, next); got > before+3 {
			t.Errorf("the term went from %d to %d: elections go on", before, got)
		}
		led := termOf(t, c, next)
		c.Heal()
		time.Sleep(3 * time.Second)
		if l := c.WaitLeader(1); l != next || termOf(t, c, next) != led {
			t.Errorf("after healing node %d leads in term %d, before it was node %d in %d", l, termOf(t, c, l), next, led)
		}
		t.Logf("a new leader after %v", took)
		c.WaitEqual(5 * time.Second)
	})
}

// leaderSoon bounds how long a shard is without a leader if the old one is
// alive but hears or says nothing: it notices after one to two election
// time-outs of 0.3 s, and the others wait as long for it.
const leaderSoon = 1300 * time.Millisecond

// The leader hears nobody, and goes on sending heartbeats for a while.
func TestFault18LeaderDeaf(t *testing.T) {
	for seed := range env("TUTTI_SIM_SEEDS", 4) {
		oneWay(t, 2180+seed, func(c *Cluster, lead, other string) { c.CutOne(other, lead) })
	}
}

// Nobody hears the leader, which hears all.
func TestFault19LeaderMute(t *testing.T) {
	for seed := range env("TUTTI_SIM_SEEDS", 4) {
		oneWay(t, 2190+seed, func(c *Cluster, lead, other string) { c.CutOne(lead, other) })
	}
}

// Two nodes can't reach each other and both reach the third: whoever leads goes
// on leading.
func TestFault20Bridge(t *testing.T) {
	for _, led := range []string{"end", "middle"} {
		t.Run(led, func(t *testing.T) {
			bubble(t, Options{Seed: 220}, func(t *testing.T, c *Cluster) {
				lead := c.WaitLeader(1)
				time.Sleep(time.Second)
				others := apart(c, lead)
				middle := lead
				if led == "end" {
					c.Cut(c.Name(lead), others[0])
					middle = 6 - lead - int(others[0][1]-'0')
				} else {
					c.Cut(others[0], others[1])
				}
				before := termOf(t, c, lead)
				k := c.Client("")
				defer k.Close()
				for n := range 200 {
					for _, i := range []int{lead, middle} {
						if got := Text(k.At(i).Must("INCR", "n")); number(t, got) <= n {
							t.Fatalf("INCR: %s", got)
						}
					}
					time.Sleep(50 * time.Millisecond)
				}
				if l := c.WaitLeader(1); l != lead || termOf(t, c, l) != before {
					t.Errorf("node %d leads in term %d, before it was node %d in %d", l, termOf(t, c, l), lead, before)
				}
				c.Heal()
				c.WaitEqual(10 * time.Second)
			})
		})
	}
}

// A client reaches one node only, which is not the leader; then one that is
// left without a majority.
func TestFault21PartialReachability(t *testing.T) {
	bubble(t, Options{Seed: 221}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		only := lead%3 + 1
		k := c.Client("far").At(only)
		defer k.Close()
		for _, o := range apart(c, only) {
			c.Cut("far", o)
		}
		k.Must("SET", "k", "v")
		if got := Text(k.Must("GET", "k")); got != "v" {
			t.Errorf("GET: %s", got)
		}
		c.Split([]string{c.Name(only)}, apart(c, only))
		start := time.Now()
		for _, args := range [][]string{{"GET", "k"}, {"SET", "k", "x"}, {"SET", "k", "y"}} {
			v, err := k.Do(args...)
			if text := string(v.Str); err != nil || !strings.HasPrefix(text, "CLUSTERDOWN ") && !strings.HasPrefix(text, "UNCERTAIN ") {
				t.Errorf("%v without a majority: %v %s", args, err, text)
			}
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("three answers took %v", d)
		}
	})
}

// Two of three are killed under load, and come back.
func TestFault24MajorityLoss(t *testing.T) {
	bubbleLoad(t, Options{Seed: 224}, LoadOptions{Timeout: 2 * time.Second}, func(c *Cluster) {
		for range 3 {
			time.Sleep(time.Second)
			left := 1 + c.Rand.IntN(3)
			for i := 1; i <= 3; i++ {
				if i != left {
					c.Kill(i)
				}
			}
			time.Sleep(2 * time.Second)
			k := c.Client("").At(left)
			v, err := k.Do("SET", "r:alone", "1")
			if err != nil || !v.IsError() {
				t.Errorf("%s a write without a majority: %v %s", stamp(), err, Text(v))
			}
			for i := 1; i <= 3; i++ {
				if i != left {
					c.Start(i)
				}
			}
			c.WaitLeader(1)
			if got := Text(k.Must("SET", "back", "1")); got != "OK" {
				t.Errorf("%s after their return: %s", stamp(), got)
			}
			k.Close()
		}
	})
}

// All lose power under load; a write is answered before any election time-out
// can have passed since their start: nodes that begin campaign at once.
func TestFault25WholeClusterCrash(t *testing.T) {
	bubbleLoad(t, Options{Seed: 225, LogBytesMax: 8 << 10}, LoadOptions{Timeout: 2 * time.Second}, func(c *Cluster) {
		for range 4 {
			time.Sleep(time.Duration(500+c.Rand.IntN(1500)) * time.Millisecond)
			for i := 1; i <= 3; i++ {
				c.Crash(i)
			}
			time.Sleep(100 * time.Millisecond)
			start := time.Now()
			for i := 1; i <= 3; i++ {
				c.Start(i)
			}
			k := c.Client("")
			k.Must("SET", "back", "1")
			if took := time.Since(start); took >= 300*time.Millisecond {
				t.Errorf("the first write was answered after %v", took)
			}
			k.Close()
		}
	})
}

// Links are cut one after the other until nobody reaches anybody, and healed in
// another order, under load.
func TestFault45SwizzleClog(t *testing.T) {
	for seed := range uint64(rounds(1)) {
		bubbleLoad(t, Options{Seed: 2450 + seed, Nodes: 5}, LoadOptions{Timeout: 2 * time.Second}, func(c *Cluster) {
			var links [][2]string
			for i := 1; i <= 5; i++ {
				for _, o := range apart(c, i) {
					links = append(links, [2]string{c.Name(i), o})
				}
			}
			for range 3 {
				for _, cut := range []bool{true, false} {
					c.Rand.Shuffle(len(links), func(i, j int) { links[i], links[j] = links[j], links[i] })
					for _, l := range links {
						c.Net.Set(l[0], l[1], func(p *Path) { p.Cut = cut })
						time.Sleep(time.Duration(c.Rand.IntN(150)) * time.Millisecond)
					}
				}
				time.Sleep(500 * time.Millisecond)
			}
		})
	}
}
