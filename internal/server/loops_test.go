package server_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/internal/node/nodetest"
	"tutti/internal/resp"
)

// settle has a new client sent enough for a loop to take it.
func settle(c *nodetest.Client) {
	for range 10 {
		c.Do("PING")
	}
}

// Clients that wait for nothing cost no goroutine.
func TestIdleClientsHaveNoGoroutine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("clients are served by loops on Linux only")
	}
	c := nodetest.Start(t, nodetest.Options{})
	c.Dial(0).Do("SET", "k", "v")
	before := runtime.NumGoroutine()
	const clients = 300
	for i := range clients {
		client := c.Dial(0)
		if got := client.Text("GET", "k"); got != `"v"` {
			t.Fatalf("client %d: %s", i, got)
		}
		settle(client)
	}
	if n := runtime.NumGoroutine() - before; n > clients/10 {
		t.Errorf("%d goroutines more for %d clients", n, clients)
	}
}

// wish is a command and how its reply is judged.
type wish struct {
	line string
	want string // as redis-cli prints it; "": an integer greater than the one before
}

// talker is a client that knows what it must be answered.
type talker struct {
	id      int
	rand    *rand.Rand
	own     int // of its counter
	value   string
	adds    int // to the counter of all
	last    int // of that, as it saw it
	absent  string
	written bool
}

// pipeline draws commands: most are for a loop, some are not.
func (k *talker) pipeline() (list []wish) {
	add := func(line, want string) { list = append(list, wish{line, want}) }
	kinds := 18
	if k.id%2 == 0 {
		kinds = 15 // it is a loop's all the time
	}
	for range 1 + k.rand.IntN(12) {
		switch k.rand.IntN(kinds) {
		case 0, 1, 2:
			k.own++
			add(fmt.Sprintf("INCR own:{%d}", k.id), fmt.Sprintf("(integer) %d", k.own))
		case 3, 4:
			k.adds++
			add("INCR all", "")
		case 5, 6, 7:
			// Sometimes the pipeline is more than a loop reads of one with the others.
			k.value = fmt.Sprintf("v%d-%d", k.id, k.rand.IntN(1000)) + strings.Repeat("x", max(0, k.rand.IntN(12<<10)-7<<10))
			k.written = true
			add(fmt.Sprintf("SET val:%d %s", k.id, k.value), "OK")
		case 8, 9, 10:
			want := k.absent
			if k.written {
				want = fmt.Sprintf("%q", k.value)
			}
			add(fmt.Sprintf("GET val:%d", k.id), want)
		case 11:
			add(fmt.Sprintf("ECHO marker-%d", k.id), fmt.Sprintf(`"marker-%d"`, k.id))
		case 12:
			add(fmt.Sprintf("MGET own:{%d} nobody:{%d}", k.id, k.id), fmt.Sprintf("1) %s\n2) %s", k.counter(), k.absent))
		case 13: // alone
			k.own++
			add(fmt.Sprintf("EVAL return{redis.call('incr',KEYS[1]),ARGV[1]} 1 own:{%d} arg-%d", k.id, k.id), fmt.Sprintf("1) (integer) %d\n2) \"arg-%d\"", k.own, k.id))
		case 14:
			add(fmt.Sprintf("LREM nobody:{%d} 0 x", k.id), "(integer) 0")
		case 15: // not light
			add(fmt.Sprintf("LRANGE nobody:{%d} 0 -1", k.id), "(empty array)")
		case 16:
			k.own++
			add("MULTI", "OK")
			add(fmt.Sprintf("INCR own:{%d}", k.id), "QUEUED")
			add("EXEC", fmt.Sprintf("1) (integer) %d", k.own))
		case 17:
			add("SELECT 3", "OK")
			add(fmt.Sprintf("GET own:{%d}", k.id), k.absent)
			add("SELECT 0", "OK")
		}
	}
	return list
}

func (k *talker) counter() string {
	if k.own == 0 {
		return k.absent
	}
	return fmt.Sprintf(`"%d"`, k.own)
}

// Each of many clients gets its own replies, in order, and each command is executed
// once, whatever the others send through the same loop.
func TestClientsOfALoopDoNotMix(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			c := nodetest.Start(t, nodetest.Options{Nodes: 3, Shards: shards})
			const clients, rounds = 36, 40
			talkers, conns := make([]*talker, clients), make([]*nodetest.Client, clients)
			for i := range talkers {
				talkers[i] = &talker{id: i, rand: rand.New(rand.NewPCG(uint64(i), 5)), absent: "(nil)"}
				conns[i] = c.Dial(i % 3)
				settle(conns[i])
				if i%5 == 0 {
					conns[i].Do("HELLO", "3")
				}
			}
			var all sync.WaitGroup
			for i, k := range talkers {
				all.Go(func() {
					for range rounds {
						if !k.talk(t, conns[i]) {
							return
						}
					}
				})
			}
			all.Wait()
			if t.Failed() {
				return
			}
			sum := 0
			for _, k := range talkers {
				sum += k.adds
			}
			if got := conns[0].Text("GET", "all"); got != fmt.Sprintf(`"%d"`, sum) {
				t.Errorf("the counter of all is %s after %d additions", got, sum)
			}
		})
	}
}

// talk sends one pipeline and judges what comes.
func (k *talker) talk(t *testing.T, c *nodetest.Client) (ok bool) {
	list := k.pipeline()
	var b []byte
	for _, w := range list {
		b = resp.AppendCommandStrings(b, strings.Fields(w.line)...)
	}
	if _, err := c.Write(b); err != nil {
		t.Error(err)
		return false
	}
	for i, w := range list {
		v, err := c.Receive()
		if err != nil {
			t.Error(err)
			return false
		}
		got := strings.TrimSpace(v.FormatCLI())
		switch {
		case w.want == "" && v.Kind == resp.KindInt && int(v.Int) > k.last:
			k.last = int(v.Int)
		case got != w.want:
			t.Errorf("client %d, command %d of %v: got %s", k.id, i, list, got)
			return false
		}
	}
	return true
}

// What the clients of a loop do is counted as what others do.
func TestCountsOfALoop(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	admin, client := c.Dial(0), c.Dial(0)
	settle(client)
	admin.Do("CONFIG", "SET", "slowlog-log-slower-than", "0")
	admin.Do("CONFIG", "RESETSTAT")
	admin.Do("SLOWLOG", "RESET")
	client.Do("SET", "k", "v")
	client.Do("GET", "k")
	client.Do("GET", "absent")
	client.Do("INCR", "k") // fails
	client.Do("ECHO", "x")
	for name, want := range map[string]string{"keyspace_hits": "1", "keyspace_misses": "1", "total_error_replies": "1"} {
		if got := infoField(t, admin, "stats", name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{"cmdstat_set": "calls=1,", "cmdstat_get": "calls=2,", "cmdstat_incr": "failed_calls=1", "cmdstat_echo": "calls=1,"} {
		if got := infoField(t, admin, "commandstats", name); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	slow := admin.Text("SLOWLOG", "GET", "-1")
	for _, word := range []string{`"SET"`, `"GET"`, `"INCR"`, `"ECHO"`, client.LocalAddr().String()} {
		if !strings.Contains(slow, word) {
			t.Errorf("the slow log lacks %s:\n%s", word, slow)
		}
	}
	line := ""
	for l := range strings.Lines(string(admin.Do("CLIENT", "LIST").Str)) {
		if strings.Contains(l, client.LocalAddr().String()) {
			line = l
		}
	}
	if !strings.Contains(line, "cmd=echo ") || !strings.Contains(line, "flags=N ") {
		t.Errorf("CLIENT LIST shows %q", line)
	}
}

// A client that does not read its replies keeps nobody waiting, and gets all of
// them when it does.
func TestSlowReaderKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	const values, size = 100, 300 << 10
	setup := c.Dial(0)
	big := strings.Repeat("x", size)
	setup.Do("SET", "big", big)
	setup.Do("SET", "small", "s")
	slow, quick := c.Dial(0), c.Dial(0)
	settle(slow)
	for range values {
		slow.Send("GET", "big") // each by itself: the first ones are a loop's
	}
	for i := range 200 {
		if got := quick.Text("GET", "small"); got != `"s"` {
			t.Fatalf("request %d beside the slow reader: %s", i, got)
		}
		if got := quick.Text("SET", "small", "s"); got != "OK" {
			t.Fatalf("request %d beside the slow reader: %s", i, got)
		}
	}
	for i := range values {
		v, err := slow.Receive()
		if err != nil || string(v.Str) != big {
			t.Fatalf("reply %d to the slow reader: %d bytes, %v", i, len(v.Str), err)
		}
	}
}

// A client whose commands are under way in a loop can be killed, and is seen to go,
// at once: its place is free long before the shard has answered.
func TestClientUnderWayEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(admin, victim *nodetest.Client, id string){
		"killed":  func(admin, _ *nodetest.Client, id string) { admin.Do("CLIENT", "KILL", "ID", id) },
		"hung up": func(_, victim *nodetest.Client, _ string) { victim.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c := nodetest.Start(t, nodetest.Options{Nodes: 3})
			admin, witness, victim := c.Dial(0), c.Dial(0), c.Dial(0)
			settle(witness)
			settle(victim)
			admin.Do("SET", "k", "v")
			list := string(admin.Do("CLIENT", "LIST").Str)
			var id string
			for line := range strings.Lines(list) {
				if strings.Contains(line, "addr="+victim.LocalAddr().String()+" ") {
					id = strings.TrimPrefix(strings.Fields(line)[0], "id=")
				}
			}
			c.Stop(1)
			c.Stop(2)
			witness.Send("SET", "k", "w") // before the victim: it waits no longer
			answered := make(chan string, 1)
			go func() {
				v, err := witness.Receive()
				answered <- fmt.Sprint(v.FormatCLI(), err)
			}()
			for !strings.Contains(string(admin.Do("CLIENT", "LIST").Str), "cmd=set ") { // until it is under way
			}
			victim.Send("SET", "k", "x")
			for strings.Count(string(admin.Do("CLIENT", "LIST").Str), "cmd=set ") < 2 {
			}
			end(admin, victim, id)
			for strings.Contains(string(admin.Do("CLIENT", "LIST").Str), "id="+id+" ") {
				select {
				case reply := <-answered:
					t.Fatalf("the victim is still there when a command from before it has been given up: %s", reply)
				default:
				}
			}
		})
	}
}

// Rights that change while a client is served by a loop hold for its next command,
// on every node.
func TestRightsChangeInALoop(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3, Shards: 2})
	root := c.Dial(0)
	steps := []string{"ACL SETUSER root on nopass ~* +@all", "AUTH root x", "SET a x", "SET b x"}
	for _, line := range steps {
		if got := root.Text(strings.Fields(line)...); got != "OK" {
			t.Fatalf("%s: %s", line, got)
		}
	}
	clients := []*nodetest.Client{c.Dial(0), c.Dial(1), c.Dial(2)}
	for _, client := range clients {
		settle(client)
	}
	for round := range 20 {
		for _, change := range []struct{ rule, line, want string }{
			{"-get", "GET a", "(error) NOPERM User default has no permissions to run the 'get' command"},
			{"+get", "GET b", `"x"`},
			{"-set", "SET b y", "(error) NOPERM User default has no permissions to run the 'set' command"},
			{"+set", "SET a x", "OK"},
			{"resetkeys", "GET a", noKey},
			{"allkeys", "GET a", `"x"`},
		} {
			if got := root.Text("ACL", "SETUSER", "default", change.rule); got != "OK" {
				t.Fatalf("%s: %s", change.rule, got)
			}
			for i, client := range clients {
				if got := strings.TrimSpace(client.Text(strings.Fields(change.line)...)); got != change.want {
					t.Errorf("round %d, after %s, client %d: %s: got %s, want %s", round, change.rule, i, change.line, got, change.want)
				}
			}
		}
	}
}

// A client that has sent its commands and says that it has no more gets its
// replies, and its place is free then.
func TestClientThatSendsAndGoes(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	admin := c.Dial(0)
	for range 50 {
		conn, err := net.Dial("tcp", c.Addr(0))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range 10 { // by then it is a loop's
			if _, err := conn.Write([]byte("PING\r\n")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, len("+PONG\r\n"))); err != nil {
				t.Fatal(err)
			}
		}
		var b []byte // for a loop
		for range 3 {
			b = resp.AppendCommandStrings(b, "SET", "k", "v")
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if got, err := io.ReadAll(conn); err != nil || string(got) != strings.Repeat("+OK\r\n", 3) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	for strings.Count(string(admin.Do("CLIENT", "LIST").Str), "\n") > 1 { // or for ever: then the test ends by its time
	}
}
