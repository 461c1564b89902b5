package server_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tutti/internal/node/nodetest"
	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// replyMax is how long the client waits for what it must be told.
const replyMax = 20 * time.Second

const noLoopFile = "testdata/noloop.txt"

// scene is a client that tracks in some mode, and another one.
type scene struct {
	t     *testing.T
	mode  []string
	r, w  *respclient.Conn
	ear   *respclient.Conn // where it is told
	owed  int              // replies to what it was sent without waiting
	told  []string         // keys
	marks int
}

func newScene(t *testing.T, dial func() *respclient.Conn, mode string) *scene {
	s := &scene{t: t, mode: strings.Fields(mode), r: dial(), w: dial()}
	s.ear = s.r
	t.Cleanup(func() {
		s.r.Close()
		s.w.Close()
		s.ear.Close()
	})
	s.do(s.w, "FLUSHALL")
	s.do(s.r, "GET", "what was written before is here now")
	options := append([]string{"CLIENT", "TRACKING", "ON"}, s.mode...)
	if slices.Contains(s.mode, "REDIRECT") {
		s.ear = dial()
		s.do(s.ear, "HELLO", "3")
		options = append(options, fmt.Sprint(s.do(s.ear, "CLIENT", "ID").Int))
	} else {
		s.do(s.r, "HELLO", "3")
	}
	if v := s.do(s.r, options...); v.IsError() {
		t.Fatal(v.FormatCLI())
	}
	return s
}

func (s *scene) do(c *respclient.Conn, args ...string) resp.Value {
	s.t.Helper()
	if err := c.Send(args); err != nil {
		s.t.Fatal(err)
	}
	return s.reply(c)
}

// reply returns the next reply, and hears what is told before it.
func (s *scene) reply(c *respclient.Conn) resp.Value {
	s.t.Helper()
	for {
		v, err := c.Receive()
		if err != nil {
			s.t.Fatal(err)
		}
		if v.Kind != resp.KindPush {
			return v
		}
		s.hear(v)
	}
}

// read has the client read what it is to be told of.
func (s *scene) read(args ...string) {
	if slices.Contains(s.mode, "OPTIN") {
		s.do(s.r, "CLIENT", "CACHING", "YES")
	}
	s.do(s.r, args...)
}

// run runs a line and returns what the client is told then.
func (s *scene) run(line string) string {
	s.t.Helper()
	s.marks++
	mark := fmt.Sprint("mark", s.marks)
	who, commands, _ := strings.Cut(line, " ")
	c := map[byte]*respclient.Conn{'r': s.r, 'w': s.w}[who[0]]
	var cmds [][]string
	for cmd := range strings.SplitSeq(commands, " ; ") {
		if words := strings.Fields(cmd); c == s.r && slices.Contains(s.mode, "OPTIN") && slices.Contains([]string{"GET", "MGET", "LRANGE", "SMEMBERS", "EXISTS"}, words[0]) {
			cmds = append(cmds, []string{"CLIENT", "CACHING", "YES"}, words)
		} else {
			cmds = append(cmds, words)
		}
	}
	if who == "r+" {
		if err := c.Send(cmds...); err != nil {
			s.t.Fatal(err)
		}
		s.owed++
		return ""
	}
	s.told = nil
	for _, x := range []*respclient.Conn{s.r, s.w, s.ear} {
		_ = x.SetReadDeadline(time.Now().Add(replyMax))
	}
	if err := c.Send(cmds...); err != nil {
		s.t.Fatal(err)
	}
	for range cmds {
		if v := s.reply(c); v.IsError() {
			s.t.Fatalf("%s: %s", line, v.FormatCLI())
		}
	}
	for ; c == s.w && s.owed > 0; s.owed-- {
		s.reply(s.r) // it was served by that
	}
	s.do(s.r, "GET", "what has changed is heard of, here too")
	s.read("GET", mark)
	s.do(s.w, "SET", mark, "1")
	for !slices.Contains(s.told, mark) {
		v, err := s.ear.Receive()
		if err != nil {
			s.t.Fatalf("%v, %s: told of %q, and then %v", s.mode, line, s.told, err)
		}
		s.hear(v)
	}
	told := slices.DeleteFunc(s.told, func(key string) bool { return strings.HasPrefix(key, "mark") })
	slices.Sort(told)
	return strings.Join(slices.Compact(told), " ")
}

// hear takes what is told.
func (s *scene) hear(v resp.Value) {
	keys := v.Elems[len(v.Elems)-1]
	if keys.Null {
		s.told = append(s.told, "(all)")
	}
	for _, key := range keys.Elems {
		s.told = append(s.told, string(key.Str))
	}
}

// TestNoLoopAsRedis compares what clients are told in all modes with what redis-server 7.0
// tells. Where that is something else here the file says so in a second line.
func TestNoLoopAsRedis(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile(noLoopFile)
	if err != nil {
		t.Fatal(err)
	}
	if *record {
		startRedis(t)
		var out strings.Builder
		playNoLoop(t, func() *respclient.Conn { return dialRedis(t) }, string(script), func(lines []string, told string) {
			lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, tellsHere) })
			if told != "" {
				lines = slices.Insert(lines, 1, "\t"+told)
			}
			fmt.Fprintln(&out, strings.Join(lines, "\n"))
		})
		if err := os.WriteFile(noLoopFile, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	for node := range 3 {
		mode, began := "", time.Now()
		led := leadership{ask: c.Dial(node)}
		led.changed(t)
		playNoLoop(t, func() *respclient.Conn { return c.Dial(node).Conn }, string(script), func(lines []string, told string) {
			defer func() { began = time.Now() }()
			if strings.HasPrefix(lines[0], "#") {
				mode = lines[0]
			}
			want := ""
			for _, line := range lines[1:] {
				want = strings.TrimSpace(strings.TrimPrefix(line, tellsHere)) // the last one counts
			}
			if told != want && !(covers(told, want) && (time.Since(began) > resent || led.changed(t))) {
				t.Errorf("%s, node %d, %s: %q is told, not %q", mode, node+1, lines[0], told, want)
			}
		})
	}
}

// resent is after how long a node may have sent a group again, to a leader that has an
// answer by then. That says nothing of who has changed what, so the client is told.
const resent = 900 * time.Millisecond

// leadership notices that another term has begun: what a leader had under way then may be
// told to who has changed it himself. On a machine that is busy enough it happens.
type leadership struct {
	ask  *nodetest.Client
	term uint64
}

// changed reports whether there is another term than when it was called last.
func (l *leadership) changed(t *testing.T) bool {
	was := l.term
	l.term = why(t, l.ask, "k").Leader.Term
	return l.term != was
}

// covers reports whether of what was wanted all is told.
func covers(told, want string) bool {
	have := strings.Fields(told)
	return !slices.ContainsFunc(strings.Fields(want), func(key string) bool { return !slices.Contains(have, key) })
}

// tellsHere begins what is told here, if Redis tells something else.
const tellsHere = "\there:"

// playNoLoop calls each with every line, those below it, and what is told then.
func playNoLoop(t *testing.T, dial func() *respclient.Conn, script string, each func(lines []string, told string)) {
	var s *scene
	mode := ""
	all := strings.Split(strings.TrimSuffix(script, "\n"), "\n")
	for len(all) > 0 {
		n := 1
		for n < len(all) && strings.HasPrefix(all[n], "\t") {
			n++
		}
		lines := slices.Clone(all[:n])
		all = all[n:]
		told := ""
		switch m, is := strings.CutPrefix(lines[0], "# CLIENT TRACKING ON"); {
		case is:
			mode = m
		case lines[0] == "scene":
			s = newScene(t, dial, mode)
		case strings.HasPrefix(lines[0], "r"), strings.HasPrefix(lines[0], "w"):
			told = s.run(lines[0])
		}
		each(lines, told)
	}
}
