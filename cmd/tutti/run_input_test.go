package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Arguments are combined, split and put in place as GNU parallel does: what is wanted
// here is what it printed.
func TestArguments(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "args")
	if err := os.WriteFile(file, []byte("1\n2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nul, long := filepath.Join(t.TempDir(), "nul"), filepath.Join(t.TempDir(), "long")
	if err := errors.Join(os.WriteFile(nul, []byte("a\nb\x00c\n"), 0o600), os.WriteFile(long, []byte(strings.Repeat("x", runLineLenMax)), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		input inputOptions
		stdin string
		words string // separated by blanks
		want  string // a line for each command
	}{
		{inputOptions{each: 2}, "", "echo ::: a b c", "a b\nc\n"},
		{inputOptions{each: 2}, "", "echo {2} {1} ::: a b c", "b a\nc\n"},
		{inputOptions{each: 2}, "", "echo x{}y {.} ::: a.b c.d e", "xa.b c.dy a c\nxey e\n"},
		{inputOptions{}, "", "echo {1}-{2} ::: a b ::: 1 2", "a-1\na-2\nb-1\nb-2\n"},
		{inputOptions{}, "", "echo {} x ::: a b ::: 1 2", "a 1 x\na 2 x\nb 1 x\nb 2 x\n"},
		{inputOptions{}, "", "echo ::: a b :::+ 1 2 ::: x y", "a 1 x\na 1 y\nb 2 x\nb 2 y\n"},
		{inputOptions{}, "", "echo ::: a b c :::+ 1 2", "a 1\nb 2\n"},
		{inputOptions{colsep: ","}, "a,b\nc,d\n", "echo {2} {1} {}", "b a a b\nd c c d\n"},
		{inputOptions{colsep: ","}, "a,b\nc,d\n", "echo", "a b\nc d\n"},
		{inputOptions{colsep: ",", each: 2}, "a,b\nc,d\ne,f\n", "echo {1} {2} {3} {4}", "a b c d\ne f\n"},
		{inputOptions{}, "", "echo {-1} {1.} {2/} ::: a.b ::: c/d.e", "c/d.e a d.e\n"},
		{inputOptions{}, "", "echo {1}{3}. ::: a", "a.\n"},
		{inputOptions{}, "a\n\nb\n", "echo l{}", "la\nl\nlb\n"},
		{inputOptions{}, "a\r\nb", "echo {}.", "a\r.\nb.\n"},
		{inputOptions{}, "", "echo [{.}][{/}][{//}][{/.}] ::: .z ..z a. .a.b x/.y . .. a/ a/b/ /y // a//b ./a/../b.c",
			"[][.z][.][]\n[.][..z][.][.]\n[a][a.][.][a]\n[.a][.a.b][.][.a]\n[x/][.y][x][]\n[][.][.][]\n[.][..][.][.]\n" +
				"[a/][][.][]\n[a/b/][][a][]\n[/y][y][/][y]\n[//][][/][]\n[a//b][b][a][b]\n[./a/../b][b.c][./a/..][b]\n"},
		{inputOptions{null: true}, "a\x00b c\x00d", "echo {}.", "a.\nb c.\nd.\n"},
		{inputOptions{}, "", "echo :::: " + file + " ::: a b", "1 a\n1 b\n2 a\n2 b\n"},
		{inputOptions{files: []string{file}}, "", "echo ::: a", "1 a\n2 a\n"},
		{inputOptions{files: []string{file, "-"}}, "x\n", "echo", "1 x\n2 x\n"},
		{inputOptions{}, "", "echo ::: a b ::::+ " + file, "a 1\nb 2\n"},
		{inputOptions{}, "", "echo :::", ""},
		{inputOptions{}, "", "echo ::: a b :::", ""},
	} {
		words, rows, err := tt.input.rows(strings.Fields(tt.words), strings.NewReader(tt.stdin))
		if err != nil {
			t.Errorf("%s: %v", tt.words, err)
			continue
		}
		var got strings.Builder
		for _, j := range (batchOptions{}).jobsOf(newTemplate(words, false), rows) {
			fmt.Fprintln(&got, strings.Join(j.Argv[1:], " "))
		}
		if got.String() != tt.want {
			t.Errorf("%s with %+v: %q, want %q", tt.words, tt.input, got.String(), tt.want)
		}
	}
	for _, tt := range []struct {
		input inputOptions
		words string
		says  string
	}{
		{inputOptions{}, "::: a", "no command"},
		{inputOptions{files: []string{nul}}, "echo", "argument 2 of " + nul + " has a NUL in it"},
		{inputOptions{files: []string{long}}, "echo", "argument 1 of " + long + " has more than 65535 bytes"},
		{inputOptions{}, "echo :::+ a", "no arguments before it"},
		{inputOptions{each: 2}, "echo ::: a ::: b", "one source"},
		{inputOptions{colsep: "("}, "echo ::: a", "--colsep: error parsing regexp"},
		{inputOptions{files: []string{file + "x"}}, "echo", "no such file"},
		{inputOptions{}, "echo ::: " + strings.Repeat("x ", 1001) + "::: " + strings.Repeat("y ", 1000), "more than 1000000 commands"},
	} {
		_, _, err := tt.input.rows(strings.Fields(tt.words), strings.NewReader(""))
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%.40s: %v", tt.words, err)
		}
	}
}

// When a run is halted, and with which exit code, is as with GNU parallel: what is
// wanted here is what it ended with.
func TestHalt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule  string
		exits []int // one after the other; beyond 255: by a signal
		ended int   // when it is halted
		code  int
	}{
		{"now,fail=1", []int{0, 3, 5, 0}, 2, 3},
		{"soon,fail=1", []int{0, 3, 5, 0}, 2, 3},
		{"2", []int{0, 3, 5, 0}, 2, 3},
		{"now,fail=2", []int{3, 5, 0}, 2, 2},
		{"now,success=1", []int{3, 0, 5}, 2, 0},
		{"soon,success=2", []int{3, 0, 5}, 3, 2},
		{"now,done=1", []int{3, 0, 5}, 1, 3},
		{"soon,done=2", []int{3, 4, 5}, 2, 2},
		{"now,fail=50%", []int{3, 4, 5, 6}, 2, 50},
		{"now,fail=1", []int{256 + 15}, 1, 143},
		{"never", []int{3, 4}, 2, 2},
		{"", []int{0, 0}, 2, 0},
	} {
		h, err := parseHalt(tt.rule)
		if err != nil {
			t.Errorf("%s: %v", tt.rule, err)
		}
		c, ended := tally{halt: h, all: len(tt.exits)}, 0
		for i, exit := range tt.exits {
			ended++
			if c.add(i+1, exit != 0, exit%256, exit/256*(exit-256), time.UnixMilli(int64(i))) {
				break
			}
		}
		code := 0
		if e, ok := errors.AsType[*exitError](c.verdict("run-x")); ok {
			code = e.code
		}
		if ended != tt.ended || code != tt.code {
			t.Errorf("%s of %v: after %d with %d, want after %d with %d", tt.rule, tt.exits, ended, code, tt.ended, tt.code)
		}
	}
	// Whatever ends together is told in any order.
	c := tally{halt: halt{what: haltFail, count: 1}, all: 3}
	if !c.add(3, true, 5, 0, time.UnixMilli(7)) || c.add(2, true, 3, 0, time.UnixMilli(7)) || c.add(1, false, 0, 0, time.UnixMilli(6)) || c.haltCode() != 3 {
		t.Errorf("the exit code is not that of the first one that failed: %+v", c)
	}
	for _, bad := range []string{"now", "later,fail=1", "now,fail", "now,fail=0", "now,fail=-1", "now,fail=x", "now,fail=101%", "now,fail=0%", "3", "now,odd=1"} {
		if _, err := parseHalt(bad); err == nil {
			t.Errorf("%s is a rule", bad)
		}
	}
}

func TestProgressLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ended, bad int
		want       string
	}{{0, 0, "0 of 8 commands"}, {2, 0, "2 of 8 commands, ETA 30s"}, {6, 1, "6 of 8 commands, 1 failed, ETA 3s"}, {8, 0, "8 of 8 commands"}} {
		if got := progressLine(8, tt.ended, tt.bad, 10*time.Second); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestTag(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	w := &tagWriter{to: &out, tag: "a 1"}
	for _, part := range []string{"x", "y\nz\n", "", "\n", "end"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if want := "a 1\txy\na 1\tz\na 1\t\na 1\tend"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"echo", "{}", "x y", "", ":::", "a b", "it's"}, "echo 'a b' 'x y' ''\necho 'it'\\''s' 'x y' ''\n"},
		{[]string{"--shell", "echo {} | wc", ":::", "a"}, "echo 'a' | wc\n"},
		{[]string{"-n", "2", "echo", ":::", "1", "2", "3"}, "echo 1 2\necho 3\n"},
	} {
		r := tutti(t, "", append([]string{"run", "--addr", loopback(1), "--dry-run"}, tt.args...)...)
		if r.code != 0 || r.out != tt.want {
			t.Errorf("%q: %+v", tt.args, r)
		}
	}
}
