package server_test

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
)

// flat is the next thing that a client is sent, in one line.
func flat(t *testing.T, c *nodetest.Client) string {
	t.Helper()
	v, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(v.FormatCLI()), " ")
}

func expect(t *testing.T, c *nodetest.Client, want string) {
	t.Helper()
	if got := flat(t, c); got != want {
		t.Fatalf("%s, not %s", got, want)
	}
}

// Who has subscribed on one node is sent what is published after that on any.
func TestMessagesBetweenNodes(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	var subscribers, publishers [3]*nodetest.Client
	for i := range 3 {
		subscribers[i], publishers[i] = c.Dial(i), c.Dial(i)
	}
	for n := range 45 {
		sub, pub, channel := subscribers[n%3], publishers[n/3%3], fmt.Sprint("channel", n)
		sub.Do("SUBSCRIBE", channel)
		if got := publishers[(n+1)%3].Text("PUBSUB", "NUMSUB", channel); !strings.Contains(got, "(integer) 1") {
			t.Fatalf("round %d: %s", n, got)
		}
		if got := pub.Text("PUBLISH", channel, "hello"); got != "(integer) 1" {
			t.Fatalf("round %d: %s", n, got)
		}
		expect(t, sub, fmt.Sprintf(`1) "message" 2) "%s" 3) "hello"`, channel))
	}
	subscribers[0].Do("PSUBSCRIBE", "channel1?")
	if got := publishers[2].Text("PUBLISH", "channel10", "both"); got != "(integer) 2" {
		t.Fatal(got)
	}
	expect(t, subscribers[1], `1) "message" 2) "channel10" 3) "both"`)
	expect(t, subscribers[0], `1) "pmessage" 2) "channel1?" 3) "channel10" 4) "both"`)
	subscribers[1].Do("SSUBSCRIBE", "channel10")
	if got := publishers[0].Text("SPUBLISH", "channel10", "shard"); got != "(integer) 1" {
		t.Fatal(got)
	}
	expect(t, subscribers[1], `1) "smessage" 2) "channel10" 3) "shard"`)
}

// Messages of one connection come in the order in which it published them, through
// pipelines and transactions.
func TestMessagesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 2})
	far, near, pub := c.Dial(1), c.Dial(0), c.Dial(0)
	far.Do("SUBSCRIBE", "a", "b")
	expect(t, far, `1) "subscribe" 2) "b" 3) (integer) 2`)
	near.Do("PSUBSCRIBE", "*")
	const rounds = 200
	var cmds [][]string
	for n := range rounds {
		i := fmt.Sprint(n)
		cmds = append(cmds, []string{"PUBLISH", "a", i}, []string{"SET", "k", i}, []string{"MULTI"}, []string{"PUBLISH", "b", i}, []string{"INCR", "n"}, []string{"EXEC"})
	}
	replies, err := pub.Pipe(cmds...)
	if err != nil {
		t.Fatal(err)
	}
	for n := range rounds {
		if got := replies[6*n].FormatCLI(); got != "(integer) 2" {
			t.Fatal(got)
		}
		for _, channel := range []string{"a", "b"} {
			expect(t, far, fmt.Sprintf(`1) "message" 2) "%s" 3) "%d"`, channel, n))
			expect(t, near, fmt.Sprintf(`1) "pmessage" 2) "*" 3) "%s" 4) "%d"`, channel, n))
		}
	}
}

// A node that has just started publishes to those of whom it could not know a moment
// ago, and its own clients hear what others publish.
func TestMessagesOfANodeThatHasJustStarted(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	sub := c.Dial(0)
	sub.Do("SUBSCRIBE", "a")
	for n := range 3 {
		c.Stop(2)
		c.Restart(2)
		back := c.Dial(2)
		if got := back.Text("PUBLISH", "a", fmt.Sprint(n)); got != "(integer) 1" {
			t.Fatalf("start %d: %s", n, got)
		}
		expect(t, sub, fmt.Sprintf(`1) "message" 2) "a" 3) "%d"`, n))
		back.Do("SUBSCRIBE", "b")
		if got := c.Dial(1).Text("PUBLISH", "b", "x"); got != "(integer) 1" {
			t.Fatalf("start %d: %s", n, got)
		}
		expect(t, back, `1) "message" 2) "b" 3) "x"`)
	}
}

func TestMessagesInTransactions(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	client, other := c.Dial(0), c.Dial(0)
	client.Do("HELLO", "3")
	for _, line := range []string{"MULTI", "SUBSCRIBE b", "SSUBSCRIBE s", "PUBLISH b y", "INCR n"} {
		client.Do(strings.Fields(line)...)
	}
	const wants = `1) 1) "subscribe" 2) "b" 3) (integer) 1 2) (error) ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client 3) (integer) 1 4) (integer) 1`
	if got := strings.Join(strings.Fields(client.Text("EXEC")), " "); got != wants {
		t.Fatal(got)
	}
	expect(t, client, `1) "message" 2) "b" 3) "y"`)
	other.Do("WATCH", "n")
	other.Do("MULTI")
	other.Do("PUBLISH", "b", "never")
	client.Do("INCR", "n")
	other.Do("EXEC")
	other.Do("PUBLISH", "b", "last")
	expect(t, client, `1) "message" 2) "b" 3) "last"`)
}

func TestRightsToChannels(t *testing.T) {
	t.Parallel()
	const denied = "(error) NOPERM No permissions to access a channel"
	c := nodetest.Start(t, nodetest.Options{Nodes: 2})
	root, bob := c.Dial(0), c.Dial(1)
	root.Do("ACL", "SETUSER", "bob", "on", "nopass", "+@all", "~*", "resetchannels", "&news:*", "&l[ab]")
	bob.Do("AUTH", "bob", "x")
	for line, want := range map[string]string{
		"SUBSCRIBE foo":        denied,
		"SUBSCRIBE news:1 foo": denied,
		"PSUBSCRIBE news:1":    denied, // matches less than what is allowed, and is another pattern
		"PUBLISH foo x":        denied,
		"SPUBLISH foo x":       denied,
		"SSUBSCRIBE foo":       denied,
		"PUBLISH news:1 x":     "(integer) 0",
		"PUBLISH la x":         "(integer) 0",
		"PUBLISH l[ab] x":      denied,
		"UNSUBSCRIBE foo":      "1) \"unsubscribe\"\n2) \"foo\"\n3) (integer) 0",
	} {
		if got := bob.Text(strings.Fields(line)...); got != want {
			t.Errorf("%s: %s, not %s", line, got, want)
		}
	}
	if got := root.Text("ACL", "DRYRUN", "bob", "SUBSCRIBE", "foo"); got != `"User bob has no permissions to access the 'foo' channel"` {
		t.Error(got)
	}
	bob.Do("MULTI")
	bob.Do("PUBLISH", "news:1", "x")
	c.Dial(1).Do("ACL", "SETUSER", "bob", "resetchannels", "&other") // his node knows when it answers
	if got := bob.Text("EXEC"); !strings.Contains(got, "no permission to access one of the channels used as arguments to the command") {
		t.Error(got)
	}
	// Who listens to what his user may not hear any more is cut off, others are not.
	bob.Do("SUBSCRIBE", "other")
	root.Do("ACL", "SETUSER", "bob", "+get")
	root.Do("PUBLISH", "other", "x")
	expect(t, bob, `1) "message" 2) "other" 3) "x"`)
	root.Do("ACL", "SETUSER", "bob", "resetchannels")
	if v, err := bob.Receive(); err == nil {
		t.Errorf("still there: %s", v.FormatCLI())
	}
}

// A client that listens goes between its loop and a goroutine as others do.
func TestWhoListensIsServedByLoopsToo(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	sub, pub := c.Dial(0), c.Dial(0)
	settle(sub)
	sub.Do("SUBSCRIBE", "a")
	for n := range 30 {
		pub.Do("PUBLISH", "a", fmt.Sprint(n))
		expect(t, sub, fmt.Sprintf(`1) "message" 2) "a" 3) "%d"`, n))
		if got := strings.Join(strings.Fields(sub.Text("PING")), " "); got != `1) "pong" 2) ""` {
			t.Fatal(got)
		}
	}
	if got := sub.Text("GET", "k"); !strings.HasPrefix(got, "(error) ERR Can't execute 'get'") {
		t.Error(got)
	}
	if got := pub.Text("CLIENT", "LIST", "TYPE", "pubsub"); !strings.Contains(got, " flags=P ") || !strings.Contains(got, " sub=1 psub=0 ssub=0 ") {
		t.Error(got)
	}
}
