// Frameworks tries job frameworks that stand on Redis against a cluster whose nodes and
// workers are killed. Nothing of a framework is changed; only the address differs.
//
//	go run . [-jobs 10000] [-calm] [asynq]
//
// Three nodes run under tutti dev. While jobs are added to several queues, some of them
// with a delay and some that fail at first, a node is killed every few seconds, and a
// worker at random. What each job does is recorded in the cluster, and what the workers
// did in a file of each. It ends with a line: every job that was added has had its
// effect, and a job ran twice only if a worker was killed. Exit code 0: that held.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

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
	calm := flag.Bool("calm", false, "kill nothing")
	flag.Parse()
	if framework := flag.Arg(0); framework != "" && framework != "asynq" {
		fmt.Fprintf(os.Stderr, "no framework %s is known here; there is: asynq\n", framework)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	verdict, err := process.InFolder("tutti-frameworks-", func(dir string) (string, error) {
		return try(ctx, dir, *binary, *jobs, *calm)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAILED: asynq:", err)
		os.Exit(1)
	}
	fmt.Println(verdict)
}

// try runs all in a folder.
func try(ctx context.Context, dir, binary string, jobs int, calm bool) (verdict string, err error) {
	if binary == "" {
		if binary, err = process.Build(dir); err != nil {
			return "", err
		}
	}
	nodes, err := row()
	if err != nil {
		return "", err
	}
	dev, err := process.Spawn(dir, "dev", nil, binary, "dev", "--dir", filepath.Join(dir, "data"), "--listen", nodes[0])
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, dev.Stop()) }()
	t := newTrial(dir, nodes, jobs, calm)
	defer t.close()
	if err := process.Eventually(startTimeout, "tutti dev serves", func() error { return t.client.Ping(ctx).Err() }); err != nil {
		return "", err
	}
	return t.run(ctx)
}

const startTimeout = 30 * time.Second

// row returns addresses for three nodes of tutti dev.
func row() (nodes []string, err error) {
	first, err := process.FreeRow()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(first)
	if err != nil {
		return nil, err
	}
	for i := range 3 {
		nodes = append(nodes, net.JoinHostPort(host, strconv.Itoa(number(port)+i)))
	}
	return nodes, nil
}
