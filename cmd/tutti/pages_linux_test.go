package main

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// hugeBytes is how much memory of this process lies in huge pages.
func hugeBytes(t *testing.T) (n int64) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if size, is := strings.CutPrefix(s.Text(), "AnonHugePages:"); is {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(size, "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			n += kib << 10
		}
	}
	return n
}

func TestHeapLiesInHugePages(t *testing.T) {
	if !hugePagesOnDemand("/") || addressesAreFew() {
		t.Skip("this system gives huge pages to all processes, or to none, or counts addresses")
	}
	const size = 256 << 20
	debug.FreeOSMemory() // what other tests have left
	before := hugeBytes(t)
	pages := useHugePages(size)
	if taken := hugeBytes(t) - before; taken > size/16 {
		t.Errorf("%d MiB are taken before anything is in them", taken>>20)
	}
	pages.want(true)
	defer pages.want(false)
	heap := make([]byte, size*3/4)
	for i := 0; i < len(heap); i += 4 << 10 {
		heap[i] = 1
	}
	if got := hugeBytes(t) - before; got < size/2 {
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
