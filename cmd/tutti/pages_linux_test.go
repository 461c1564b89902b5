package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// memoryOf reads how much memory this process has, of a kind that a file of /proc tells.
func memoryOf(t *testing.T, file, kind string) (n int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if size, is := strings.CutPrefix(line, kind+":"); is {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(size), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("/proc/self/%s has no %s", file, kind)
	return 0
}

func TestHeapLiesInHugePages(t *testing.T) {
	if !hugePagesOnDemand("/") || addressesAreFew() {
		t.Skip("this system gives huge pages to all processes, or to none, or counts addresses")
	}
	const size = 256 << 20
	debug.FreeOSMemory()         // what other tests have left
	used := make([]byte, 16<<20) // what a heap has that was used before
	for i := range used {
		used[i] = 1
	}
	runtime.KeepAlive(used)
	runtime.GC()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak begins anew
		t.Fatal(err)
	}
	before, huge := memoryOf(t, "status", "VmRSS"), memoryOf(t, "smaps_rollup", "AnonHugePages")
	pages := useHugePages(size)
	if taken := memoryOf(t, "status", "VmHWM") - before; taken > size/2 {
		t.Errorf("%d MiB were taken before anything is in them", taken>>20)
	}
	pages.want(true)
	defer pages.want(false)
	heap := make([]byte, size*3/4)
	for i := 0; i < len(heap); i += 4 << 10 {
		heap[i] = 1
	}
	if got := memoryOf(t, "smaps_rollup", "AnonHugePages") - huge; got < size/2 {
		t.Errorf("of %d MiB %d lie in huge pages", len(heap)>>20, got>>20)
	}
	runtime.KeepAlive(heap)
}

func TestHugePagesOnDemand(t *testing.T) {
	for _, c := range []struct {
		name, given, commit string
		want                bool
	}{
		{"on demand", "always [madvise] never\n", "0\n", true},
		{"for all", "[always] madvise never\n", "0\n", false},
		{"never", "always madvise [never]\n", "0\n", false},
		{"addresses are counted", "always [madvise] never\n", "2\n", false},
		{"no such thing", "", "0\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir() + "/"
			for file, text := range map[string]string{"sys/kernel/mm/transparent_hugepage/enabled": c.given, "proc/sys/vm/overcommit_memory": c.commit} {
				if text == "" {
					continue
				}
				if err := os.MkdirAll(filepath.Dir(root+file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(root+file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := hugePagesOnDemand(root); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}
