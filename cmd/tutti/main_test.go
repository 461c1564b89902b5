package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what a process should do soon, on a
// machine that is busy with other tests.
const patience = 60 * time.Second

var builds struct {
	once sync.Once
	dir  string
	err  error
}

// besides is how many tests run beside each other: most of what they do is to
// wait, for processes that wait themselves. What is measured does not run beside
// others.
const besides = 4

func TestMain(m *testing.M) {
	if flag.Parse(); !given("test.parallel") {
		if err := flag.Set("test.parallel", strconv.Itoa(besides)); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir)
	}
	os.Exit(code)
}

// given reports whether a flag was.
func given(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// binary builds the program once, without what only debuggers want, which takes
// half of the linking.
func binary(t *testing.T) string {
	t.Helper()
	builds.once.Do(func() {
		if builds.dir, builds.err = os.MkdirTemp("", "tutti-test-"); builds.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(builds.dir, "tutti"), ".").CombinedOutput()
		if err != nil {
			builds.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if builds.err != nil {
		t.Fatal(builds.err)
	}
	return filepath.Join(builds.dir, "tutti")
}

// result is how a run of the program ended.
type result struct {
	code        int
	out, errors string
}

// tutti runs the program to its end.
func tutti(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return tuttiAt(t, defaultAddr, stdin, args...)
}

// tuttiAt runs the program with another default address.
func tuttiAt(t *testing.T, addr, stdin string, args ...string) result {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	cmd.Env = append(os.Environ(), "TUTTI_ADDR="+addr)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || !exit.Exited()) {
		t.Fatalf("tutti %v: %v\n%s", args, err, errs.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// wants fails the test unless the run ended with code and said every word on
// stderr.
func (r result) wants(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; output:\n%s%s", r.code, code, r.out, r.errors)
	}
	for _, w := range words {
		if !strings.Contains(r.errors, w) {
			t.Errorf("stderr does not say %q:\n%s", w, r.errors)
		}
	}
}

// running is a run of the program that goes on. Its lines are read all the
// time.
type running struct {
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended and all is read
	mu    sync.Mutex    // guards lines
	lines []string
}

// launch runs the program with its temporary files in a folder of their own.
func launch(t *testing.T, tmp string, args ...string) *running {
	t.Helper()
	return launchProgram(t, tmp, binary(t), args...)
}

// launchProgram is launch for another program that runs it.
func launchProgram(t *testing.T, tmp, program string, args ...string) *running {
	t.Helper()
	r := &running{cmd: exec.Command(program, args...), done: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stdout, r.cmd.Stderr = write, write
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	go func() {
		for s := bufio.NewScanner(read); s.Scan(); {
			r.mu.Lock()
			r.lines = append(r.lines, s.Text())
			r.mu.Unlock()
		}
		read.Close()
		_ = r.cmd.Wait()
		close(r.done)
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.done
	})
	return r
}

func (r *running) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// line waits for a line that holds word and returns it.
func (r *running) line(t *testing.T, word string) string {
	t.Helper()
	var found string
	eventually(t, func() error {
		for l := range strings.Lines(r.text()) {
			if strings.Contains(l, word) {
				found = strings.TrimSpace(l)
				return nil
			}
		}
		select {
		case <-r.done:
			t.Fatalf("it ended without saying %q:\n%s", word, r.text())
		default:
		}
		return fmt.Errorf("no line with %q:\n%s", word, r.text())
	})
	return found
}

// ends waits for the end and returns the exit code.
func (r *running) ends(t *testing.T) int {
	t.Helper()
	return r.endsWithin(t, patience)
}

func (r *running) endsWithin(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(limit):
		t.Fatalf("it does not end:\n%s", r.text())
	}
	return r.cmd.ProcessState.ExitCode()
}

func (r *running) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// eventually asks again until check succeeds.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	timeout := time.After(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-timeout:
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// nodesIn are the processes of nodes whose folder lies below dir.
func nodesIn(t *testing.T, dir string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("needs /proc")
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.Contains(line, []byte("\x00--dir\x00"+dir)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// nothingRunsIn waits until no node is left.
func nothingRunsIn(t *testing.T, dir string) {
	t.Helper()
	eventually(t, func() error {
		if pids := nodesIn(t, dir); len(pids) > 0 {
			return fmt.Errorf("processes %v are left in %s", pids, dir)
		}
		return nil
	})
}

// Bases of the clusters of tests lie below the ports that demos take, and none
// is given out twice.
var bases struct {
	mu   sync.Mutex // guards next
	next int
}

const (
	basesFirst = 4000
	basesEnd   = 8900
	basesStep  = 10
)

// freeBase is a port with free ones behind it, for n nodes and their peers.
func freeBase(t *testing.T, n int) int {
	t.Helper()
	bases.mu.Lock()
	defer bases.mu.Unlock()
	if bases.next == 0 {
		bases.next = os.Getpid() * basesStep // other runs of these tests begin elsewhere
	}
	for range (basesEnd - basesFirst) / basesStep {
		bases.next += basesStep
		base := basesFirst + bases.next%(basesEnd-basesFirst)
		if portsAreFree(base, n) {
			return base
		}
	}
	t.Fatal("no free ports in a row")
	return 0
}

func portsAreFree(base, n int) bool {
	for i := range n {
		for _, p := range []int{base + i, base + i + peerPortOffset} {
			l, err := net.Listen("tcp", loopback(p))
			if err != nil {
				return false
			}
			l.Close()
		}
	}
	return true
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args  []string
		code  int
		words []string
	}{
		{[]string{"statsu"}, exitUsage, []string{`there is no command "statsu"; did you mean "status"?`, "tutti status --help"}},
		{[]string{"stats"}, exitUsage, []string{`there is no command "stats"; did you mean one of ["start" "status"]?`, "tutti --help"}},
		{[]string{"frobnicate"}, exitUsage, []string{`there is no command "frobnicate"`}},
		{[]string{"node", "drian", "cy"}, exitUsage, []string{`there is no command "drian"; did you mean`, "tutti node drain --help"}},
		{[]string{"node", "frobnicate"}, exitUsage, []string{`there is no command "frobnicate"`, "tutti node --help"}},
		{[]string{"node", "remove"}, exitUsage, []string{"tutti node remove NODE: accepts 1 argument(s), received 0"}},
		{[]string{"recover"}, exitUsage, []string{"tutti recover --dir DIR: required flag(s) \"dir\" not set"}},
		{[]string{"token", "create", "--ttl", "100ms"}, exitUsage, []string{"--ttl 100ms: choose 1s to 8784h, which is a year"}},
		{[]string{"dev", "--nods", "3"}, exitUsage, []string{"unknown flag: --nods", "tutti dev --help"}},
		{[]string{"dev", "extra"}, exitUsage, []string{"extra"}},
		{[]string{"dev", "--nodes", "9"}, exitUsage, []string{"choose 1 to 7"}},
		{[]string{"dev", "--listen", "127.0.0.1"}, exitUsage, []string{"missing port"}},
		{[]string{"dev", "--listen", "127.0.0.1:65000"}, exitUsage, []string{"choose a port"}},
		{[]string{"dev", "--listen", "0.0.0.0:7000"}, exitFailed, []string{"not a loopback address", "nothing was started"}},
		{[]string{"join", "10.0.0.1"}, exitUsage, []string{"there is no --token"}},
		{[]string{"join", "10.0.0.1", "--token", "tutti1.abc"}, exitUsage, []string{"not a whole token", "nothing was sent", "copy it again"}},
		{[]string{"init", "--listen", "127.0.0.1:65000"}, exitUsage, []string{"the port for nodes would be 66000"}},
		{[]string{"init", "--name", "Red"}, exitUsage, []string{"--name", "want only a-z"}},
		{[]string{"init", "--node", "a b"}, exitUsage, []string{"--node"}},
		{[]string{"start", "--dir", ".", "--log", "loud"}, exitUsage, []string{"the levels are debug, info, warn and error"}},
		{[]string{"start", "--dir", ".", "--log-format", "xml"}, exitUsage, []string{"the formats are text and json"}},
		{[]string{"dev", "--http-listen", "0.0.0.0:9121"}, exitUsage, []string{"choose a loopback address"}},
		{[]string{"start", "--dir", "."}, exitFailed, []string{"no tutti node in this folder", "tutti init", "tutti dev"}},
		{[]string{"status", "--addr", "127.0.0.1:1"}, exitUnreachable, []string{"cannot reach a node at 127.0.0.1:1: connection refused", "tutti dev"}},
		{[]string{"cli", "--addr", "127.0.0.1:1", "SET", "a", "b"}, exitUnreachable, []string{"nothing was sent"}},
		{[]string{"demo", "--input", "/nonexistent"}, exitFailed, []string{"/nonexistent is not a folder", "--input DIR"}},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			r := tutti(t, "", tt.args...)
			r.wants(t, tt.code, tt.words...)
			if first, _, _ := strings.Cut(r.errors, "\n"); !strings.HasPrefix(first, errorPrefix) || strings.Count(r.errors, "\n") > 3 {
				t.Errorf("not one clear sentence:\n%s", r.errors)
			}
		})
	}
}

func TestHelpFitsOneScreenAndHasAnExample(t *testing.T) {
	t.Parallel()
	commands := [][]string{{"--help"}}
	for _, c := range rootCommand(nil).Commands() {
		commands = append(commands, []string{c.Name(), "--help"})
	}
	whole := tutti(t, "", "--help").out
	for _, c := range commands[1:] {
		if !strings.Contains(whole, " "+c[0]+" ") && !strings.Contains(whole, " "+c[0]+"\n") {
			t.Errorf("tutti --help does not name %s", c[0])
		}
	}
	for _, args := range commands {
		r := tutti(t, "", args...)
		r.wants(t, 0)
		if n := strings.Count(r.out, "\n"); n > 24 || !strings.Contains(r.out, "Examples:\n  tutti ") {
			t.Errorf("tutti %v: %d lines, or without an example:\n%s", args, n, r.out)
		}
	}
}

func TestAloneSaysHowToBegin(t *testing.T) {
	t.Parallel()
	r := tuttiAt(t, "127.0.0.1:1", "")
	r.wants(t, 0)
	for _, word := range []string{"No node answers at 127.0.0.1:1", "tutti demo", "tutti dev", "tutti status", "tutti cli", "tutti --help"} {
		if !strings.Contains(r.out, word) {
			t.Errorf("it does not say %q:\n%s", word, r.out)
		}
	}
}

// silent accepts one connection, reads what comes, and closes without an
// answer.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.ReadAtLeast(c, make([]byte, 64), 1)
		c.Close()
	}()
	return l.Addr().String()
}

func TestLostAnswers(t *testing.T) {
	t.Parallel()
	tutti(t, "", "cli", "--addr", silent(t), "SET", "a", "b").wants(t, exitUnknown, "was lost", "may or may not have been applied", "read before you send it again")
	tutti(t, "", "cli", "--addr", silent(t), "GET", "a").wants(t, exitUnreachable, "was lost", "changes nothing")
	tutti(t, "", "status", "--addr", silent(t)).wants(t, exitUnreachable, "closed by the other side")
}
