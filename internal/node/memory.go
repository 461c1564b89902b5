package node

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// stores is how the stores of a node of the cluster are opened.
func (c *Config) stores(s Self, m *cluster.Map) store.Config {
	return store.Config{FS: c.FS, Dir: c.Dir, Logger: c.Logger, Small: s.Small, Bare: bare(m, s.Node), MemtableBytes: c.MemtableBytes, RowBytes: c.rowBytes(s.Small)}
}

// bare reports whether a node is to hold no replicas. Should its role change, what that
// says of its stores holds from its next start on.
func bare(m *cluster.Map, id cluster.NodeID) bool {
	x, ok := m.Member(id)
	return ok && x.Role == cluster.Gateway
}

// Memory for rows.
const (
	// rowShare is the part of the machine's memory that rows may take, rowShareTold
	// that of a limit for Go's heap, outside of which they lie: whoever sets one
	// leaves about a tenth of what the process may have beside it.
	rowShare     = 8
	rowShareTold = 16
	// rowBytesSmall is for nodes that are to be small, rowBytesUnknown for a
	// machine that does not tell how much memory it has.
	rowBytesSmall   = 64 << 20
	rowBytesUnknown = 256 << 20
	// rowBytesTest makes rows give way to others in a test with small memtables.
	rowBytesTest = 256 << 10
)

// rowBytes is the memory for rows, of which the node takes what they need.
func (c *Config) rowBytes(small bool) int64 {
	if c.MemtableBytes != 0 {
		return rowBytesTest
	}
	size := int64(rowBytesUnknown)
	if available := memoryMax(); available != 0 {
		size = int64(min(available, math.MaxInt64) / rowShare)
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		size = min(size, limit/rowShareTold)
	}
	if small {
		size = min(size, rowBytesSmall)
	}
	return size
}

// Memory for clients: what they send and what they are sent, while it waits.
const (
	clientShare    = 8
	clientBytesMin = 64 << 20
)

// clientBytes is how much all clients together may make the node hold.
func clientBytes() int64 {
	most := int64(math.MaxInt64)
	if available := memoryMax(); available != 0 {
		most = int64(min(available, math.MaxInt64))
	}
	if most = min(most, debug.SetMemoryLimit(-1)); most == math.MaxInt64 {
		return 0 // nobody knows
	}
	return max(most/clientShare, clientBytesMin)
}

// memoryMax returns what the machine and the control group let the process have,
// in bytes; 0 if that is not known, as on other systems than Linux.
func memoryMax() uint64 {
	least := uint64(0)
	for _, source := range []struct{ file, prefix, unit string }{
		{"/proc/meminfo", "MemTotal:", "kB"},
		{"/sys/fs/cgroup/memory.max", "", ""},
		{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "", ""},
	} {
		text, err := os.ReadFile(source.file)
		if err != nil {
			continue
		}
		line, _, _ := strings.Cut(strings.TrimPrefix(string(text), source.prefix), "\n")
		n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), source.unit)), 10, 64)
		if err != nil {
			continue // "max": no limit
		}
		if source.unit == "kB" {
			n <<= 10
		}
		if least == 0 || n < least {
			least = n
		}
	}
	return least
}
