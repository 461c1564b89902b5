package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The benchmarks of others are run with fewer tasks, which their copies say, and a run that
// did not come to its end has fewer results than it should.
func TestFrameworks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmark_test.go")
	for _, x := range []struct{ source, want string }{
		{"const count = 100000\nif n%100 == 0 && enqueued < 10000 {", "const count = 1000\nif n%100 == 0 && enqueued < 100 {"},
		{"const count = 10", ""},
	} {
		if err := os.WriteFile(path, []byte(x.source), 0o400); err != nil {
			t.Fatal(err)
		}
		err := divideCounts(path, 100)
		got, _ := os.ReadFile(path)
		if x.want == "" && err == nil || x.want != "" && (err != nil || string(got) != x.want) {
			t.Errorf("%q became %q, %v", x.source, got, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}

	asynq := "goos: linux\nBenchmarkEndToEndSimple-2   \t       1\t10892600000 ns/op\nBenchmarkEndToEndMultipleQueues \t 1\t 4953000 ns/op\n"
	all, err := readAsynqBench([]byte(asynq))
	if err == nil || len(all) != 2 || all[0].Benchmark != "asynq EndToEndSimple" || all[0].Ms != 10892.6 {
		t.Errorf("two of three: %+v, %v", all, err)
	}
	if all, err := readAsynqBench([]byte(asynq + "BenchmarkClientWhileServerRunning 1 1.5 ns/op\nPASS\n")); err != nil || len(all) != 3 {
		t.Errorf("three of three: %+v, %v", all, err)
	}
	node := "{\"benchmark\":\"queue-add\",\"ms\":12.5}\nError: it broke\n"
	if all, err := readBullMQBench([]byte(node)); err == nil || len(all) != 1 || all[0].Benchmark != "bullmq queue-add" || all[0].Ms != 12.5 {
		t.Errorf("one of four: %+v, %v", all, err)
	}
}
