package server_test

import (
	"crypto/sha1"
	"fmt"
	"testing"

	"tutti/internal/node/nodetest"
)

// Who goes soon after its command has begun to wait gives its turn away at once, however it
// is served: what is pushed a moment later stays. A busy machine may take longer to
// notice, so each has some tries; the patrol would take longer than all of one.
func TestWhoHasJustBegunToWaitIsWatched(t *testing.T) {
	t.Parallel()
	const tries, moment = 20, 100 // round trips of another client: milliseconds
	c := nodetest.Start(t, nodetest.Options{})
	admin := c.Dial(0)
	for name, prepare := range map[string]func(client *nodetest.Client){
		"at a loop":      func(client *nodetest.Client) { atALoop(t, client) },
		"new":            func(*nodetest.Client) {},
		"on a goroutine": func(client *nodetest.Client) { atALoop(t, client); client.Do("MULTI"); client.Do("EXEC") },
		"wants no reply": func(client *nodetest.Client) { client.Send("CLIENT", "REPLY", "SKIP") },
	} {
		t.Run(name, func(t *testing.T) {
			for range tries {
				admin.Do("DEL", "list")
				client := c.Dial(0)
				prepare(client)
				client.Send("BLPOP", "list", "0")
				blockedClients(t, admin, 1)
				client.Close()
				for range moment {
					admin.Do("PING")
				}
				admin.Do("RPUSH", "list", "a")
				blockedClients(t, admin, 0)
				if admin.Text("LLEN", "list") == "(integer) 1" {
					return
				}
			}
			t.Errorf("%d of %d elements were taken for who had gone %d round trips before", tries, tries, moment)
		})
	}
}

// Who goes while something is under way for it has nothing more sent to the shard, and
// nobody waits with an answer that it does not take: the node goes on for all others. Before
// EVALSHA the node sends the script that the client has only sent by EVAL.
func TestWhoGoesLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	const clients = 8
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	admin := c.Dial(0)
	var shas []string
	for i := range clients {
		script := fmt.Sprintf("return redis.call('INCR', KEYS[1]) + %d", i)
		admin.Do("EVAL", script, "1", "k")
		shas = append(shas, fmt.Sprintf("%x", sha1.Sum([]byte(script))))
	}
	c.Stop(1)
	c.Stop(2)
	for _, sha := range shas {
		client := c.Dial(0)
		client.Send("EVALSHA", sha, "1", "k")
		asked(t, admin, "cmd=evalsha", "CLIENT", "LIST") // it is read
		client.Close()
		asked(t, admin, "connected_clients:1\r\n", "INFO", "clients") // it is seen to have gone
	}
	c.Restart(1)
	c.Restart(2)
	if got := admin.Text("GET", "k"); got != fmt.Sprintf("%q", fmt.Sprint(clients)) {
		t.Errorf("k is %s: something was executed for who had gone", got)
	}
	for range 10 {
		if got := admin.Text("SET", "k", "1"); got != "OK" {
			t.Fatal(got)
		}
	}
}
