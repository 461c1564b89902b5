package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demoInput is a folder of n small files.
func demoInput(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		write(t, filepath.Join(dir, fmt.Sprintf("%03d.%s", i, []string{"go", "txt", "md"}[i%3])), 100*i)
	}
	write(t, filepath.Join(dir, "odd", "Makefile"), 7)
	return dir
}

// demoFolder waits until the demo has named its folder.
func demoFolder(t *testing.T, r *running, tmp string) string {
	t.Helper()
	name := regexp.MustCompile(`demo in (\S+)`).FindStringSubmatch(r.line(t, "demo in"))
	if name == nil || !strings.HasPrefix(name[1], tmp) {
		t.Fatalf("it names no folder:\n%s", r.text())
	}
	return name[1]
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%s holds %v, %v", dir, entries, err)
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	r := launch(t, tmp, "demo", "--json", "--input", demoInput(t, 40))
	// Alone it takes 45 s; the other packages are tested beside it.
	if code := r.endsWithin(t, 2*time.Minute); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, r.text())
	}
	nothingRunsIn(t, tmp)
	empty(t, tmp)
	var records []map[string]any
	for l := range strings.Lines(r.text()) {
		var record map[string]any
		if json.Unmarshal([]byte(l), &record) == nil {
			records = append(records, record)
		}
	}
	want := []map[string]any{
		{"claim": "one-system", "held": true, "files": 41.0, "equal": 41.0, "bytes": 40.0*39/2*100 + 7},
		{"claim": "failure", "held": true, "lost": 0.0, "doubled": 0.0},
		{"claim": "network", "held": true, "refused": 2.0},
		{"claim": "clock", "held": true, "ahead_seconds": 3600.0, "keys": 60.0, "early": 0.0, "late": 0.0, "reads": 300.0, "stale": 0.0},
		{"claim": "computation", "held": true, "tasks": 31.0},
		{"claim": "messages", "held": true, "published": 1000.0, "received": 1000.0, "entries": 10000.0, "processed": 10000.0, "pops": 8.0, "seen_apart": 0.0},
		{"claim": "grow-shrink", "held": true, "failed": 0.0},
		{"claim": "all", "held": true, "lost": 0.0, "doubled": 0.0},
	}
	if len(records) != len(want) {
		t.Fatalf("%d records:\n%s", len(records), r.text())
	}
	for i, fields := range want {
		for name, value := range fields {
			if records[i][name] != value {
				t.Errorf("record %d: %s is %v, want %v", i, name, records[i][name], value)
			}
		}
		if s, ok := records[i]["seconds"].(float64); !ok || s <= 0 {
			t.Errorf("record %d: %v seconds", i, records[i]["seconds"])
		}
	}
	f := records[1]
	if f["acked"].(float64) < 41*writesPerFile+demoNodes*incrPerNode+100 || f["gap_ms"].(float64) <= 0 || f["graceful_gap_ms"].(float64) <= 0 {
		t.Errorf("no work was done: %v", f)
	}
	if _, ok := f["unknown"].(float64); !ok {
		t.Errorf("it does not tell the number of unknown outcomes: %v", f)
	}
}

// The cluster that is kept outlives the demo and its terminal; what the demo
// says about it is true.
func TestDemoKeeps(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	r := launch(t, tmp, "demo", "--keep", "--claims", "one-system", "--input", demoInput(t, 10))
	dir := demoFolder(t, r, tmp)
	if code := r.ends(t); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, r.text())
	}
	t.Cleanup(func() {
		for _, pid := range nodesIn(t, dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	// What is to be exported is given to each command as flags.
	var where []string
	for i, x := range strings.Fields(r.line(t, "   first "))[2:] {
		_, value, _ := strings.Cut(x, "=")
		where = append(where, []string{"--addr", "--cacert", "--secret"}[i], value)
	}
	status := tutti(t, "", append([]string{"status"}, where...)...)
	status.wants(t, 0)
	if !strings.HasPrefix(status.out, "demo  Healthy.") {
		t.Errorf("got %s", status.out)
	}
	if got := tutti(t, "", append(append([]string{"cli"}, where...), "ZCARD", filesBySize)...); got.out != "11\n" {
		t.Errorf("got %+v", got)
	}
	if got := len(nodesIn(t, dir)); got != demoNodes {
		t.Errorf("%d nodes run", got)
	}
	stop := strings.TrimPrefix(r.line(t, "   stop "), "stop")
	if err := shell(stop, nil); err != nil {
		t.Error(err)
	}
	nothingRunsIn(t, dir)
}

func TestDemoEndsInOrderWhenInterrupted(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	r := launch(t, tmp, "demo", "--input", demoInput(t, 10))
	r.line(t, "made by init and join")
	r.signal(t, syscall.SIGINT)
	if code := r.ends(t); code != exitInterrupted {
		t.Errorf("exit code %d:\n%s", code, r.text())
	}
	nothingRunsIn(t, tmp)
	empty(t, tmp)
}

// Whoever reads what it says may go, as head does; the demo then ends as if it had
// been interrupted, and takes its folder with it.
func TestDemoWhoseReaderGoes(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	cmd := exec.Command(binary(t), "demo", "--input", demoInput(t, 10))
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for lines := bufio.NewScanner(read); lines.Scan() && !strings.Contains(lines.Text(), "made by init and join"); {
	}
	read.Close()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("%v", cmd.ProcessState)
	}
	nothingRunsIn(t, tmp)
	empty(t, tmp)
}

func TestDemoThatIsKilledLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	r := launch(t, tmp, "demo", "--input", demoInput(t, 10))
	r.line(t, "made by init and join")
	r.signal(t, syscall.SIGKILL)
	r.ends(t)
	nothingRunsIn(t, tmp)
}

// A demo in which something else goes wrong must not pass, and keeps what it
// was judged by.
func TestDemoFailsWithANodeTheDemoDidNotKill(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	r := launch(t, tmp, "demo", "--json", "--input", demoInput(t, 10))
	r.line(t, "made by init and join")
	dir := demoFolder(t, r, tmp)
	pids := nodesIn(t, dir)
	if len(pids) != demoNodes {
		t.Fatalf("processes %v", pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := r.ends(t); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	r.line(t, `{"claim":"all","held":false`)
	r.line(t, errorPrefix)
	if _, err := os.Stat(filepath.Join(dir, "a.log")); err != nil {
		t.Errorf("the evidence is gone: %v", err)
	}
	if !strings.Contains(r.line(t, "look at the evidence in"), dir) {
		t.Errorf("it does not name the evidence:\n%s", r.text())
	}
	nothingRunsIn(t, tmp)
}

// Whoever reads how many reads there were is told what kept them from being more.
func TestGrowthIsLimitedByWhat(t *testing.T) {
	for _, c := range []struct {
		claim growClaim
		want  string
	}{
		{growClaim{Cores: 2}, "they share this machine's 2 cores"},
		{growClaim{Cores: 8, BusyBefore: 3, BusyAfter: 5}, "they share this machine's 8 cores, of which 3.0 and 5.0 were busy"},
		{growClaim{Cores: 2, BusyBefore: 1.9, BusyAfter: 2}, "they share this machine's 2 cores, which were busy (1.9 and 2.0) and so the limit: machines that are added bring cores of their own"},
	} {
		if got := c.claim.limit(); got != c.want {
			t.Errorf("%+v: %q", c.claim, got)
		}
	}
}
