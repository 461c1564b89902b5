package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// image mounts a file system of its own, an ext4 of that many MiB in a file. It
// skips the test where that can't be done; internal/proof/sim then has the same
// faults on simulated disks.
func image(t *testing.T, mib int64) string {
	t.Helper()
	dir := t.TempDir()
	file, at := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(file)
	if err == nil {
		err = errors.Join(f.Truncate(mib<<20), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", file}, {"mount", "-o", "loop", file, at}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no disk to fill here: %v: %v %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return at
}

// fill takes the room of a disk, up to the last byte with left 0. The file it
// returns holds it. Most of it is only reserved, which is as good to others, and at
// once: to write it is to write the image twice.
func fill(t *testing.T, disk string, left int64) string {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, fmt.Sprintf("filler-%d", left)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	if most := room(t, disk) - left - int64(len(chunk)); most > 0 {
		if err := syscall.Fallocate(int(f.Fd()), 0, 0, most); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(0, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
	}
	for left == 0 || room(t, disk) > left {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// startTaker takes the room of a disk, up to the last byte, and what becomes free
// there: nodes on a full disk release their ballasts and cut their logs, and one
// to which that is enough has room again. What it returns ends that and gives all
// of it back.
func startTaker(t *testing.T, disk string) (end func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, "taker"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer f.Close()
		for chunk := make([]byte, 1<<20); ctx.Err() == nil; {
			if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
				rest(ctx.Done(), 10*time.Millisecond)
			} else if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	return func() {
		stop()
		<-done
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

func room(t *testing.T, disk string) int64 {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(disk, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// writers are clients that write without pause.
type writers struct {
	ok, refused, other atomic.Int64
	mu                 sync.Mutex     // guards what follows
	keys               map[string]int // acknowledged: key -> length
	odd                string         // the last answer that was neither
	stop               chan struct{}
	wg                 sync.WaitGroup
}

// startWriters starts n of them with values of that many bytes.
func startWriters(addrs []string, n, bytes int) *writers {
	w := &writers{keys: make(map[string]int), stop: make(chan struct{})}
	for i := range n {
		w.wg.Go(func() { w.run(i, addrs, bytes) })
	}
	return w
}

func (w *writers) run(i int, addrs []string, bytes int) {
	var nodes []target
	for _, addr := range addrs {
		nodes = append(nodes, target{addr: addr})
	}
	c := newClients(nodes, 20*time.Second)
	defer c.close()
	random := rand.NewChaCha8([32]byte{byte(i)}) // does not compress
	value := make([]byte, bytes)
	for n := 0; ; n++ {
		select {
		case <-w.stop:
			return
		default:
		}
		_, _ = random.Read(value)
		key := fmt.Sprintf("key:%d:%d", i, n)
		v, _, err := c.call(n%len(addrs), []string{"SET", key, string(value)})
		switch {
		case err == nil && string(v[0].Str) == "OK":
			w.ok.Add(1)
			w.mu.Lock()
			w.keys[key] = len(value)
			w.mu.Unlock()
		case err == nil && strings.HasPrefix(string(v[0].Str), "NOSPACE "):
			w.refused.Add(1)
			rest(w.stop, time.Millisecond)
		default:
			w.other.Add(1)
			w.mu.Lock()
			w.odd = fmt.Sprint(v, err)
			w.mu.Unlock()
			rest(w.stop, time.Millisecond)
		}
	}
}

func (w *writers) end() {
	close(w.stop)
	w.wg.Wait()
}

// check reads back every write that was acknowledged, through a node.
func (w *writers) check(t *testing.T, addr string) {
	t.Helper()
	c := newClients([]target{{addr: addr}}, 20*time.Second)
	defer c.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, n := range w.keys {
		if v, _, err := c.call(0, []string{"STRLEN", key}); err != nil || v[0].Int != int64(n) {
			t.Fatalf("%s through %s: %v %v, want %d", key, addr, v, err, n)
		}
	}
}

// begins waits until the counter has risen.
func begins(t *testing.T, what string, n *atomic.Int64) {
	t.Helper()
	from := n.Load()
	eventually(t, func() error {
		if n.Load() <= from+20 {
			return fmt.Errorf("no %s: %d", what, n.Load())
		}
		return nil
	})
}

// All nodes share one disk, and writers fill it; then somebody else takes what
// is left, to the last byte, and whatever the nodes give back.
func TestFullDiskOfAllNodes(t *testing.T) {
	t.Parallel()
	disk := image(t, 1200)
	c := startDev(t, filepath.Join(disk, "data"), 3)
	filler := fill(t, disk, 400<<20)
	w := startWriters([]string{c.addr(0), c.addr(1), c.addr(2)}, 4, 32<<10)
	begins(t, "refusals", &w.refused)
	endTaker := startTaker(t, disk)
	time.Sleep(3 * time.Second)
	eventually(t, func() error {
		s, err := askStatus(c.addr(0), time.Second)
		if err != nil || !strings.Contains(s.Verdict, "No disk has room") {
			return fmt.Errorf("%s %w", s.Verdict, err)
		}
		return nil
	})
	for i := range 3 {
		c.wants(t, i, "32768", "STRLEN", "key:0:0")
	}
	c.wants(t, 0, "(error) NOSPACE ", "SET", "a", "b")
	// A node that starts now may have to wait for room.
	send(t, c.pids(t)[2], syscall.SIGKILL)
	c.line(t, "node 3 ended: signal: killed")
	endTaker()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	begins(t, "writes", &w.ok)
	w.end()
	for i := range 3 {
		eventually(t, func() error {
			_, err := askStatus(c.addr(i), time.Second)
			return err
		})
		w.check(t, c.addr(i))
	}
	for _, i := range []int{1, 2} {
		if strings.Contains(c.text(), fmt.Sprintf("node %d ended", i)) {
			t.Errorf("node %d ended:\n%s", i, c.text())
		}
	}
	t.Logf("%d acknowledged, %d refused, %d other: %s", w.ok.Load(), w.refused.Load(), w.other.Load(), w.odd)
	c.stop(t)
}

// What has been deleted from a full disk is room again, without an operator.
func TestDeletesMakeRoom(t *testing.T) {
	t.Parallel()
	disk := image(t, 600)
	c := startDev(t, filepath.Join(disk, "data"), 1)
	fill(t, disk, 250<<20)
	w := startWriters([]string{c.addr(0)}, 4, 32<<10)
	begins(t, "refusals", &w.refused)
	w.end()
	k := newClients([]target{{addr: c.addr(0)}}, 20*time.Second)
	defer k.close()
	for key := range w.keys {
		if v, _, err := k.call(0, []string{"DEL", key}); err != nil || v[0].Int != 1 {
			t.Fatalf("DEL %s: %v %v", key, v, err)
		}
	}
	w = startWriters([]string{c.addr(0)}, 4, 32<<10)
	begins(t, "writes", &w.ok)
	w.end()
	c.stop(t)
}

// Only the leader's disk is full: another node leads, and nobody is refused
// anything, not even by the full node.
func TestFullDiskOfTheLeader(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var disks []string
	for i := range 3 {
		disk := image(t, 500)
		disks = append(disks, disk)
		name := nodeFolder(uint64(i + 1))
		if err := errors.Join(os.Mkdir(filepath.Join(disk, name), 0o755), os.Symlink(filepath.Join(disk, name), filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	c := startDev(t, dir, 3)
	w := startWriters([]string{c.addr(0), c.addr(1), c.addr(2)}, 3, 100)
	begins(t, "writes", &w.ok)
	full := int(c.status(t).Shards[0].Leader) - 1
	fillers := []string{fill(t, disks[full], 40<<20)}
	eventually(t, func() error {
		s, err := askStatus(c.addr(full), time.Second)
		if err != nil || int(s.Shards[0].Leader) == full+1 || s.Shards[0].Leader == 0 || !s.Nodes[full].Full {
			return fmt.Errorf("%s %+v %w", s.Verdict, s.Shards, err)
		}
		return nil
	})
	begins(t, "writes", &w.ok)
	fillers = append(fillers, fill(t, disks[full], 0))
	time.Sleep(3 * time.Second)
	begins(t, "writes", &w.ok)
	c.wants(t, full, "100", "STRLEN", "key:0:0")
	for _, name := range fillers {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error {
		s, err := askStatus(c.addr(full), time.Second)
		if err != nil || s.Nodes[full].Full {
			return fmt.Errorf("%s %w", s.Verdict, err)
		}
		return nil
	})
	w.end()
	w.check(t, c.addr(full))
	if strings.Contains(c.text(), "ended") || w.refused.Load()+w.other.Load() > 0 {
		t.Errorf("%d refused, %d other: %s\n%s", w.refused.Load(), w.other.Load(), w.odd, c.text())
	}
	t.Logf("%d acknowledged", w.ok.Load())
	c.stop(t)
}

// On a disk that is too small the demo does not begin, and says so at once.
func TestDemoNamesAFullDisk(t *testing.T) {
	t.Parallel()
	tmp := image(t, 64)
	r := launch(t, tmp, "demo", "--input", demoInput(t, 10))
	if code := r.ends(t); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if line := r.line(t, "the disk of "+tmp+" has "); !strings.Contains(line, " left, and the demo takes up to ") {
		t.Errorf("it says %s", line)
	}
	if entries, err := filepath.Glob(filepath.Join(tmp, "tutti-*")); err != nil || len(entries) > 0 {
		t.Errorf("it leaves %v, %v", entries, err)
	}
}
