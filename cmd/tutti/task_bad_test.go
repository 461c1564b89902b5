package main

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tutti/internal/resp"
	"tutti/internal/runner"
)

// talk is a connection of a test that says what it likes.
type talk struct {
	t    *testing.T
	conn *respConn
}

func (c devCluster) talk(t *testing.T) talk {
	t.Helper()
	conn, err := dialRESP(c.addr(0), dialTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return talk{t, conn}
}

func (s talk) do(args ...string) resp.Value {
	s.t.Helper()
	v, err := s.conn.do(30*time.Second, args...)
	if err != nil {
		s.t.Fatalf("%.60q: %v", args, err)
	}
	return v
}

// wants says something, and looks for a text in the answer.
func (s talk) wants(want string, args ...string) {
	s.t.Helper()
	v := s.do(args...)
	if got := v.FormatCLI(); !strings.Contains(got, want) {
		s.t.Errorf("%.60q: %.200s, want %s", args, got, want)
	}
}

// Whatever is said that is wrong is answered so, or without effect: no task is added,
// none is lost, none ends twice, and nothing is run.
func TestBadInputOfTasks(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 1, "--allow-exec=1")
	s, other := c.talk(t), c.talk(t)
	id := string(s.do("TASK.ADD", "q", "work", "RETRY", "0").Str)
	s.wants("ERR a payload has at most 1 MiB", "TASK.ADD", "q", strings.Repeat("x", 1<<20+1))
	s.wants("ERR syntax error", "TASK.ADD", "q", "p", "SOON")
	s.wants("ERR syntax error", "TASK.QUEUE", "q", "SPEED", "3")
	s.wants("ERR unknown command", "TASK.STEAL", id)
	s.wants("(nil)", "TASK.CLAIM", "ada", "FROM", "no-such-queue")
	s.wants("is not the id of a task", "TASK.GET", "work")

	// Nobody finishes what is not theirs, not even under the name of who has it.
	token := string(s.do("TASK.CLAIM", "ada", "LEASE", "60000", "FROM", "q").Elems[0].Elems[1].Str)
	n, err := strconv.ParseUint(token, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	other.wants("(nil)", "TASK.CLAIM", "ada", "FROM", "q")
	other.do("TASK.BEAT", "ada")
	other.wants("(integer) 0", "TASK.DONE", id, strconv.FormatUint(n+1, 10), "stolen")
	other.wants("(integer) 0", "TASK.FAIL", id, strconv.FormatUint(n-1, 10), "broken")
	other.wants("ERR the token must be", "TASK.DONE", id, "ada", "stolen")
	s.wants("(integer) 1", "TASK.DONE", id, token, "right")
	s.wants("(integer) 1", "TASK.DONE", id, token, "twice") // it may be an answer that was lost
	s.wants("(integer) 0", "TASK.FAIL", id, token, "late")
	if got := string(fieldOf(s.do("TASK.GET", id), "result").Str); got != "right" {
		t.Errorf("its result is %q", got)
	}

	// What is to be done after a task that is not there ends, and says why.
	gone := string(s.do("TASK.ADD", "q", "short", "KEEP", "1").Str)
	token = string(s.do("TASK.CLAIM", "ada", "FROM", "q").Elems[0].Elems[1].Str)
	s.wants("(integer) 1", "TASK.DONE", gone, token, "r")
	eventually(t, func() error {
		if !s.do("TASK.GET", gone).Null {
			return errors.New("it is still kept")
		}
		return nil
	})
	for _, parent := range []string{gone, id + "zz"} {
		child := string(s.do("TASK.ADD", "q", "child", "AFTER", "1", parent).Str)
		if v := s.do("TASK.GET", child); string(fieldOf(v, "state").Str) != "cancelled" && string(fieldOf(v, "state").Str) != "dead" || !strings.Contains(v.FormatCLI(), "there is no such task, or it is not kept any more") {
			t.Errorf("after %s: %s", parent, v.FormatCLI())
		}
	}
	q := s.do("TASK.QUEUE", "q")
	if added, left := fieldOf(q, "total-added").Int, unended(q); added != 4 || left != 0 {
		t.Errorf("%d tasks were added, want 4; %d have not ended", added, left)
	}

	// Commands are run for those only who may have them run, and output has an end.
	s.do("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-@exec")
	other.wants("OK", "AUTH", "bob", "pw")
	for _, args := range [][]string{
		{"TASK.ADD", runner.Places, `{"version":1,"run":"run-x"}`}, {"TASK.ADD", "run-x", `{"version":1,"argv":["id"]}`},
		{"TASK.CLAIM", "node-1/1.1", "FROM", "run-x"}, {"TASK.QUEUE", "run-x", "PAUSE"}, {"TUTTI.RUNNERS"},
	} {
		other.wants("NOPERM", args...)
	}
	r := c.onNodes(t, "", "--timeout", "3s", "--", "yes", ":::", "1")
	if r.wants(t, 1, "command 1: killed after 3s", "more bytes of its output were not kept"); len(r.out) != runner.StdoutMax {
		t.Errorf("%d bytes of its output were kept", len(r.out))
	}
	for _, args := range [][]string{{"show", "run-X"}, {"attach", "run-X"}, {"cancel", "q"}, {"resume", "run-places"}} {
		if r := tutti(t, "", append(append([]string{"job"}, args...), "--addr", c.addr(0))...); r.code == 0 || !strings.Contains(r.errors, "there is no job") {
			t.Errorf("%q: %+v", args, r)
		}
	}
}
