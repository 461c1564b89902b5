package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine is what a reader needs to judge the figures.
type machine struct {
	Date        string            `json:"date"`
	Commit      string            `json:"commit"`
	CPU         string            `json:"cpu"`
	Cores       int               `json:"cores"`
	MemoryGiB   float64           `json:"memory_gib"`
	Kernel      string            `json:"kernel"`
	FileSystem  string            `json:"file_system"`
	FsyncP50Ms  float64           `json:"fsync_p50_ms"`
	FsyncP99Ms  float64           `json:"fsync_p99_ms"`
	Versions    map[string]string `json:"versions"`
	Go          string            `json:"go"`
	LoadAverage string            `json:"load_average_at_start"` // other work on the machine shows here
}

func describe(dir string, versions map[string]string) (machine, error) {
	m := machine{
		Date:     time.Now().UTC().Format(time.RFC3339),
		Commit:   commit(".."),
		CPU:      cpuModel(),
		Cores:    runtime.NumCPU(),
		Kernel:   firstLine("/proc/sys/kernel/osrelease"),
		Versions: versions,
		Go:       runtime.Version(),
	}
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err == nil {
		m.MemoryGiB = float64(info.Totalram) * float64(info.Unit) / (1 << 30)
	}
	m.LoadAverage = firstLine("/proc/loadavg")
	m.FileSystem = fileSystem(dir)
	var err error
	m.FsyncP50Ms, m.FsyncP99Ms, err = measureFsync(dir)
	return m, err
}

func (m machine) print(w io.Writer) {
	fmt.Fprintf(w, "%s · %d cores %s · %.0f GiB · Linux %s · %s, fsync p50 %.2f ms p99 %.2f ms\n",
		m.Date, m.Cores, m.CPU, m.MemoryGiB, m.Kernel, m.FileSystem, m.FsyncP50Ms, m.FsyncP99Ms)
	for _, name := range []string{"tutti", "redis", "etcd", "etcd-tuned", "nats", "asynq", "river", "bullmq"} {
		if v := m.Versions[name]; v != "" {
			fmt.Fprintf(w, "%-6s %s\n", name, v)
		}
	}
	fmt.Fprintf(w, "commit %s · %s · load average %s\n", m.Commit, m.Go, m.LoadAverage)
}

func firstLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

// coreTime is how long all cores of the machine have been at work, and in all, in ticks.
type coreTime struct{ busy, all float64 }

// coresUsed reads the first line of /proc/stat (proc_stat(5)): user, nice, system, idle,
// waiting for the disk, interrupts, and what other guests took.
func coresUsed() coreTime {
	var t coreTime
	for i, f := range strings.Fields(firstLine("/proc/stat")) {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil || i > 8 { // the name; guests, which count as users already
			continue
		}
		if t.all += n; i != 4 && i != 5 {
			t.busy += n
		}
	}
	return t
}

// share returns which part of the cores was at work since t was taken; 0 if nobody knows.
func (t coreTime) share() float64 {
	now := coresUsed()
	return (now.busy - t.busy) / max(now.all-t.all, 1)
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// fileSystem returns type and device of the mount that holds dir.
func fileSystem(dir string) string {
	data, _ := os.ReadFile("/proc/self/mounts")
	best, found := "", "unknown"
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 3 || len(f[1]) < len(best) {
			continue
		}
		if rel, err := filepath.Rel(f[1], dir); err == nil && !strings.HasPrefix(rel, "..") {
			best, found = f[1], f[2]+" on "+f[0]
		}
	}
	return found
}

// measureFsync times what every durable write waits for: 4 KiB appended, then
// fdatasync.
func measureFsync(dir string) (p50, p99 float64, err error) {
	file, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	const rounds = 300
	page := make([]byte, 4096)
	var h histogram
	for range rounds {
		start := time.Now()
		if _, err := file.Write(page); err != nil {
			return 0, 0, err
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return 0, 0, err
		}
		h.add(time.Since(start))
	}
	return ms(h.quantile(0.50)), ms(h.quantile(0.99)), nil
}

// commit reads which commit the repository is at, from its files: the tool
// then works without git and never takes its locks.
func commit(repo string) string {
	git := filepath.Join(repo, ".git")
	shared := git
	if dir, ok := strings.CutPrefix(firstLine(git), "gitdir: "); ok { // a worktree
		git = dir
		shared = filepath.Join(git, firstLine(filepath.Join(git, "commondir")))
	}
	head := firstLine(filepath.Join(git, "HEAD"))
	ref, ok := strings.CutPrefix(head, "ref: ")
	if !ok {
		return head
	}
	if id := firstLine(filepath.Join(shared, ref)); id != "unknown" {
		return id
	}
	packed, _ := os.ReadFile(filepath.Join(shared, "packed-refs"))
	for line := range strings.Lines(string(packed)) {
		if f := strings.Fields(line); len(f) == 2 && f[1] == ref {
			return f[0]
		}
	}
	return "unknown"
}

// fingerprint names a binary: a working tree has no commit of its own.
func fingerprint(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6]), nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median of the values; of an even number the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
