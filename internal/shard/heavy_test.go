package shard

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/command"
	"tutti/internal/eval"
	"tutti/internal/group"
)

// sadd is a SADD of n members, long enough for a union of 18,000 to be
// committed beside the loop too.
func sadd(key string, from, n int) string {
	var b strings.Builder
	b.WriteString("SADD " + key)
	for i := range n {
		fmt.Fprintf(&b, " m%06d%s", from+i, padding)
	}
	return b.String()
}

const padding = "-the-rest-of-a-member-of-a-set"

// TestHeavyHost runs heavy groups through the loop, beside others.
func TestHeavyHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		for i := range 6 {
			n.run(sadd("a", i*2000, 2000))
			n.run(sadd("b", (i+3)*2000, 2000))
		}
		n.want(n.run("SUNIONSTORE u a b", "INCR n"), ":18000 :1 ")
		n.want(n.run("SCARD u", "GET n"), ":18000 $1 1 ")
		// Many at once, against writers that change what they look at: each is
		// answered, by what the loop gives it in the end if need be.
		var heavy, light []chan group.Reply
		for i := range 8 {
			n.seq++
			heavy = append(heavy, n.submit(newGroup(n.session, n.seq, fmt.Sprintf("SUNIONSTORE u%d a b", i), "INCR n")))
			for range 5 {
				n.seq++
				light = append(light, n.submit(newGroup(n.session, n.seq, "SADD a x", "SREM a x", "INCR n")))
			}
		}
		for _, ch := range light {
			if r := <-ch; r.Status != group.OK {
				t.Errorf("light: %s", text(r))
			}
		}
		for _, ch := range heavy {
			if r := <-ch; !strings.HasPrefix(text(r), ":18000 ") {
				t.Errorf("heavy: %s", text(r))
			}
		}
		n.want(n.run("GET n"), "$2 49 ")
		// A stop in the middle answers it as lost.
		n.seq++
		g := newGroup(n.session, n.seq, "SUNIONSTORE u a b")
		var done chan group.Reply
		n.call(func(*Replica) { done = n.submit(g) })
		n.stop()
		if r := <-done; r.Status != group.Lost && r.Status != group.OK && r.Status != group.NotLeader {
			t.Errorf("stopped: %s", text(r))
		}
	})
}

// What is found beside the loop to be refused is refused by the loop, however many arguments
// it has: it is not set aside again, for ever.
func TestHeavyGroupsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.run("SET w 1")
		n.seq++
		g := newGroup(n.session, n.seq, "MSET"+strings.Repeat(" k v", 5000))
		g.Atomic, g.Watches = true, []group.Watch{{Key: []byte("w")}} // which is there by now
		if r := n.do(g); r.Status != group.WatchFailed {
			t.Error(text(r))
		}
		n.want(n.run("EXISTS k"), ":0 ")
		n.stop()
	})
}

// TestPiecesGoBetween has a group whose effects go in pieces: what others send meanwhile is
// answered before it, and what would change its keys behind it.
func TestPiecesGoBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.call(func(r *Replica) { r.host.cfg.Large.PieceBytes = 4 << 10 }) // hundreds: some are there whenever the others come
		value := strings.Repeat("v", 1<<20)
		submit := func(line string) chan group.Reply {
			n.seq++
			return n.submit(newGroup(n.session, n.seq, line))
		}
		staged := func() (is bool) {
			n.call(func(r *Replica) { is = r.leader.heavy.staged != nil })
			return is
		}
		large := submit("MSET a " + value + " b " + value + " c " + value)
		for !staged() && len(large) == 0 {
			<-submit("INCR n")
		}
		behind := submit("APPEND b x")
		between := 0
		for ; len(large) == 0; between++ {
			<-submit("INCR n")
		}
		all := <-large
		if text(all) != "+OK " || between < 3 {
			t.Errorf("%s in entry %d, with %d of others before it", text(all), all.Index, between)
		}
		if r := <-behind; text(r) != fmt.Sprintf(":%d ", len(value)+1) || r.Index <= all.Index {
			t.Errorf("%s in entry %d", text(r), r.Index)
		}
		n.want(n.run("STRLEN a", "STRLEN c"), fmt.Sprintf(":%d :%d ", len(value), len(value)))
		n.stop()
	})
}

// A script that is evaluated beside the loop has its time, however fast the machine is,
// and what it did until then is nothing.
func TestScriptBesideTheLoopEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.want(n.run("SET k before"), "+OK ")
		var draws atomic.Int32 // a seed for each attempt: the first is in the loop
		n.chance = func() {
			if draws.Add(1) > 1 {
				time.Sleep(command.ScriptTimeMax + time.Millisecond)
			}
		}
		n.seq++
		g := newGroup(n.session, n.seq, "EVAL script 0")
		g.Cmds[0].Args[1] = []byte("redis.call('SET', 'k', 'after') while true do end")
		began := time.Now()
		if got := text(n.do(g)); !strings.Contains(got, "it takes more than 4s. Not applied.") {
			t.Errorf("answered %q", got)
		}
		if took := time.Since(began); took > command.ScriptTimeMax+time.Second {
			t.Errorf("after %v", took)
		}
		if n := draws.Load(); n != 2 {
			t.Errorf("%d attempts", n)
		}
		n.want(n.run("GET k"), "$6 before ")
		n.stop()
	})
}

// So has a group without a script, with what it waits for others that were set aside
// before it: it is refused while its client still waits.
func TestHeavyGroupsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		for i := range 12 {
			n.run(sadd("a", i*2000, 2000))
		}
		var draws atomic.Int32
		n.chance = func() {
			if draws.Add(1) == 2 { // the first is in the loop
				time.Sleep(eval.HeavyTimeMax + time.Millisecond)
			}
		}
		n.run("SADD few x y z")
		submit := func(cmds ...string) chan group.Reply {
			n.seq++
			return n.submit(newGroup(n.session, n.seq, cmds...))
		}
		began := time.Now()
		long, behind := submit("SPOP few", "SUNIONSTORE u a"), submit("SUNIONSTORE u a")
		for _, ch := range []chan group.Reply{long, behind} {
			if got := text(<-ch); !strings.Contains(got, "took more than 4s. Not applied.") {
				t.Errorf("answered %q", got)
			}
		}
		if took := time.Since(began); took > eval.HeavyTimeMax+500*time.Millisecond {
			t.Errorf("after %v", took)
		}
		n.want(n.run("SCARD few", "EXISTS u"), ":3 :0 ")
		n.want(n.run("SUNIONSTORE u a"), ":24000 ") // the next one has all of its time
		n.stop()
	})
}

// Who would change what a heavy group looks at waits for it once it was overtaken three
// times, and nobody else does: it is not evaluated in the loop.
func TestHeavyGroupHoldsBackWhoOvertakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.want(n.run("SET k 1", "SET other 1"), "+OK +OK ")
		begun, end := make(chan struct{}), make(chan struct{})
		var draws atomic.Int32 // a seed for each attempt: one in the loop, which is too much, then one beside it
		n.chance = func() {
			if draws.Add(1)%2 == 0 {
				begun <- struct{}{}
				<-end
			}
		}
		n.seq++
		g := newGroup(n.session, n.seq, "EVAL script 1 k")
		g.Cmds[0].Args[1] = []byte("for i = 1, 25000 do redis.call('EXISTS', KEYS[1]) end return redis.call('INCR', KEYS[1])")
		heavy := n.submit(g)
		for range 3 {
			<-begun
			n.run("INCR k")
			end <- struct{}{}
		}
		<-begun
		n.seq++
		held := n.submit(newGroup(n.session, n.seq, "INCR k"))
		n.want(n.run("INCR other"), ":2 ")
		synctest.Wait()
		select {
		case r := <-held:
			t.Errorf("who would overtake it does not wait: %s", text(r))
		default:
		}
		end <- struct{}{}
		if r := <-heavy; text(r) != ":5 " {
			t.Errorf("the heavy group: %s", text(r))
		}
		if r := <-held; text(r) != ":6 " {
			t.Errorf("behind it: %s", text(r))
		}
		if d := draws.Load(); d != 8 {
			t.Errorf("%d attempts", d)
		}
		n.stop()
	})
}
