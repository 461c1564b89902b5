package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The blocks of docs/OPERATIONS.md that are marked "console machines" are executed
// on machines of their own: network namespaces with one address each, that a bridge
// connects. All blocks are one story. A line "ada$ command" is typed on ada; what
// stands below it is part of what it answers, sooner or later. What serves goes on;
// "ada$ kill" ends what runs on ada with no warning.

// machinesOf are the hosts of the document and their addresses.
var machinesOf = map[string]string{"ada": "10.0.0.11", "bob": "10.0.0.12", "cy": "10.0.0.13", "dee": "10.0.0.14"}

// lab is the machines of one test.
type lab struct {
	t      *testing.T
	prefix string // of the names of its namespaces
	dir    string
	bin    string

	procs map[string][]*running
	token string // what the last init, or token create, has printed
}

// newLab makes the machines; it skips the test where that is not allowed.
func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: machines are network namespaces, which need root")
	}
	l := &lab{t: t, prefix: fmt.Sprintf("tutti%d-", os.Getpid()), dir: t.TempDir(), bin: t.TempDir(), procs: make(map[string][]*running)}
	if err := os.Symlink(binary(t), filepath.Join(l.bin, "tutti")); err != nil {
		t.Fatal(err)
	}
	net := l.prefix + "net"
	if out, err := exec.Command("ip", "netns", "add", net).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no network namespaces here: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", net).Run() })
	l.ip("-n", net, "link", "add", "br0", "type", "bridge")
	l.ip("-n", net, "link", "set", "br0", "up")
	for name, addr := range machinesOf {
		ns := l.prefix + name
		l.ip("netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		l.ip("-n", net, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", ns)
		l.ip("-n", net, "link", "set", name, "master", "br0", "up")
		l.ip("-n", ns, "addr", "add", addr+"/24", "dev", "eth0")
		for _, dev := range []string{"eth0", "lo"} {
			l.ip("-n", ns, "link", "set", dev, "up")
		}
		for _, dir := range []string{"lib", "home"} {
			if err := os.MkdirAll(filepath.Join(l.dir, name, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	return l
}

func (l *lab) ip(args ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %v: %v %s", args, err, out)
	}
}

// on is a command line on a machine: with its address, its name, its /var/lib and a
// home of its own.
func (l *lab) on(host, line string) []string {
	at := filepath.Join(l.dir, host)
	script := fmt.Sprintf("hostname %s && mount --bind %s /var/lib && export PATH=%s:$PATH HOME=%s XDG_CONFIG_HOME=%s && exec %s",
		host, filepath.Join(at, "lib"), l.bin, filepath.Join(at, "home"), filepath.Join(at, "home"), line)
	return []string{"netns", "exec", l.prefix + host, "unshare", "-u", "sh", "-ec", script}
}

// serving are the commands that go on until they are ended.
var serving = []string{"init", "join", "start"}

// tokens finds those that a command prints, or the document has instead.
var tokens = regexp.MustCompile(`tutti1\.[^\s]+`)

// do does what a line of the document says, and waits for the answers that stand
// below it.
func (l *lab) do(place, host, line string, want []string) {
	l.t.Helper()
	if line == "kill" {
		l.kill(host)
		return
	}
	line = tokens.ReplaceAllString(line, l.token)
	words := strings.Fields(line)
	if words[0] == "tutti" && slices.Contains(serving, words[1]) {
		r := l.serve(host, line)
		for _, w := range want {
			l.heard(r.line(l.t, w))
		}
		if words[1] == "init" {
			l.heard(r.line(l.t, "--token"))
		}
		return
	}
	eventually(l.t, func() error {
		cmd := exec.Command("ip", l.on(host, line)...)
		b, err := cmd.CombinedOutput()
		out := string(b)
		if err != nil {
			return fmt.Errorf("%s: %s$ %s: %w\n%s", place, host, line, err, out)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				return fmt.Errorf("%s: %s$ %s: no %q in\n%s", place, host, line, w, out)
			}
		}
		l.heard(out)
		return nil
	})
}

// heard notes a token.
func (l *lab) heard(text string) {
	if found := tokens.FindString(text); found != "" {
		l.token = found
	}
}

func (l *lab) serve(host, line string) *running {
	l.t.Helper()
	r := launchProgram(l.t, l.t.TempDir(), "ip", l.on(host, line)...)
	l.procs[host] = append(l.procs[host], r)
	return r
}

// kill ends all that runs on a machine.
func (l *lab) kill(host string) {
	l.t.Helper()
	for _, r := range l.procs[host] {
		_ = r.cmd.Process.Signal(syscall.SIGKILL)
		<-r.done
	}
	l.procs[host] = nil
}

// typed finds a line that is typed on a machine.
var typed = regexp.MustCompile(`^([a-z]+)\$ +(.+)$`)

func TestOperationsOnMachines(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	found := 0
	for _, b := range blocks(t, repository+"/docs/OPERATIONS.md") {
		if b.mark != "console machines" {
			continue
		}
		found++
		for i := 0; i < len(b.lines); {
			m := typed.FindStringSubmatch(b.lines[i])
			if m == nil || machinesOf[m[1]] == "" {
				t.Fatalf("%s: nobody types %q", b.place, b.lines[i])
			}
			var want []string
			for i++; i < len(b.lines) && !typed.MatchString(b.lines[i]); i++ {
				want = append(want, strings.TrimSpace(b.lines[i]))
			}
			t.Logf("%s$ %s", m[1], m[2])
			l.do(b.place, m[1], m[2], want)
		}
	}
	if found < 4 {
		t.Errorf("%d blocks are about machines", found)
	}
}
