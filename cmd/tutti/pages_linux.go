package main

import (
	"math"
	"os"
	"runtime/debug"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// hugeHeap is for how much of Go's heap the system is asked for huge pages: more
	// than the memtables, the cache of blocks and the buffers of a busy node take.
	hugeHeap  = 1 << 30
	hugeBlock = 4 << 20 // asked for at a time
)

// hugePages is where Go's heap lies in huge pages.
type hugePages struct {
	blocks []addresses
}

type addresses struct{ first, size uintptr }

// useHugePages has the first size bytes of Go's heap lie in huge pages (of 2 MiB on
// amd64), if the system gives them to those who ask, and only to those. A memtable is
// walked all over for each row, and filled page by page: with small ones SET takes a
// quarter more of the processors. Go never asks, but keeps to the lowest addresses: so
// memory that is asked for here, and given back, is what the heap is made of later. It
// is for the start of a process, and takes nothing but addresses.
//
// The system also puts small pages together, with what was given back between them: so
// nothing is asked for before the node is busy, see want.
func useHugePages(size int64) hugePages {
	var p hugePages
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		size = min(size, limit/2)
	}
	if !hugePagesOnDemand("/") || addressesAreFew() || size < hugeBlock {
		return p
	}
	// In blocks, as Go fills one with zeros that begins where something was before.
	blocks := make([][]byte, size/hugeBlock)
	for i := range blocks {
		blocks[i] = make([]byte, hugeBlock)
		p.add(addresses{uintptr(unsafe.Pointer(unsafe.SliceData(blocks[i]))), hugeBlock})
	}
	clear(blocks) // garbage, from here on
	debug.FreeOSMemory()
	return p
}

// add joins blocks that lie in a row.
func (p *hugePages) add(a addresses) {
	if n := len(p.blocks); n > 0 && p.blocks[n-1].first+p.blocks[n-1].size == a.first {
		p.blocks[n-1].size += a.size
		return
	}
	p.blocks = append(p.blocks, a)
}

// want says whether what the heap touches from now on is to lie in huge pages.
func (p hugePages) want(is bool) {
	advice := uintptr(unix.MADV_NOHUGEPAGE)
	if is {
		advice = unix.MADV_HUGEPAGE
	}
	for _, b := range p.blocks {
		// Only an advice, which changes nothing of what is there, whoever has it now.
		// Who is refused goes on with small pages.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, b.first, b.size, advice)
	}
}

// hugePagesOnDemand says whether to ask, for a system whose files lie in root: not where
// each process has them anyway, or none, nor where addresses are counted as memory.
func hugePagesOnDemand(root string) bool {
	given, err := os.ReadFile(root + "sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || !strings.Contains(string(given), "[madvise]") {
		return false
	}
	if commit, err := os.ReadFile(root + "proc/sys/vm/overcommit_memory"); err != nil || strings.TrimSpace(string(commit)) == "2" {
		return false
	}
	return true
}

// addressesAreFew says whether the process may have so many addresses only.
func addressesAreFew() bool {
	for _, kind := range []int{unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		var r unix.Rlimit
		if err := unix.Getrlimit(kind, &r); err != nil || r.Cur != unix.RLIM_INFINITY {
			return true
		}
	}
	return false
}
