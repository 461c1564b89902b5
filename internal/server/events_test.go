package server_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"tutti/internal/node/nodetest"
	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

var record = flag.Bool("record", false, "have redis-server say which events commands bring, and write them down")

const eventsFile = "testdata/events.txt"

// watcher is a client that hears of everything that is done to keys.
type watcher struct {
	t   *testing.T
	sub *respclient.Conn
	do  *respclient.Conn
}

func newWatcher(t *testing.T, sub, do *respclient.Conn, classes string) *watcher {
	t.Helper()
	w := &watcher{t, sub, do}
	w.ask("CONFIG", "SET", "notify-keyspace-events", classes)
	if err := sub.Send([]string{"PSUBSCRIBE", "__key*@*__:*"}); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Receive(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watcher) ask(args ...string) resp.Value {
	w.t.Helper()
	v, err := w.do.Do(args...)
	if err != nil {
		w.t.Fatalf("%q: %v", args, err)
	}
	return v
}

// events runs a line and returns what is told then.
func (w *watcher) events(line string) string {
	w.t.Helper()
	w.ask(strings.Fields(line)...)
	return w.until("end-of-events")
}

// until returns what is told until a key is set that is called so.
func (w *watcher) until(key string) string {
	w.t.Helper()
	w.ask("SET", key, "")
	var list []string
	for {
		v, err := w.sub.Receive()
		if err != nil {
			w.t.Fatal(err)
		}
		channel, payload := string(v.Elems[2].Str), string(v.Elems[3].Str)
		if payload == key && strings.HasSuffix(channel, ":set") {
			return strings.Join(list, " ")
		}
		if strings.HasSuffix(channel, ":"+key) || payload == key {
			continue
		}
		list = append(list, channel+"="+payload)
	}
}

// TestEventsOfCommands compares what is told with what redis-server 7.0 tells: the
// file has a line for each command, and below it, indented, what is told then.
func TestEventsOfCommands(t *testing.T) {
	t.Parallel()
	var w *watcher
	if *record {
		w = newWatcher(t, startRedis(t), dialRedis(t), "KEAn")
	} else {
		c := nodetest.Start(t, nodetest.Options{})
		w = newWatcher(t, c.Dial(0).Conn, c.Dial(0).Conn, "KEAn")
	}
	f, err := os.Open(eventsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out strings.Builder
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		switch {
		case line == "" || line[0] == '#':
			fmt.Fprintln(&out, line)
			w.ask("FLUSHALL")
		case line[0] != '\t':
			fmt.Fprintln(&out, line)
			if got := w.events(line); got != "" {
				fmt.Fprintln(&out, "\t"+got)
			}
		}
	}
	if *record {
		if err := os.WriteFile(eventsFile, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(eventsFile)
	if err != nil {
		t.Fatal(err)
	}
	compareLines(t, out.String(), string(want))
}

func compareLines(t *testing.T, got, want string) {
	t.Helper()
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	line := ""
	for len(a) > 0 && len(b) > 0 {
		if a[0] == b[0] {
			if !strings.HasPrefix(a[0], "\t") {
				line = a[0]
			}
			a, b = a[1:], b[1:]
			continue
		}
		told, expected := "", ""
		if strings.HasPrefix(a[0], "\t") {
			told, a = a[0], a[1:]
		}
		if strings.HasPrefix(b[0], "\t") {
			expected, b = b[0], b[1:]
		}
		t.Errorf("%s tells\n%s\nnot\n%s", line, told, expected)
		if told == "" && expected == "" {
			return
		}
	}
}

const redisPort = "7908"

func startRedis(t *testing.T) *respclient.Conn {
	cmd := exec.Command("redis-server", "--port", redisPort, "--save", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return dialRedis(t)
}

func dialRedis(t *testing.T) *respclient.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+redisPort); err == nil {
			return respclient.New(conn)
		}
	}
	t.Fatal("no redis-server")
	return nil
}

// What a leader applies is told to whoever wants to know, on any node, once, and by
// any node's setting.
func TestEventsReachOtherNodes(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	var watchers [3]*watcher
	for i := range 3 {
		classes := ""
		if i == 1 {
			classes = "Eg$x"
		}
		watchers[i] = newWatcher(t, c.Dial(i).Conn, c.Dial((i+1)%3).Conn, "")
		if classes != "" {
			c.Dial(i).Do("CONFIG", "SET", "notify-keyspace-events", classes)
		}
	}
	do := c.Dial(2)
	for _, line := range []string{"SET a 1 PX 30", "LPUSH b 1", "DEL b", "INCR n"} {
		do.Do(strings.Fields(line)...)
	}
	for expired := false; !expired; {
		expired = do.Text("EXISTS", "a") == "(integer) 0"
	}
	do.Do("SET", "last", "")
	for i, w := range watchers {
		var got []string
		for len(got) == 0 || got[len(got)-1] != "__keyevent@0__:set=last" {
			v, err := w.sub.Receive()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(v.Elems[2].Str)+"="+string(v.Elems[3].Str))
		}
		// When a expires is up to the machine.
		rest := slices.DeleteFunc(slices.Clone(got), func(e string) bool { return e == "__keyevent@0__:expired=a" })
		want := "__keyevent@0__:set=a __keyevent@0__:expire=a __keyevent@0__:del=b __keyevent@0__:incrby=n __keyevent@0__:set=last"
		if strings.Join(rest, " ") != want || len(got) != len(rest)+1 {
			t.Errorf("node %d tells %s", i+1, got)
		}
	}
}

// What a transaction does is told when it is applied, and what is not applied never.
func TestEventsOfWhatIsApplied(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	w := newWatcher(t, c.Dial(0).Conn, c.Dial(0).Conn, "EA")
	client := c.Dial(0)
	client.Do("RPUSH", "l", "x")
	w.until("begin")
	client.Do("WATCH", "l")
	for _, line := range []string{"MULTI", "SET a 1", "INCR l", "LPOP l", "EXEC"} {
		client.Do(strings.Fields(line)...)
	}
	client.Do("WATCH", "a")
	c.Dial(0).Do("APPEND", "a", "x")
	for _, line := range []string{"MULTI", "SET a 2", "EXEC"} {
		client.Do(strings.Fields(line)...)
	}
	blocked := c.Dial(0)
	blocked.Send("BLPOP", "queue", "0")
	for waits := false; !waits; {
		waits = strings.Contains(client.Text("CLIENT", "LIST"), "flags=b")
	}
	client.Do("RPUSH", "queue", "1")
	const want = "__keyevent@0__:set=a __keyevent@0__:lpop=l __keyevent@0__:del=l __keyevent@0__:append=a __keyevent@0__:rpush=queue __keyevent@0__:lpop=queue __keyevent@0__:del=queue"
	if got := w.until("end"); got != want {
		t.Error(got)
	}
}
