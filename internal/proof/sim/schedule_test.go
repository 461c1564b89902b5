package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tutti/internal/proof/check"
)

// Saved schedules are runs that failed once. They are run again in every test,
// and one by hand:
//
//	TUTTI_SIM_SCHEDULE=/tmp/x.txt go test ./internal/proof/sim -run Schedules -count=10
func TestSchedules(t *testing.T) {
	files, err := filepath.Glob("testdata/schedules/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no saved schedules: %v", err)
	}
	if one := os.Getenv("TUTTI_SIM_SCHEDULE"); one != "" {
		files = []string{one}
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ParseSchedule(string(b))
			if err != nil {
				t.Fatal(err)
			}
			st := runSchedule(t, s, func(c *Cluster) {
				if err := c.Play(s); err != nil {
					t.Error(err)
				}
			})
			t.Logf("%d steps: %v", len(s.Steps), st)
		})
	}
}

// runSchedule lets the load of a schedule run under faults, and judges. A
// failure leaves the schedule with all that belongs to it.
func runSchedule(t *testing.T, s *Schedule, faults func(c *Cluster)) *stats {
	t.Helper()
	st := &stats{Seeds: 1}
	var left remains
	defer func() {
		if t.Failed() {
			left.save(t, s)
		}
	}()
	bubble(t, s.Options, func(t *testing.T, c *Cluster) {
		began, h := time.Now(), NewHistory()
		left = remains{c, h}
		c.live(h, s.Load, func() { faults(c) })
		st.Virtual, st.Frames = time.Since(began), c.Net.FrameCount()
		for i := 1; i <= c.Nodes(); i++ {
			if c.machine(i).leaves {
				st.Removed++
			} else if c.Dead(i) != nil {
				st.Dead++
			} else if s, err := c.Status(i); err == nil {
				st.Rebuilt += int(s.Generation)
			}
		}
	})
	h := judge(t, left.h, again(t))
	st.Ops, st.Refused, st.Unknown = len(h.Ops), h.Refused(), h.Count(check.Unknown)
	return st
}

// remains are what a run leaves that failed.
type remains struct {
	c *Cluster
	h *History
}

// logsDir is where failures leave what they have.
func logsDir(t *testing.T) string {
	dir := os.Getenv(logsEnv)
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "tutti-sim")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// base is how the names of what a failure leaves begin.
func base(t *testing.T) string {
	return filepath.Join(logsDir(t), strings.ReplaceAll(t.Name(), "/", "-"))
}

// again is the command that runs the schedule of a failure again.
func again(t *testing.T) string {
	return fmt.Sprintf("TUTTI_SIM_SCHEDULE=%s.txt go test ./internal/proof/sim -run '^TestSchedules$' -count=10", base(t))
}

func (r remains) save(t *testing.T, s *Schedule) {
	save := func(what, text string) {
		if err := os.WriteFile(base(t)+what, []byte(text), 0o644); err != nil {
			t.Log(err)
		}
	}
	save(".txt", s.String())
	if r.c == nil {
		return
	}
	for _, m := range r.c.machines {
		save("-"+m.name+".log", m.log.String())
	}
	t.Logf("the logs of the nodes lie beside the schedule; run it again:\n%s", again(t))
}
