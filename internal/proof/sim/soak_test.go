package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

// The soak runs fresh seeds for as long as TUTTI_SOAK says, in one process per
// core: what makes the jitter of elections repeatable allows one cluster at a
// time in a process. Its last lines are what all of them amounted to.
//
//	make soak TIME=1h
//	TUTTI_SOAK=1h TUTTI_SIM_FIRST=5000 go test -timeout=0 ./internal/proof/sim -run '^TestSoak$' -v
const (
	soakEnv   = "TUTTI_SOAK"
	workerEnv = "TUTTI_SOAK_WORKER" // K/N, results file: the seeds first+K, first+K+N, …
)

// soakFor is how long each cluster of the soak lives, seedMax how long that may
// take in real time.
const (
	soakFor = 95 * time.Second
	seedMax = 5 * time.Minute
	// soakOps is how many operations per virtual second there must be: idle time
	// proves nothing.
	soakOps = 20
)

func TestSoak(t *testing.T) {
	soak, err := time.ParseDuration(os.Getenv(soakEnv))
	if err != nil {
		t.Skipf("this takes a while: set %s=10m, or run make soak", soakEnv)
	}
	if job := os.Getenv(workerEnv); job != "" {
		soakWorker(t, job, time.Now().Add(soak))
		return
	}
	first, workers := env("TUTTI_SIM_FIRST", uint64(time.Now().Unix())), runtime.GOMAXPROCS(0)
	t.Logf("%d processes, seeds from %d on", workers, first)
	dir, logs := t.TempDir(), logsDir(t)
	var total stats
	var mu sync.Mutex // guards total
	var wg sync.WaitGroup
	for k := range workers {
		wg.Go(func() {
			results := filepath.Join(dir, fmt.Sprint(k))
			cmd := exec.Command(os.Args[0], "-test.run=^TestSoak$", "-test.timeout=0", "-test.v")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d/%d %s", workerEnv, k, workers, results), fmt.Sprintf("TUTTI_SIM_FIRST=%d", first), "GOMAXPROCS=1", "GOGC=400")
			log, err := os.Create(filepath.Join(logs, fmt.Sprintf("soak-%d.out", k)))
			if err != nil {
				t.Error(err)
				return
			}
			defer log.Close()
			cmd.Stdout, cmd.Stderr = log, log
			err = cmd.Run()
			mu.Lock()
			defer mu.Unlock()
			total.addFile(t, results)
			total.CPU += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			if err != nil {
				t.Errorf("process %d: %v; see %s", k, err, log.Name())
			}
		})
	}
	wg.Wait()
	t.Logf("in %v: %v", soak, &total)
	if rate := float64(total.Ops) / total.Virtual.Seconds(); rate < soakOps {
		t.Errorf("%.1f operations per virtual second prove little: expected %d", rate, soakOps)
	}
}

// soakWorker runs seeds until end. Its results are there even if it dies.
func soakWorker(t *testing.T, job string, end time.Time) {
	var k, n uint64
	var results string
	if _, err := fmt.Sscanf(job, "%d/%d %s", &k, &n, &results); err != nil {
		t.Fatal(err)
	}
	for seed := env("TUTTI_SIM_FIRST", 1) + k; time.Now().Before(end); seed += n {
		var st *stats
		stuck := time.AfterFunc(seedMax, func() {
			// What all goroutines do tells why.
			debug.SetTraceback("all")
			panic(fmt.Sprintf("seed %d has not ended after %v", seed, seedMax))
		})
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { st = swarm(t, seed, soakFor) })
		stuck.Stop()
		if st == nil {
			st = &stats{Seeds: 1}
		}
		if !ok {
			st.Failed = 1
		}
		b, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		appendLine(t, results, b)
	}
}

func appendLine(t *testing.T, name string, line []byte) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

func (s *stats) addFile(t *testing.T, name string) {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
		return
	}
	for line := range strings.Lines(string(b)) {
		var o stats
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Error(err)
			return
		}
		s.add(&o)
	}
}
