package server_test

import (
	"testing"

	"tutti/internal/node/nodetest"
)

// Who goes soon after its command has begun to wait gives its turn away at once, however it
// is served: what is pushed a moment later stays. A busy machine may take longer to
// notice, so each has some tries; the patrol would take longer than all of one.
func TestWhoHasJustBegunToWaitIsWatched(t *testing.T) {
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
