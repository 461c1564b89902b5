package server_test

import (
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
)

// say sends one command, whose words may be quoted by ', and returns the reply as
// redis-cli prints it.
func say(t *testing.T, c *nodetest.Client, line string) string {
	t.Helper()
	if err := c.Conn.Send(wordsOf(line)); err != nil {
		return "closed"
	}
	v, err := c.Receive()
	if err != nil {
		return "closed"
	}
	return strings.TrimSpace(v.FormatCLI())
}

func wordsOf(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// conversation is lines of a client and what it is answered.
type conversation []struct{ client, line, want string }

func (conv conversation) run(t *testing.T, cluster *nodetest.Cluster, at map[string]int) {
	t.Helper()
	clients := map[string]*nodetest.Client{}
	for _, step := range conv {
		if clients[step.client] == nil {
			clients[step.client] = cluster.Dial(at[step.client])
		}
		if got := say(t, clients[step.client], step.line); got != step.want {
			t.Errorf("%s: %s\n got %s\nwant %s", step.client, step.line, got, step.want)
		}
	}
}

// TestUsersEverywhere changes users through one node and looks at once at what the
// others make of it.
func TestUsersEverywhere(t *testing.T) {
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{Nodes: 3, Shards: 2})
	root, bob := cluster.Dial(0), []*nodetest.Client{cluster.Dial(1), cluster.Dial(2)}
	conv := func(c *nodetest.Client, line, want string) {
		t.Helper()
		if got := say(t, c, line); got != want {
			t.Fatalf("%s\n got %s\nwant %s", line, got, want)
		}
	}
	conv(root, "ACL SETUSER bob on nopass ~* +@all", "OK")
	conv(root, "SET a x", "OK")
	for _, c := range bob {
		conv(c, "AUTH bob x", "OK")
	}
	noGet, noSet := "(error) NOPERM User bob has no permissions to run the 'get' command", "(error) NOPERM User bob has no permissions to run the 'set' command"
	for i := range 30 {
		c, other := bob[i%2], bob[1-i%2]
		conv(root, "ACL SETUSER bob -get", "OK")
		conv(c, "GET a", noGet) // a view here
		conv(other, "GET b", noGet)
		conv(root, "ACL SETUSER bob +get -set", "OK")
		conv(c, "SET a y", noSet) // the shard's leader
		conv(other, "GET a", `"x"`)
		conv(root, "ACL SETUSER bob +set", "OK")
		conv(c, "SET b y", "OK")
		conv(root, "ACL SETUSER bob resetkeys", "OK")
		conv(other, "GET a", noKey)
		conv(c, "SET a y", noKey)
		conv(root, "ACL SETUSER bob allkeys", "OK")
		conv(other, "MULTI", "OK")
		conv(other, "SET a z", "QUEUED")
		conv(root, "ACL SETUSER bob -set", "OK")
		conv(other, "EXEC", "1) (error) NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. "+
			"This command is no longer allowed for the following reason: no permission to execute the command or subcommand")
		conv(root, "ACL SETUSER bob +set", "OK")
	}
	for i := range 10 {
		c := cluster.Dial(1 + i%2)
		conv(root, "ACL SETUSER bob resetpass #148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940", "OK")
		conv(c, "AUTH bob x", wrongPass)
		conv(c, "AUTH bob p", "OK")
		conv(root, "ACL DELUSER bob", "(integer) 1")
		conv(c, "GET a", "closed")
		conv(root, "ACL SETUSER bob on nopass ~* +@all", "OK")
	}
}

// TestUsersEverywhereWithoutAShard takes rights to what nodes answer by themselves, where
// no shard refuses what was let in by older ones.
func TestUsersEverywhereWithoutAShard(t *testing.T) {
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{Nodes: 3})
	root, late := cluster.Dial(0), 0
	lines := []string{"CONFIG GET maxclients", "CONFIG SET slowlog-max-len 128", "CLIENT LIST", "PUBLISH ch m", "SUBSCRIBE ch", "SLOWLOG LEN", "INFO server", "TUTTI.MAP", "PING"}
	for i := range 12 * len(lines) {
		words := strings.Fields(lines[i%len(lines)])
		name := strings.ToLower(words[0])
		if got := say(t, root, "ACL SETUSER eve reset on nopass ~* &* +@all"); got != "OK" {
			t.Fatal(got)
		}
		var eves []*nodetest.Client
		for at := 1; at < 3; at++ {
			eve := cluster.Dial(at)
			if got := say(t, eve, "AUTH eve x"); got != "OK" {
				t.Fatal(got)
			}
			eves = append(eves, eve)
		}
		change, want := "ACL SETUSER eve -"+name, "(error) NOPERM"
		if i%3 == 0 {
			change, want = "ACL DELUSER eve", "closed"
		}
		if got := say(t, root, change); strings.HasPrefix(got, "(error)") {
			t.Fatal(got)
		}
		for at, eve := range eves {
			if got := say(t, eve, lines[i%len(lines)]); !strings.HasPrefix(got, want) {
				late++
				t.Errorf("%s behind %s at node %d: %s", lines[i%len(lines)], change, at+2, got)
			}
			eve.Close()
		}
	}
	t.Logf("%d of %d went by older rights", late, 24*len(lines))
}

const (
	noAuth    = "(error) NOAUTH Authentication required."
	noKey     = "(error) NOPERM No permissions to access a key"
	wrongPass = "(error) WRONGPASS invalid username-password pair or user is disabled."
)

func TestUsers(t *testing.T) {
	t.Parallel()
	conversation{
		{"root", "ACL WHOAMI", `"default"`},
		{"root", "SET app:1 x", "OK"},
		{"root", "SET other x", "OK"},
		{"root", "ACL SETUSER bob on >secret ~app:* +get +set +multi +exec", "OK"},
		{"bob", "AUTH bob wrong", wrongPass},
		{"bob", "AUTH nobody secret", wrongPass},
		{"bob", "AUTH bob secret", "OK"},
		{"bob", "ACL WHOAMI", "(error) NOPERM User bob has no permissions to run the 'acl|whoami' command"},
		{"bob", "GET app:1", `"x"`},
		{"bob", "GET other", noKey},
		{"bob", "DEL app:1", "(error) NOPERM User bob has no permissions to run the 'del' command"},
		{"bob", "MULTI", "OK"},
		{"bob", "SET other y", noKey},
		{"bob", "EXEC", "(error) EXECABORT Transaction discarded because of previous errors."},
		{"bob", "MULTI", "OK"},
		{"bob", "SET app:1 y", "QUEUED"},
		{"bob", "GET app:1", "QUEUED"},
		{"root", "ACL SETUSER bob -set", "OK"},
		{"bob", "EXEC", "1) (error) NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. " +
			"This command is no longer allowed for the following reason: no permission to execute the command or subcommand\n2) \"x\""},
		{"root", "ACL SETUSER bob nopass", "OK"},
		{"any", "AUTH bob whatever", "OK"},
		{"root", "ACL DELUSER bob nobody", "(integer) 1"},
		{"bob", "GET app:1", "closed"},
		{"any", "GET app:1", "closed"},
		{"root", "ACL SETUSER default >pw", "OK"},
		{"root", "GET other", `"x"`},
		{"new", "GET other", noAuth},
		{"new", "HELLO 3", "(error) NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"},
		{"new", "AUTH pw", "OK"},
		{"new", "GET other", `"x"`},
		{"new", "RESET", "RESET"},
		{"new", "GET other", noAuth},
		{"new", "QUIT", "OK"},
	}.run(t, nodetest.Start(t, nodetest.Options{}), nil)
}

// Nobody slips a command in whom the right to run commands was not given, nor forges
// what one has answered.
func TestRunQueuesTakeTheRightToRun(t *testing.T) {
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{})
	root := cluster.Dial(0)
	for _, user := range []string{"worker on nopass ~* +@all -@exec", "runner on nopass ~run-* +@task +@exec +auth +multi +exec", "tasker on nopass ~* +@task +multi +exec +auth"} {
		if got := root.Text(append([]string{"ACL", "SETUSER"}, strings.Fields(user)...)...); got != "OK" {
			t.Fatal(user, got)
		}
	}
	id := string(root.Do("TASK.ADD", "run-x", "work").Str)
	token := string(root.Do("TASK.CLAIM", "w", "FROM", "run-x").Elems[0].Elems[1].Str)
	for _, name := range []string{"worker", "tasker"} {
		c := cluster.Dial(0)
		c.Do("AUTH", name, "x")
		for _, line := range []string{"TASK.ADD run-x rm", "TASK.ADD run-places rm", "TASK.ADD run-x COUNT 2 a b", "TASK.CLAIM w FROM mail run-x", "TASK.DONE " + id + " " + token + " forged",
			"TASK.FAIL " + id + " " + token + " forged", "TASK.CANCEL " + id, "TASK.RETRY " + id, "TASK.BEAT w " + id + " 1 m", "TASK.QUEUE run-x PAUSE", "TUTTI.RUNNERS"} {
			got := errorOf(t, c, strings.Fields(line)...)
			if !strings.HasPrefix(got, "NOPERM User "+name+" has no ") || !strings.HasSuffix(got, "@exec") && line != "TUTTI.RUNNERS" {
				t.Errorf("%s: %s: %q", name, line, got)
			}
			errorOf(t, c, "MULTI")
			if got := errorOf(t, c, strings.Fields(line)...); !strings.HasPrefix(got, "NOPERM") {
				t.Errorf("%s in MULTI: %s: %q", name, line, got)
			}
			errorOf(t, c, "EXEC")
			if got := root.Text(append([]string{"ACL", "DRYRUN", name}, strings.Fields(line)...)...); !strings.Contains(got, "has no ") {
				t.Errorf("%s: dry run of %s: %q", name, line, got)
			}
		}
		for _, line := range []string{"TASK.GET " + id, "TASK.LIST run-x", "TASK.QUEUE run-x", "TASK.ADD running work", "TASK.BEAT w"} {
			if got := errorOf(t, c, strings.Fields(line)...); got != "" {
				t.Errorf("%s: %s: %q", name, line, got)
			}
		}
	}
	c := cluster.Dial(0)
	c.Do("AUTH", "runner", "x")
	for _, line := range []string{"TUTTI.RUNNERS", "TASK.ADD run-x work", "TASK.DONE " + id + " " + token + " right"} {
		if got := errorOf(t, c, strings.Fields(line)...); got != "" {
			t.Errorf("%s: %q", line, got)
		}
	}
}
