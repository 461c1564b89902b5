package server_test

import (
	"regexp"
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
)

var monitored = regexp.MustCompile(`^\d+\.\d{6} \[(\d+) [^ ]+:\d+\] (.*)$`)

// shown is what the next line says of a command: its database and its arguments.
func shown(t *testing.T, c *nodetest.Client) string {
	t.Helper()
	line := flat(t, c)
	parts := monitored.FindStringSubmatch(line)
	if parts == nil {
		t.Fatalf("no line of MONITOR: %s", line)
	}
	return parts[1] + " " + parts[2]
}

// Who monitors a node is shown what its clients have executed, in the order of each,
// wherever it was executed, but not what is refused or about the node itself.
func TestMonitor(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 2, Shards: 2})
	monitor, client, far := c.Dial(0), c.Dial(0), c.Dial(1)
	if got := monitor.Text("MONITOR"); got != "OK" {
		t.Fatal(got)
	}
	far.Do("SET", "far", "away")
	for _, cmd := range []string{
		"PING", "SET k 1", "GET k", "MSET {a} 1 {b} 2 {c} 3", "EVAL return{1} 0", "SELECT 2", "INCR n", "LPUSH l x", "BLPOP l 0",
		"NOSUCH", "GET", "CONFIG SET timeout 0", "AUTH word", "AUTH name word", "MULTI", "SET k 2", "ECHO x", "GET k", "EXEC", "MULTI", "GET", "EXEC", "PING end",
	} {
		client.Do(strings.Fields(cmd)...)
	}
	for _, want := range []string{
		`0 "PING"`, `0 "SET" "k" "1"`, `0 "GET" "k"`, `0 "MSET" "{a}" "1" "{b}" "2" "{c}" "3"`, `0 "EVAL" "return{1}" "0"`, `2 "SELECT" "2"`, `2 "INCR" "n"`, `2 "LPUSH" "l" "x"`,
		`2 "BLPOP" "l" "0"`, `2 "AUTH" "(redacted)"`, `2 "AUTH" "(redacted)" "(redacted)"`, `2 "MULTI"`, `2 "SET" "k" "2"`, `2 "ECHO" "x"`, `2 "GET" "k"`, `2 "EXEC"`,
		`2 "MULTI"`, `2 "EXEC"`, `2 "PING" "end"`,
	} {
		if got := shown(t, monitor); got != want {
			t.Fatalf("%s, not %s", got, want)
		}
	}
	if got := client.Text("CLIENT", "LIST"); strings.Count(got, " flags=O ") != 1 {
		t.Errorf("CLIENT LIST: %s", got)
	}
}

// RESET ends it: the lines before come before its reply, and nothing behind it.
func TestResetEndsMonitor(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	monitor, client := c.Dial(0), c.Dial(0)
	monitor.Do("MONITOR")
	client.Do("SET", "k", "v")
	monitor.Send("RESET")
	if got := shown(t, monitor); got != `0 "SET" "k" "v"` {
		t.Error(got)
	}
	expect(t, monitor, "RESET")
	client.Do("SET", "k", "w")
	if got := monitor.Text("PING"); got != "PONG" {
		t.Error(got)
	}
	if got := client.Text("CLIENT", "LIST"); strings.Contains(got, "flags=O") {
		t.Errorf("CLIENT LIST: %s", got)
	}
	if got := monitor.Text("MULTI") + monitor.Text("MONITOR") + monitor.Text("EXEC"); got != "OKQUEUED1) (error) ERR MONITOR isn't allowed for DENY BLOCKING client" {
		t.Error(got)
	}
}

// MONITOR takes a right, and who loses it is cut off.
func TestMonitorTakesARight(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	admin, client := c.Dial(0), c.Dial(0)
	admin.Do("ACL", "SETUSER", "u", "on", ">word", "~*", "+@all", "-@admin")
	client.Do("AUTH", "u", "word")
	if got := client.Text("MONITOR"); !strings.Contains(got, "NOPERM") {
		t.Fatal(got)
	}
	admin.Do("ACL", "SETUSER", "u", "+monitor")
	if got := client.Text("MONITOR"); got != "OK" {
		t.Fatal(got)
	}
	admin.Do("ACL", "SETUSER", "u", "-monitor")
	for {
		if _, err := client.Receive(); err != nil {
			break
		}
	}
}
