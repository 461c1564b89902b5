package sim

import (
	"bytes"
	"strings"
	"sync"
)

// tail keeps the newest lines of a log.
type tail struct {
	mu    sync.Mutex // guards lines
	lines []string
}

// tailLines bounds the memory. logsEnv names the folder where a failed test
// leaves what it has; if it is set, nodes log their chatter, too.
const (
	tailLines = 20_000
	logsEnv   = "TUTTI_SIM_LOGS"
)

func (t *tail) Write(p []byte) (int, error) {
	line := stamp() + " " + string(bytes.TrimSpace(p))
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) >= tailLines {
		t.lines = t.lines[1:]
	}
	t.lines = append(t.lines, line)
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
