package main

import (
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// memoryTasks runs tasks at once, of which it loses one in so many.
type memoryTasks struct {
	loseEvery int

	mu    sync.Mutex // guards what follows
	added int
	ran   func(payload []byte)
}

func (m *memoryTasks) work(_ context.Context, ran func(payload []byte)) (stop func(), err error) {
	m.ran = ran
	return func() {}, nil
}

func (m *memoryTasks) add(_ context.Context, _ int, payloads [][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range payloads {
		if m.added++; m.loseEvery == 0 || m.added%m.loseEvery != 0 {
			m.ran(p)
		}
	}
	return nil
}

func (m *memoryTasks) cpu() (time.Duration, error) { return 0, nil }

func (m *memoryTasks) stop() {}

// A round in which a task was acknowledged and did not run has no figures.
func TestMeasureTasks(t *testing.T) {
	for _, c := range taskCases() {
		s, err := goTasks{&memoryTasks{}}.measure(t.Context(), c, 50*time.Millisecond)
		if err != nil || s.Ops == 0 || s.Errors != 0 {
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
	}
	lossy := &memoryTasks{loseEvery: 100}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // it would wait longer for what is lost
	defer cancel()
	if s, err := (goTasks{lossy}).measure(ctx, taskCases()[1], 50*time.Millisecond); err == nil {
		t.Errorf("tasks were lost: %+v", s)
	}
}

// BullMQ's program says what came of a case; what it lost fails the round as well.
func TestBullMQResult(t *testing.T) {
	for _, x := range []struct{ line, fails string }{
		{`{"ops":400,"seconds":2,"clientMicros":800,"p50":1.5,"p99":9,"left":0,"errors":0}`, ""},
		{`{"ops":400,"seconds":2,"left":3,"errors":0}`, "3 tasks that were acknowledged did not run"},
		{`{"ops":0,"seconds":2,"left":0,"errors":7,"first":"OOM"}`, "7 errors, the first: OOM"},
	} {
		var r bullmqResult
		if err := json.Unmarshal([]byte(x.line), &r); err != nil {
			t.Fatal(err)
		}
		s, err := r.sample(4 * time.Millisecond)
		switch {
		case x.fails != "":
			if err == nil || !strings.Contains(err.Error(), x.fails) {
				t.Errorf("%s: %v", x.line, err)
			}
		case err != nil || s.OpsPerSec != 200 || s.ClientCPUUs != 2 || s.ServerCPUUs != 10 || s.P50Ms != 1.5 || s.P99Ms != 9:
			t.Errorf("%s: %+v, %v", x.line, s, err)
		}
	}
}

// What processes have used that have ended counts for the one that started them: those of
// PostgreSQL come and go.
func TestFamilyCPU(t *testing.T) {
	cmd := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; echo done; read x`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
	}()
	if _, err := io.ReadFull(out, make([]byte, len("done\n"))); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	alone, err := cpuTime([]int{pid})
	if err != nil {
		t.Fatal(err)
	}
	all, err := familyCPU(pid)
	if err != nil || all < alone+3*clockTick {
		t.Errorf("with what has ended %v, without %v, %v", all, alone, err)
	}
}
