package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const repository = "../.."

// block is a fenced block of a document. Its first line says how it is tested:
//
//	sh run       executed by a shell; it must succeed
//	sh ci        each line is in .ci/run, which executes it
//	sh serve     executed until it says that it is ready, and kept running
//	console      lines with a "$ " are executed, the others are what they answer
type block struct {
	place string // file:line
	mark  string
	lines []string
}

func blocks(t *testing.T, name string) []block {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var list []block
	open := false
	for i, line := range strings.Split(string(text), "\n") {
		mark, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open:
			open = false
		case fence:
			open = true
			list = append(list, block{place: fmt.Sprintf("%s:%d", strings.TrimPrefix(name, repository+"/"), i+1), mark: mark})
		case open:
			b := &list[len(list)-1]
			b.lines = append(b.lines, line)
		}
	}
	return list
}

// shell runs a line as a person would type it.
func shell(line string, env []string) error {
	out, err := shellOutput(line, env)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", line, err, out)
	}
	return nil
}

func shellOutput(line string, env []string) (string, error) {
	cmd := exec.Command("sh", "-ec", line)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// stage is where the blocks of one document are executed: a cluster on free
// ports stands in for the ports that the document names.
type stage struct {
	bin     string
	temp    string // where what the reader makes for a while lies
	cluster *devCluster
	http    int // port that stands for 9121
}

// redisCLI stands in for redis-cli, which need not be there: the same command
// line, and the look it has on a terminal.
const redisCLI = `#!/bin/sh
if [ -x /usr/bin/redis-cli ]; then exec /usr/bin/redis-cli --no-raw "$@"; fi
if [ "$1" = -p ]; then addr=127.0.0.1:$2; shift 2; fi
exec tutti cli --raw=false --addr "$addr" "$@"
`

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{bin: t.TempDir(), temp: t.TempDir()}
	if err := os.WriteFile(filepath.Join(s.bin, "redis-cli"), []byte(redisCLI), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary(t), filepath.Join(s.bin, "tutti")); err != nil {
		t.Fatal(err)
	}
	return s
}

// ports finds the addresses that dev uses unless it is told others.
var ports = regexp.MustCompile(`\b63(79|80|81)\b`)

// httpPorts are those that documents name for HTTP; they stand for ports behind
// those of the clients.
var httpPorts = regexp.MustCompile(`\b912[123]\b`)

// served returns the flags of tutti dev in a block that serves.
func (s *stage) served(t *testing.T, b block) []string {
	t.Helper()
	line := strings.ReplaceAll(strings.Join(b.lines, "\n"), "go run ./cmd/tutti", "tutti")
	flags, ok := strings.CutPrefix(line, "tutti dev")
	if !ok {
		t.Fatalf("%s: the test does not know how to serve %q", b.place, line)
	}
	if s.http = freeBase(t, 3); flags == "" {
		return nil
	}
	return strings.Fields(s.localHTTP(flags))
}

func (s *stage) localHTTP(line string) string {
	return httpPorts.ReplaceAllStringFunc(line, func(p string) string {
		n, _ := strconv.Atoi(p)
		return strconv.Itoa(s.http + n - 9121)
	})
}

// local puts this stage's program and ports into a command.
func (s *stage) local(line string) string {
	line = s.localHTTP(strings.ReplaceAll(line, "go run ./cmd/tutti", "tutti"))
	return ports.ReplaceAllStringFunc(line, func(p string) string {
		n, _ := strconv.Atoi(p)
		return strconv.Itoa(s.cluster.base + n - 6379)
	})
}

func (s *stage) env() []string {
	return []string{"PATH=" + s.bin + ":" + os.Getenv("PATH"), "TUTTI_ADDR=" + s.cluster.addr(0), "TMPDIR=" + s.temp}
}

func (s *stage) play(t *testing.T, b block, ci string) {
	t.Helper()
	switch b.mark {
	case "sh ci":
		for _, line := range b.lines {
			if !strings.Contains(ci, line) {
				t.Errorf("%s: .ci/run does not execute %q", b.place, line)
			}
		}
	case "sh serve":
		c := startDev(t, filepath.Join(t.TempDir(), "data"), 3, s.served(t, b)...)
		s.cluster = &c
	case "sh run":
		if err := shell(s.local(strings.Join(b.lines, "\n")), s.env()); err != nil {
			t.Errorf("%s: %v", b.place, err)
		}
	case "console":
		s.converse(t, b)
	default:
		t.Errorf("%s: nothing tests a block of %q", b.place, b.mark)
	}
}

// converse executes each command and compares its answer; "..." in it stands
// for anything.
func (s *stage) converse(t *testing.T, b block) {
	t.Helper()
	for i := 0; i < len(b.lines); {
		command, ok := strings.CutPrefix(b.lines[i], "$ ")
		if !ok {
			t.Fatalf("%s: %q is not a command", b.place, b.lines[i])
		}
		var want []string
		for i++; i < len(b.lines) && !strings.HasPrefix(b.lines[i], "$ "); i++ {
			want = append(want, strings.ReplaceAll(regexp.QuoteMeta(s.local(b.lines[i])), `\.\.\.`, ".*"))
		}
		got, err := shellOutput(s.local(command), s.env())
		if err != nil {
			t.Errorf("%s: %s: %v\n%s", b.place, command, err, got)
			continue
		}
		if ok, err := regexp.MatchString("^"+strings.Join(want, "\n")+"\n$", got); err != nil || !ok {
			t.Errorf("%s: %s answers\n%s", b.place, command, got)
		}
	}
}

func TestReadmeIsTrue(t *testing.T) {
	t.Parallel()
	ci, err := os.ReadFile(filepath.Join(repository, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	list := blocks(t, filepath.Join(repository, "README.md"))
	if len(list) < 4 {
		t.Errorf("README.md has only %d blocks", len(list))
	}
	for _, b := range list {
		s.play(t, b, string(ci))
	}
	if s.cluster != nil {
		s.cluster.stop(t)
	}
}

// Other documents may show what they like, but what is marked is tested.
func TestDocumentsAreTrue(t *testing.T) {
	t.Parallel()
	ci, err := os.ReadFile(filepath.Join(repository, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		s := newStage(t)
		for _, b := range blocks(t, name) {
			if strings.HasPrefix(b.mark, "sh ") || b.mark == "console" {
				s.play(t, b, string(ci))
			}
		}
		if s.cluster != nil {
			s.cluster.stop(t)
		}
	}
}
