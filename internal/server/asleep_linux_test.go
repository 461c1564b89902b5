package server_test

import (
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tutti/internal/node/nodetest"
)

// allAsleep waits until no goroutine waits with a client's command.
func allAsleep(t *testing.T) {
	t.Helper()
	stacks := make([]byte, 32<<20)
	for end := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		n := runtime.Stack(stacks, true)
		if n < len(stacks) && !strings.Contains(string(stacks[:n]), "server.receiveOr") {
			return
		}
		if time.Now().After(end) {
			t.Fatal("not all clients are asleep")
		}
	}
}

// blockedClients waits until so many commands wait at a node.
func blockedClients(t *testing.T, admin *nodetest.Client, n int) {
	t.Helper()
	asked(t, admin, "blocked_clients:"+strconv.Itoa(n)+"\r\n", "INFO", "clients")
}

// asked asks until the answer has what is wanted.
func asked(t *testing.T, admin *nodetest.Client, wanted string, args ...string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !strings.Contains(string(admin.Do(args...).Str), wanted); {
		if time.Now().After(end) {
			t.Fatalf("%v has no %q", args, wanted)
		}
	}
}

// atALoop waits until a loop serves a client.
func atALoop(t *testing.T, client *nodetest.Client) {
	t.Helper()
	for range 20 {
		client.Do("PING")
	}
}

// Whatever ends the waiting of a client that is asleep is told to it, and what it has
// sent behind the command that waited is executed then, in order.
func TestWhatWakesAClient(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	admin := c.Dial(0)
	behind := []string{"APPEND", "trail", "x"}
	for _, tt := range []struct {
		name string
		cmd  []string
		end  func(id string)
		want string
	}{
		{"an element", []string{"BLPOP", "list", "0"}, func(string) { admin.Do("RPUSH", "list", "a") }, `1) "list" 2) "a"`},
		{"an element moved", []string{"BLMOVE", "list", "to", "LEFT", "RIGHT", "0"}, func(string) { admin.Do("RPUSH", "list", "b") }, `"b"`},
		{"a member", []string{"BZPOPMIN", "set", "0"}, func(string) { admin.Do("ZADD", "set", "1", "m") }, `1) "set" 2) "m" 3) "1"`},
		{"an entry", []string{"XREAD", "BLOCK", "0", "STREAMS", "stream", "$"}, func(string) { admin.Do("XADD", "stream", "7-7", "f", "v") }, `1) 1) "stream" 2) 1) 1) "7-7" 2) 1) "f" 2) "v"`},
		{"the time", []string{"BLPOP", "list", "1"}, func(string) {}, "(nil)"},
		{"another client", []string{"BLPOP", "list", "0"}, func(id string) { c.Dial(0).Do("CLIENT", "UNBLOCK", id, "ERROR") }, "(error) UNBLOCKED client unblocked via CLIENT UNBLOCK"},
	} {
		for _, atFirst := range []string{"at a loop", "on a goroutine"} {
			t.Run(tt.name+", "+atFirst, func(t *testing.T) {
				admin.Do("DEL", "trail")
				trail := "(integer) 0"
				client := c.Dial(0)
				if atFirst == "at a loop" {
					atALoop(t, client)
				}
				id := strconv.FormatInt(client.Do("CLIENT", "ID").Int, 10)
				for range 2 { // it falls asleep whenever it waits
					client.Send(tt.cmd...)
					client.Send(behind...)
					client.Send("STRLEN", "trail")
					blockedClients(t, c.Dial(0), 1)
					allAsleep(t)
					if got := admin.Text("DEL", "trail"); got != trail {
						t.Fatalf("what is behind a command that waits has done: %s", got)
					}
					trail = "(integer) 1"
					tt.end(id)
					expect(t, client, tt.want)
					expect(t, client, "(integer) 1")
					expect(t, client, "(integer) 1")
					admin.Do("DEL", "stream")
				}
			})
		}
	}
}

// Who hangs up while asleep gives its turn away, and so does who is killed.
func TestWhoGoesAsleepGivesItsTurnAway(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	admin := c.Dial(0)
	for name, goes := range map[string]func(client *nodetest.Client){
		"hangs up":      func(client *nodetest.Client) { client.Close() },
		"sends no more": func(client *nodetest.Client) { _ = client.Conn.Conn.(*net.TCPConn).CloseWrite() },
		"is killed":     func(*nodetest.Client) { admin.Do("CLIENT", "KILL", "TYPE", "normal") },
	} {
		t.Run(name, func(t *testing.T) {
			first := c.Dial(0)
			first.Send("BLPOP", "list", "0")
			first.Send("PING")
			blockedClients(t, admin, 1)
			allAsleep(t)
			goes(first)
			blockedClients(t, admin, 0)
			second := c.Dial(0)
			second.Send("BLPOP", "list", "0")
			blockedClients(t, admin, 1)
			admin.Do("RPUSH", "list", "a")
			expect(t, second, `1) "list" 2) "a"`)
		})
	}
}

// Who is asleep keeps its place when the leader changes.
func TestAsleepWhileTheLeaderChanges(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	leader := leaderOf(t, c, c.Dial(0))
	at, other := (leader+1)%3, (leader+2)%3
	var clients []*nodetest.Client
	for range 4 {
		client := c.Dial(at)
		clients = append(clients, client)
		client.Send("BLPOP", "list", "0")
		blockedClients(t, c.Dial(at), len(clients))
		allAsleep(t) // it has its place
	}
	c.Stop(leader)
	admin := c.Dial(other)
	leads(t, admin)
	for i, client := range clients {
		if got := admin.Text("RPUSH", "list", strconv.Itoa(i)); !strings.HasPrefix(got, "(integer) ") {
			t.Fatalf("RPUSH: %s", got)
		}
		expect(t, client, `1) "list" 2) "`+strconv.Itoa(i)+`"`)
	}
}

// A node that stops, in order or not, ends the waiting of those who are asleep, and what
// they are told is true.
func TestNodeStopsWhileClientsAreAsleep(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(c *nodetest.Cluster){
		"in order": func(c *nodetest.Cluster) { c.Leave(0) },
		"at once":  func(c *nodetest.Cluster) { c.Stop(0) },
	} {
		t.Run(name, func(t *testing.T) {
			c := nodetest.Start(t, nodetest.Options{Nodes: 3})
			client := c.Dial(0)
			client.Send("BLPOP", "list", "0")
			blockedClients(t, c.Dial(0), 1)
			allAsleep(t)
			stop(c)
			told := "nothing"
			if v, err := client.Receive(); err == nil {
				told = v.FormatCLI()
			}
			if strings.HasPrefix(told, "1)") {
				t.Fatalf("it is answered %s", told)
			}
			admin := c.Dial(1)
			leads(t, admin)
			admin.Do("RPUSH", "list", "a")
			if got := admin.Text("LRANGE", "list", "0", "-1"); strings.Contains(told, "UNBLOCKED") && got != `1) "a"` {
				t.Errorf("told %q, and %s is left", told, got)
			}
		})
	}
}

// leaderOf returns which node leads.
func leaderOf(t *testing.T, c *nodetest.Cluster, admin *nodetest.Client) int {
	t.Helper()
	port := string(admin.Do("SENTINEL", "get-master-addr-by-name", "mymaster").Elems[1].Str)
	i := slices.IndexFunc([]int{0, 1, 2}, func(i int) bool { return strings.HasSuffix(c.Addr(i), ":"+port) })
	if i < 0 {
		t.Fatalf("no node has port %s", port)
	}
	return i
}

// leads waits until there is a leader again.
func leads(t *testing.T, admin *nodetest.Client) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); strings.HasPrefix(admin.Text("SET", "k", "v"), "(error) "); {
		if time.Now().After(end) {
			t.Fatal("there is no leader")
		}
	}
}

// Who is asleep while its slot goes to another shard waits there.
func TestAsleepWhileTheSlotMoves(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Shards: 2, Debug: true})
	admin := c.Dial(0)
	var clients []*nodetest.Client
	for range 3 {
		client := c.Dial(0)
		atALoop(t, client)
		clients = append(clients, client)
		client.Send("BLPOP", "b", "0") // slot 3300
		blockedClients(t, admin, len(clients))
	}
	allAsleep(t)
	for _, move := range [][]string{{"1", "0", "3000"}, {"2", "3000", "16384"}} {
		if got := admin.Text(append([]string{"DEBUG", "SLOTS"}, move...)...); got != "OK" {
			t.Fatal(got)
		}
	}
	admin.Do("RPUSH", "b", "0", "1", "2")
	got := map[string]bool{}
	for _, client := range clients {
		got[flat(t, client)] = true
	}
	for i := range clients {
		if want := `1) "b" 2) "` + strconv.Itoa(i) + `"`; !got[want] {
			t.Errorf("%s is missing in %v", want, got)
		}
	}
}
