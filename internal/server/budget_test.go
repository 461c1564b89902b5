package server_test

import (
	"strconv"
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
)

const mebibyte = 1 << 20

// holds is what all clients make the node hold.
func holds(t *testing.T, c *nodetest.Client) int {
	t.Helper()
	n, err := strconv.Atoi(infoField(t, c, "memory", "mem_clients_normal"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Queues of MULTI fit into a bound of all clients together: beyond it the newest is
// refused, and what was queued is given back when its transaction ends, however it ends.
func TestQueuesOfAllClientsFitTheBudget(t *testing.T) {
	cluster := nodetest.Start(t, nodetest.Options{})
	c := cluster.Dial(0)
	c.Text("CONFIG", "SET", "maxmemory-clients", "16mb")
	value := strings.Repeat("x", mebibyte)
	open := func() *nodetest.Client {
		m := cluster.Dial(0)
		m.Text("MULTI")
		return m
	}
	var full []*nodetest.Client
	for range 3 {
		m := open()
		if got := m.Text("SET", "k", value); got != "QUEUED" {
			t.Fatalf("%.200s", got)
		}
		full = append(full, m)
	}
	for holds(t, c) > 3*mebibyte { // a command counts until its answer is sent
		c.Text("PING")
	}
	c.Text("CONFIG", "SET", "maxmemory-clients", "3mb")
	last, got := open(), "QUEUED"
	for n := 0; got == "QUEUED" && n < 10; n++ { // each small enough to be received anyway
		got = last.Text("SET", "k", value[:60<<10])
	}
	if !strings.HasPrefix(got, "(error) BUSY ") || !strings.Contains(got, "Not applied") {
		t.Errorf("%.200s", got)
	}
	if got := last.Text("PING"); got != "QUEUED" {
		t.Error(got)
	}
	if got := last.Text("EXEC"); !strings.HasPrefix(got, "(error) EXECABORT ") {
		t.Error(got)
	}
	if got := full[0].Text("EXEC"); got != "1) OK" {
		t.Error(got)
	}
	full[1].Text("DISCARD")
	full[2].Text("RESET")
	m := open()
	if got := m.Text("SET", "k", value); got != "QUEUED" {
		t.Fatalf("%.200s", got)
	}
	m.Close()
	for holds(t, c) != 0 { // until the node notices that the client has gone
		c.Text("PING")
	}
}

// Very many small commands count with what they take beside their bytes.
func TestSmallQueuedCommandsFitTheBudget(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{}).Dial(0)
	c.Text("CONFIG", "SET", "maxmemory-clients", "1mb")
	c.Text("MULTI")
	for i := range 10_000 { // 40 kB of arguments
		if got := c.Text("PING"); got != "QUEUED" {
			if i < 2000 || !strings.HasPrefix(got, "(error) BUSY ") {
				t.Errorf("command %d: %s", i, got)
			}
			return
		}
	}
	t.Error("10,000 commands fit into 1 MiB")
}

// A command that is too large while another has arrived in part is refused with its
// reason, those before it are executed, and the other one goes on.
func TestCommandsThatHaveNotComeWholeFitTheBudget(t *testing.T) {
	cluster := nodetest.Start(t, nodetest.Options{})
	c := cluster.Dial(0)
	c.Text("CONFIG", "SET", "maxmemory-clients", "6mb")
	half, value := cluster.Dial(0), strings.Repeat("x", 3*mebibyte)
	write := func(to *nodetest.Client, text string) {
		t.Helper()
		if _, err := to.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write(half, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3145728\r\n"+value[:2*mebibyte])
	for holds(t, c) < 3*mebibyte/2 { // until the node has most of it
		c.Text("PING")
	}
	other := cluster.Dial(0)
	other.Send("SET", "before", "1")
	write(other, "*3\r\n$3\r\nSET\r\n$2\r\nk2\r\n$8388608\r\n"+value+value)
	if got, err := other.Receive(); err != nil || got.FormatCLI() != "OK" {
		t.Fatal(got.FormatCLI(), err)
	}
	if got, err := other.Receive(); err != nil || !strings.HasPrefix(got.FormatCLI(), "(error) BUSY ") || !strings.Contains(got.FormatCLI(), "Not applied") {
		t.Fatal(got.FormatCLI(), err)
	}
	if _, err := other.Receive(); err == nil {
		t.Error("the connection is still open")
	}
	write(half, value[2*mebibyte:]+"\r\n")
	if got, err := half.Receive(); err != nil || got.FormatCLI() != "OK" {
		t.Error(got.FormatCLI(), err)
	}
	if got := c.Text("EXISTS", "k", "k2", "before"); got != "(integer) 2" {
		t.Error(got)
	}
	for holds(t, c) != 0 {
		c.Text("PING")
	}
}

// A large reply for which there is no room is replaced by an error; small ones, and
// those of writes, are not.
func TestRepliesFitTheBudget(t *testing.T) {
	cluster := nodetest.Start(t, nodetest.Options{})
	c := cluster.Dial(0)
	c.Text("SET", "large", strings.Repeat("x", 2*mebibyte))
	c.Text("SET", "small", "v")
	c.Text("CONFIG", "SET", "maxmemory-clients", "1mb")
	if got := c.Text("GET", "large"); !strings.HasPrefix(got, "(error) BUSY ") {
		t.Errorf("%.100s", got)
	}
	if got := c.Text("GET", "small"); got != `"v"` {
		t.Error(got)
	}
	if got := c.Text("GETDEL", "large"); !strings.HasPrefix(got, "(error) BUSY ") || !strings.Contains(got, "Not applied") {
		t.Errorf("%.100s", got)
	}
	c.Text("CONFIG", "SET", "maxmemory-clients", "4mb")
	if got := c.Text("GETDEL", "large"); len(got) != 2*mebibyte+2 {
		t.Errorf("%.100s", got)
	}
	for holds(t, c) != 0 {
		c.Text("PING")
	}
}

// Clients that ask for more than there is memory for, and read nothing, have the node hold
// no more than that: what is refused was not made, whatever makes it. Meanwhile others go
// on, and what was promised comes whole.
func TestRepliesOfSlowReadersFitTheBudget(t *testing.T) {
	const clients, most = 12, 8 * mebibyte
	cluster := nodetest.Start(t, nodetest.Options{})
	c := cluster.Dial(0)
	value := strings.Repeat("x", 2*mebibyte)
	c.Text("SET", "large", value)
	for range 32 {
		c.Text("RPUSH", "list", value[:64<<10])
	}
	c.Text("CONFIG", "SET", "maxmemory-clients", strconv.Itoa(most))
	slow := make([]*nodetest.Client, clients)
	for i := range slow {
		slow[i] = cluster.Dial(0)
		for _, command := range [][]string{{"GET", "large"}, {"LRANGE", "list", "0", "-1"}, {"MULTI"}, {"GET", "large"}, {"EXEC"}, {"PING"}} {
			slow[i].Send(command...)
		}
	}
	for range 300 {
		if got := holds(t, c); got > most {
			t.Fatal("the node holds", got)
		}
	}
	whole, refused := 0, 0
	for _, s := range slow {
		for i := range 6 {
			got, err := s.Receive()
			if err != nil {
				t.Fatal(err)
			}
			switch text := got.FormatCLI(); {
			case i == 2 && text == "OK" || i == 3 && text == "QUEUED" || i == 5 && text == "PONG":
			case strings.Contains(text, "(error) BUSY ") && len(text) < 1000:
				refused++
			case len(text) > 2*mebibyte && i != 2 && i != 3 && i != 5:
				whole++
			default:
				t.Errorf("reply %d: %.200s", i, text)
			}
		}
	}
	if whole+refused != 3*clients || whole < 2 {
		t.Error(whole, "were answered,", refused, "refused")
	}
	for holds(t, c) != 0 {
		c.Text("PING")
	}
}
