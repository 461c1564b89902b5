package node_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"tutti/internal/node"
	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
	"tutti/internal/shard"
)

// dialAny connects from an address of the loopback drawn at random: who fails to log in makes
// all of an address wait.
func dialAny(t *testing.T, addr string) *respclient.Conn {
	t.Helper()
	from := net.IPv4(127, byte(1+rand.IntN(250)), byte(rand.IntN(250)), byte(1+rand.IntN(250)))
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return respclient.New(conn)
}

// awaitClocks waits until every node tells of clocks whose greatest distance is right.
func awaitClocks(t *testing.T, c *watchedCluster, what string, right func(most float64) bool) {
	t.Helper()
	eventually(t, func() string {
		for i := range c.http {
			most := 0.0
			for _, m := range scrape(t, c.HTTPAddr(i))["tutti_clock_offset_seconds"].GetMetric() {
				most = max(most, math.Abs(m.GetGauge().GetValue()))
			}
			if !right(most) {
				return fmt.Sprintf("clocks are not %s: node %d finds one %v s apart", what, i+1, most)
			}
		}
		return ""
	})
}

// The alerts about clients, tasks and clocks fire on what real nodes tell when clients are too
// many and have wrong passwords, when tasks fail and nobody takes one, and when a clock is off.
func TestAlertsFireOnWhatClientsAndClocksDo(t *testing.T) {
	p := newPrometheus(t)
	p.hush(t)
	var ahead [3]atomic.Int64
	c := startWatched(t, 3, func(i int, cfg *node.Config) {
		cfg.Clock = shard.SystemClock()
		wall := cfg.Clock.Wall
		cfg.Clock.Wall = func() int64 { return wall() + ahead[i].Load() }
	})
	for i := range 3 {
		awaitHealth(t, c, i, "all is well", func(_ int, h health) bool { return h.Safety == "healthy" })
	}
	k := dialAny(t, c.Addr(0))
	do := func(args ...string) resp.Value {
		t.Helper()
		v, err := k.Do(args...)
		if err != nil || v.IsError() {
			t.Fatalf("%v: %s, %v", args, respclient.Text(v), err)
		}
		return v
	}
	do("TASK.ADD", "waiting", "x")
	do("TASK.ADD", "failing", "first")
	fail := func() {
		claim := do("TASK.CLAIM", "w", "FROM", "failing").Elems[0]
		do("TASK.FAIL", string(claim.Elems[0].Str), string(claim.Elems[1].Str), "no", "DEAD")
	}
	fail()
	well := scrapeAll(t, c)

	for i := range 12 {
		do("TASK.ADD", "failing", fmt.Sprint(i))
		fail()
	}
	for range 60 {
		if v, err := dialAny(t, c.Addr(1)).Do("AUTH", "nobody", "wrong"); err != nil || !v.IsError() {
			t.Fatalf("%s, %v", respclient.Text(v), err)
		}
	}
	do("CONFIG", "SET", "maxclients", "1")
	if v, err := dialAny(t, c.Addr(0)).Do("PING"); err == nil && !v.IsError() {
		t.Fatalf("a client too many is let in: %s", respclient.Text(v))
	}
	counted := scrapeAll(t, c)

	ahead[2].Store(5000)
	awaitClocks(t, c, "off", func(most float64) bool { return most > 3 })
	off := scrapeAll(t, c)

	for i := range ahead { // eleven minutes pass on all clocks
		ahead[i].Store(11 * 60 * 1000)
	}
	eventually(t, func() string {
		for i := range 3 {
			if s := sample(scrape(t, c.HTTPAddr(i)), "tutti_task_oldest_waiting_seconds", map[string]string{"queue": "waiting"}); s > 600 {
				return ""
			}
		}
		return "no node tells of a task that has waited for ten minutes"
	})
	awaitClocks(t, c, "right", func(most float64) bool { return most < 1 })
	late := scrapeAll(t, c)

	warn := func(instances ...string) (list []expected) {
		for _, x := range instances {
			list = append(list, expected{severity: "warn", instance: x, summary: "seen"})
		}
		return list
	}
	queue := func(name string) []expected { return []expected{{severity: "warn", queue: name, summary: "seen"}} }
	p.judge(t,
		judged("8m", well, counted, map[string][]expected{"TuttiClientsRejected": warn("a"), "TuttiLoginsFail": warn("b"), "TuttiFailedTasksRise": queue("failing")}, p.names),
		judged("20m", counted, off, map[string][]expected{"TuttiClockOff": warn("a", "b", "c")}, p.names),
		judged("20m", counted, late, map[string][]expected{"TuttiOldestTask": queue("waiting")}, p.names))
}
