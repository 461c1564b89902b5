package main

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// bullMQ has the programs that make loads, and the versions of what they use.
//
//go:embed bullmq/tasks.js bullmq/own.js bullmq/package.json bullmq/package-lock.json
var bullMQ embed.FS

// provideBullMQ has npm install BullMQ in the folder of the run.
func (l *lab) provideBullMQ(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			delete(l.versions, "bullmq") // of Redis alone
		}
	}()
	if err := l.provideDebian(ctx, "bullmq"); err != nil {
		return err
	}
	for program, pkg := range map[string]string{"node": "nodejs", "npm": "npm"} {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if err := aptInstall(ctx, pkg); err != nil {
			return err
		}
	}
	if err := os.CopyFS(l.dir, bullMQ); err != nil {
		return err
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = filepath.Join(l.dir, "bullmq")
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, lastLines(string(out), 5))
	}
	show := exec.CommandContext(ctx, "node", "-p", `"bullmq " + require("bullmq/package.json").version + " on node " + process.version`)
	show.Dir = install.Dir
	out, err := show.Output()
	if err != nil {
		return fmt.Errorf("the version of bullmq: %w", err)
	}
	l.versions["bullmq"] = strings.TrimSpace(string(out)) + ", " + l.versions["bullmq"]
	return nil
}

// bullmqTasks is BullMQ on one Redis that fsyncs each write before it answers, as Asynq's.
// Its producers and handlers are one process of Node, which takes cases line by line.
type bullmqTasks struct {
	redis *process
	node  *exec.Cmd
	in    io.WriteCloser
	said  chan string // lines; closed when the process has ended
	log   string
}

func startBullMQ(ctx context.Context, l *lab) (_ taskSystem, err error) {
	dir, err := l.clusterDir("bullmq")
	if err != nil {
		return nil, err
	}
	b := &bullmqTasks{log: filepath.Join(dir, "node.log")}
	defer func() {
		if err != nil {
			b.stop()
		}
	}()
	var port int
	if b.redis, port, err = startDurableRedis(ctx, dir, l.binary["bullmq"]); err != nil {
		return nil, err
	}
	if err := b.startNode(filepath.Join(l.dir, "bullmq"), port); err != nil {
		return nil, err
	}
	return b, nil
}

// startNode starts the program that makes the load.
func (b *bullmqTasks) startNode(dir string, port int) error {
	log, err := os.Create(b.log)
	if err != nil {
		return err
	}
	defer log.Close()
	node := exec.Command("node", "tasks.js", strconv.Itoa(port))
	node.Dir, node.Stderr = dir, log
	node.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a server: Ctrl-C is for us
	if b.in, err = node.StdinPipe(); err != nil {
		return err
	}
	out, err := node.StdoutPipe()
	if err != nil {
		return err
	}
	if err := node.Start(); err != nil {
		return err
	}
	b.node, b.said = node, make(chan string)
	go b.listen(out)
	return nil
}

// listen hands on what the process says until it ends.
func (b *bullmqTasks) listen(out io.Reader) {
	defer close(b.said)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		b.said <- lines.Text()
	}
}

// line is the next that the process says.
func (b *bullmqTasks) line(ctx context.Context, longest time.Duration) (string, error) {
	select {
	case line, ok := <-b.said:
		if ok {
			return line, nil
		}
		said, _ := os.ReadFile(b.log)
		return "", fmt.Errorf("the process of node has ended; it said:\n%s", lastLines(string(said), 8))
	case <-time.After(longest):
		return "", fmt.Errorf("the process of node has said nothing for %v", longest)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// bullmqCase is a case as the program takes it.
type bullmqCase struct {
	Name        string `json:"name"`
	Producers   int    `json:"producers"`
	Batch       int    `json:"batch"`
	Idle        bool   `json:"idle"`
	Handlers    int    `json:"handlers"`
	Backlog     int    `json:"backlog"`
	Bytes       int    `json:"bytes"`
	IdlePauseMs int64  `json:"idlePauseMs"`
	WarmUpMs    int64  `json:"warmUpMs"`
	MeasureMs   int64  `json:"measureMs"`
	SettleMs    int64  `json:"settleMs"`
}

// bullmqResult is what the program makes of a case.
type bullmqResult struct {
	Ops          int     `json:"ops"`
	Seconds      float64 `json:"seconds"`
	ClientMicros float64 `json:"clientMicros"`
	P50          float64 `json:"p50"`
	P99          float64 `json:"p99"`
	Left         int     `json:"left"` // were acknowledged and did not run
	Errors       int     `json:"errors"`
	First        string  `json:"first"`
}

func (b *bullmqTasks) measure(ctx context.Context, c taskCase, measure time.Duration) (sample, error) {
	err := json.NewEncoder(b.in).Encode(bullmqCase{Name: c.name, Producers: c.producers, Batch: c.batch, Idle: c.idle, Handlers: taskHandlers,
		Backlog: taskBacklog, Bytes: taskPayloadSize, IdlePauseMs: taskIdlePause.Milliseconds(), WarmUpMs: measure.Milliseconds() / 5,
		MeasureMs: measure.Milliseconds(), SettleMs: taskSettleTime.Milliseconds()})
	if err != nil {
		return sample{}, err
	}
	var used [2]time.Duration // of Redis
	for i, want := range []string{"began", "ended"} {
		line, err := b.line(ctx, measure+askTimeout)
		if err != nil {
			return sample{}, err
		}
		if line != want {
			return sample{}, fmt.Errorf("the process of node says %q, not %q", line, want)
		}
		if used[i], err = cpuTime([]int{b.redis.pid()}); err != nil {
			return sample{}, err
		}
	}
	line, err := b.line(ctx, taskSettleTime+askTimeout)
	if err != nil {
		return sample{}, err
	}
	var r bullmqResult
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return sample{}, fmt.Errorf("the process of node says %q: %w", line, err)
	}
	return r.sample(used[1] - used[0])
}

// sample is the result with the processor time of Redis.
func (r bullmqResult) sample(server time.Duration) (sample, error) {
	switch {
	case r.Left > 0:
		return sample{}, fmt.Errorf("%d tasks that were acknowledged did not run within %v", r.Left, taskSettleTime)
	case r.Ops == 0:
		return sample{}, fmt.Errorf("no task has run in %.1f s; %d errors, the first: %w", r.Seconds, r.Errors, errors.New(r.First))
	}
	ops := float64(r.Ops)
	return sample{OpsPerSec: ops / r.Seconds, P50Ms: r.P50, P99Ms: r.P99, ServerCPUUs: float64(server.Microseconds()) / ops,
		ClientCPUUs: r.ClientMicros / ops, Ops: r.Ops, Errors: r.Errors, Seconds: r.Seconds, FirstError: r.First}, nil
}

func (b *bullmqTasks) stop() {
	if b.node != nil {
		_ = b.in.Close() // which ends it between two cases
		quit := time.AfterFunc(5*time.Second, func() { _ = b.node.Process.Kill() })
		for range b.said {
		}
		_ = b.node.Wait() // how it ended is not asked any more
		quit.Stop()
	}
	if b.redis != nil {
		b.redis.stop()
	}
}
