package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tutti/internal/resp"
)

func TestSplitLine(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string // nil: invalid
	}{
		{"", []string{}},
		{"  \t ", []string{}},
		{"GET a", []string{"GET", "a"}},
		{"  SET  a   b  \r\n", []string{"SET", "a", "b"}},
		{`SET a "b c"`, []string{"SET", "a", "b c"}},
		{`SET a 'it\'s \n'`, []string{"SET", "a", `it's \n`}},
		{`SET a "\x41\n\t\"\\"`, []string{"SET", "a", "A\n\t\"\\"}},
		{`SET a ""`, []string{"SET", "a", ""}},
		{"*3", []string{"*3"}},
		{"SET ключ 值", []string{"SET", "ключ", "值"}},
		{`SET a "b`, nil},
		{`SET a "b"c`, nil},
		{`SET a 'b`, nil},
		{"SET a\x00b", nil},
	} {
		got, err := splitLine(tt.line)
		if (err != nil) != (tt.want == nil) || !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, %v", tt.line, got, err)
		}
	}
}

func FuzzSplitLine(f *testing.F) {
	for _, s := range []string{`SET a "b c"`, `'\''`, `"\x4`, "*1\r\n$1\r\na"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args, err := splitLine(line)
		if err != nil && args != nil {
			t.Errorf("%q: both %q and %v", line, args, err)
		}
	})
}

func TestAnswerCode(t *testing.T) {
	for text, want := range map[string]int{
		"ERR syntax error":    exitFailed,
		"WRONGTYPE Operation": exitFailed,
		"CLUSTERDOWN shard 1 has had no leader for 5s. Not applied, safe to retry.":                        exitUnavailable,
		"BUSY shard 1 has too much waiting. Not applied, safe to retry.":                                   exitUnavailable,
		"CLUSTERDOWN this node is stopping. The write may or may not have been applied. Ask another node.": exitUnknown,
		"UNCERTAIN the leader of shard 1 left before answering.":                                           exitUnknown,
		"UNCERTAINTY":                     exitFailed,
		"NOAUTH Authentication required.": exitNoLogin,
		"NOPERM User app has no permissions to run the 'flushall' command": exitNoLogin,
	} {
		if got := answerCode(text); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

// wire is an answer as it comes.
func wire(t *testing.T, text string) resp.Value {
	t.Helper()
	v, err := resp.ReadValue(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPrint(t *testing.T) {
	for _, tt := range []struct{ wire, cli, raw, json string }{
		{"+OK\r\n", "OK", "OK", `"OK"`},
		{":7\r\n", "(integer) 7", "7", "7"},
		{"$3\r\na\"b\r\n", `"a\"b"`, `a"b`, `"a\"b"`},
		{"$-1\r\n", "(nil)", "", "null"},
		{"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "1) \"a\"\n2) 1) (integer) 1", "a\n1", `["a",[1]]`},
		{"*0\r\n", "(empty array)", "", "[]"},
		{"%1\r\n$1\r\nk\r\n,1.5\r\n", "1# \"k\" => (double) 1.5", "k\n1.5", `{"k":1.5}`},
		{"#t\r\n", "(true)", "true", "true"},
		{",inf\r\n", "(double) inf", "inf", `"inf"`},
		{"(123456789012345678901\r\n", "123456789012345678901", "123456789012345678901", "123456789012345678901"},
	} {
		v := wire(t, tt.wire)
		for _, p := range []struct {
			printer
			want string
		}{{printer{}, tt.cli}, {printer{raw: true}, tt.raw}, {printer{json: true}, tt.json}} {
			var out bytes.Buffer
			p.out = &out
			if err := p.print(v); err != nil || out.String() != p.want+"\n" {
				t.Errorf("%q raw=%v json=%v: got %q, %v; want %q", tt.wire, p.raw, p.json, out.String(), err, p.want)
			}
		}
	}
	var out, errs bytes.Buffer
	err := printer{raw: true, out: &out, errors: &errs}.print(wire(t, "-ERR no\r\n"))
	if e, ok := errors.AsType[*exitError](err); !ok || e.code != exitFailed || out.Len() > 0 || errs.String() != "(error) ERR no\n" {
		t.Errorf("error: got %v, %q, %q", err, out.String(), errs.String())
	}
}

func TestPromptFollowsTheConnection(t *testing.T) {
	s := newSession(target{addr: "h:1"}, false)
	s.conn = &respConn{}
	for _, step := range []struct{ command, answer, prompt string }{
		{"SELECT 3", "+OK\r\n", "h:1[3]> "},
		{"SELECT 99", "-ERR DB index is out of range\r\n", "h:1[3]> "},
		{"MULTI", "+OK\r\n", "h:1[3](TX)> "},
		{"GET a", "+QUEUED\r\n", "h:1[3](TX)> "},
		{"EXEC", "*0\r\n", "h:1[3]> "},
		{"multi", "+OK\r\n", "h:1[3](TX)> "},
		{"BAD", "-ERR unknown command\r\n", "h:1[3](TX)> "},
		{"EXEC", "-EXECABORT\r\n", "h:1[3]> "},
		{"RESET", "+RESET\r\n", "h:1> "},
	} {
		s.follow(strings.Fields(step.command), wire(t, step.answer))
		if got := s.prompt(); got != step.prompt {
			t.Errorf("after %s: prompt %q, want %q", step.command, got, step.prompt)
		}
	}
	s.conn = nil
	if got := s.prompt(); got != "not connected> " {
		t.Errorf("got %q", got)
	}
}

// A lost answer to a write is an unknown outcome; to a read it is not.
func TestCommandsThatMayHaveWritten(t *testing.T) {
	s := newSession(target{addr: "h:1"}, false)
	for command, want := range map[string]bool{"GET a": false, "set a b": true, "NOSUCH": true, "EXEC": false, "FLUSHALL": true, "ping": false,
		"EVAL s 0": true, "EVAL_RO s 0": false, "FCALL f 0": true, "PUBLISH c m": true, "SUBSCRIBE c": false, "ACL DELUSER app": true, "ACL LIST": false,
		"TUTTI.CERT RENEW": true, "TUTTI.CERT LIST": false, "TUTTI.MAP": false, "TUTTI.STATUS": false, "CONFIG SET maxclients 5": true, "CONFIG GET maxclients": false, "INFO": false} {
		if got := s.mayWrite(strings.Fields(command)); got != want {
			t.Errorf("%s: got %v", command, got)
		}
	}
	queued, ok := wire(t, "+QUEUED\r\n"), wire(t, "+OK\r\n")
	s.follow([]string{"MULTI"}, ok)
	s.follow([]string{"GET", "a"}, queued)
	if s.mayWrite([]string{"EXEC"}) {
		t.Error("a transaction that only reads may write")
	}
	s.follow([]string{"SET", "a", "b"}, queued)
	if s.mayWrite([]string{"SET", "a", "b"}) || !s.mayWrite([]string{"EXEC"}) {
		t.Error("in MULTI, EXEC is what writes")
	}
}

func TestComplete(t *testing.T) {
	s := newSession(target{addr: "h:1"}, false)
	for line, want := range map[string]string{"getd": "GETDEL ", "zrangebys": "ZRANGEBYSCORE ", "nosuch": "nosuch", "": "", "GET a": "GET a"} {
		if got, pos, ok := s.complete(line, len(line), '\t'); !ok || got != want || pos != len(got) {
			t.Errorf("%q: got %q, %d, %v; want %q", line, got, pos, ok, want)
		}
	}
	if _, _, ok := s.complete("get", 3, 'd'); ok {
		t.Error("a letter was taken for Tab")
	}
}

func TestHistoryKeepsNoPasswords(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	h := openHistory()
	for _, line := range []string{"GET a", "GET a", "  ", "auth ada secret", "HELLO 3 AUTH ada secret", "ACL SETUSER ada >secret", "SET b c"} {
		h.Add(line)
	}
	again := openHistory()
	if got := again.lines; !slices.Equal(got, []string{"GET a", "SET b c"}) {
		t.Errorf("got %q", got)
	}
	if again.Len() != 2 || again.At(0) != "SET b c" {
		t.Errorf("the newest is %q", again.At(0))
	}
	b, err := os.ReadFile(filepath.Join(os.Getenv("HOME"), ".tutti_history"))
	if err != nil || bytes.Contains(b, []byte("secret")) {
		t.Errorf("got %q, %v", b, err)
	}
}
