// Frameworks tries job frameworks that stand on Redis against a cluster whose nodes and
// workers are killed. Nothing of a framework is changed; only the address differs.
//
//	go run . [-jobs 10000] [-workers 3] [-kill nodes,workers] [-stand] [-seed 1] [-redis [-away 5ms]] [-hard] asynq|bullmq|celery|celery-chords|rq|rq-simple|sidekiq …
//
// Three nodes are formed by init and join, and a gateway beside them. While jobs are added to
// several queues, some of them with a delay and some that fail at first, a node is killed
// every few seconds, and a worker at random. What each job does is recorded in the
// cluster, and what the workers did in a file of each. It ends with a line: every job that
// was added has had its effect, and a job ran twice only if a worker was killed; where a
// framework loses a job of a worker that is killed, that is said. One that loses by design
// whatever a killed worker was executing (Sidekiq) has its workers asked to end by SIGTERM,
// as it wants it; with -hard they are killed. With -stand workers are also stopped for longer
// than their framework waits for them, and go on. Exit code 0: that held.
// With -redis the same is tried on one redis-server, where only workers are killed: what
// happens there as well is the framework's own. With -away everything takes so long to that
// redis-server and back: an answer that takes longer leaves more time in which a worker that
// is killed had a job, and nobody had noted that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
)

// workerWord is the first argument of this program as a worker.
const workerWord = "worker"

func main() {
	if len(os.Args) > 1 && os.Args[1] == workerWord {
		os.Exit(work(os.Args[2:]))
	}
	binary := flag.String("tutti", "", "the program to try (default: it is built)")
	jobs := flag.Int("jobs", 1000, "how many jobs are added")
	workers := flag.Int("workers", 3, "how many workers there are: RQ's does one job at a time")
	kill := flag.String("kill", "nodes,workers", "what is killed: nodes, workers, nodes,workers, or none")
	plain := flag.Bool("redis", false, "try one redis-server instead, which is not killed")
	away := flag.Duration("away", 0, "with -redis: how long everything takes to redis-server, and back, as from a server that is far away or asks others first")
	hard := flag.Bool("hard", false, "kill workers also of a framework that loses their jobs by design")
	stand := flag.Bool("stand", false, "stop workers for a while (SIGSTOP) before they are killed, or go on")
	seed := flag.Uint64("seed", 0, "of the times at which workers are killed or stopped (default: a random one, which is told)")
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64N(1 << 32)
	}
	if !slices.Contains([]string{"nodes", "workers", "nodes,workers", "none"}, *kill) {
		fmt.Fprintf(os.Stderr, "-kill %s: choose nodes, workers, nodes,workers, or none\n", *kill)
		os.Exit(2)
	}
	if *jobs < 1 || *workers < 1 {
		fmt.Fprintln(os.Stderr, "-jobs and -workers must be positive")
		os.Exit(2)
	}
	names := flag.Args()
	for _, name := range names {
		if frameworks()[name] == nil {
			fmt.Fprintf(os.Stderr, "no framework %s is known here; there are: %s\n", name, strings.Join(slices.Sorted(maps.Keys(frameworks())), ", "))
			os.Exit(2)
		}
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(frameworks()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	redis.SetLogger(process.Quiet{})
	code := 0
	for _, name := range names {
		verdict, err := process.InFolder("tutti-frameworks-", func(dir string) (string, error) {
			t := &trial{framework: frameworks()[name], name: name, dir: dir, jobs: *jobs, workers: *workers, redis: *plain, away: *away, hard: *hard, seed: *seed, workersStand: *stand}
			t.nodesDie, t.workersDie = strings.Contains(*kill, "nodes") && !*plain, strings.Contains(*kill, "workers")
			return t.try(ctx, *binary)
		})
		if err != nil {
			verdict, code = fmt.Sprintf("FAILED: %s (seed %d): %v", name, *seed, err), 1
		}
		fmt.Println(verdict)
	}
	os.Exit(code)
}

// try runs all in the trial's folder.
func (t *trial) try(ctx context.Context, binary string) (verdict string, err error) {
	if t.self, err = os.Executable(); err != nil {
		return "", err
	}
	if err := t.install(t.dir); err != nil {
		return "", err
	}
	start := func() (*system, error) { return startTutti(ctx, t.dir, binary) }
	if t.redis {
		start = func() (*system, error) { return startRedis(ctx, t.dir, t.away) }
	}
	s, err := start()
	defer func() { err = errors.Join(err, s.stop()) }()
	if err != nil {
		return "", err
	}
	t.nodes, t.gateway, t.client = s.nodes, s.gateway, s.client
	return t.run(ctx)
}
