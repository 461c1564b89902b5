// Command workers tries the workers of docs/TASKS.md as a user would run them: tasks
// for two workers in Python and two in Node, one of which is killed halfway. Each task
// must end done, with the one result that its payload has.
//
//	cd e2e/workers && go run .
//
// With -faults it goes on for a while in which workers stand still for longer than
// their lease, and workers, leaders and nodes are killed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
)

const (
	tasksPerLanguage = 500
	workersEach      = 2
	killAfter        = tasksPerLanguage / 5 // tasks of the queue whose worker is killed
	endTimeout       = 60 * time.Second     // a lease, and much more
)

func main() {
	binary := flag.String("tutti", "", "the program to try (default: it is built)")
	faults := flag.Duration("faults", 0, "for how long there are faults; 0: one killed worker is all")
	seed := flag.Uint64("seed", rand.Uint64(), "what the faults are drawn from")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	verdict, err := process.InFolder("tutti-workers-", func(dir string) (string, error) {
		return try(ctx, dir, *binary, *faults, *seed)
	})
	if err != nil {
		if *faults > 0 {
			err = fmt.Errorf("seed %d: %w", *seed, err)
		}
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
	fmt.Println(verdict)
}

// try runs all in a folder.
func try(ctx context.Context, dir, binary string, faults time.Duration, seed uint64) (verdict string, err error) {
	if binary == "" {
		if binary, err = process.Build(dir); err != nil {
			return "", err
		}
	}
	languages, err := install(dir)
	if err != nil {
		return "", err
	}
	dev, err := process.StartDev(ctx, binary, dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, dev.Stop()) }()
	addr := dev.Addrs[0]
	if faults > 0 {
		r := newRound(dev, dir, languages)
		defer r.close()
		return r.run(ctx, faults, seed)
	}
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ReadTimeout: 2 * endTimeout})
	defer client.Close()
	t := &trial{client: client, dir: dir, addr: addr, languages: languages}
	defer t.close()
	return t.run(ctx)
}

// trial is the tasks and workers of all languages; each has a queue of its own, so
// that none can be idle without being noticed.
type trial struct {
	client    *redis.Client
	dir, addr string
	languages []language
	workers   []*process.Process
	ids       [][]string // by language
}

func (t *trial) run(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*endTimeout)
	defer cancel()
	for _, l := range t.languages {
		ids, err := t.add(ctx, l.name)
		if err != nil {
			return "", err
		}
		t.ids = append(t.ids, ids)
	}
	for _, l := range t.languages {
		for i := range workersEach {
			args := append(l.command[1:len(l.command):len(l.command)], t.addr, l.name)
			p, err := process.Spawn(t.dir, fmt.Sprintf("%s-%d", l.name, i), nil, l.command[0], args...)
			if err != nil {
				return "", err
			}
			t.workers = append(t.workers, p)
		}
	}
	victim := rand.IntN(len(t.workers))
	of := victim / workersEach
	if _, err := t.ended(ctx, t.ids[of][killAfter]); err != nil {
		return "", err
	}
	t.workers[victim].Kill()
	for i, l := range t.languages {
		if err := t.check(ctx, l.name, t.ids[i]); err != nil {
			return "", err
		}
	}
	crashed, err := t.count(ctx, t.languages[of].name, "total-crashed")
	if err != nil {
		return "", err
	}
	for i, p := range t.workers {
		if i != victim && p.Ended() {
			return "", fmt.Errorf("a worker ended by itself; its output: %s", p.Log)
		}
	}
	return fmt.Sprintf("HELD: %d tasks done by %d workers (Python and Node), one %s worker killed -9 with %d of them in hand: each has one recorded result",
		len(t.languages)*tasksPerLanguage, len(t.workers), t.languages[of].name, crashed), nil
}

func (t *trial) close() {
	for _, p := range t.workers {
		p.Kill()
	}
}

func payload(i int) string { return fmt.Sprintf("task %d", i) }

// add adds all tasks of a queue with one command.
func (t *trial) add(ctx context.Context, queue string) ([]string, error) {
	args := []any{"TASK.ADD", queue, "COUNT", tasksPerLanguage}
	for i := range tasksPerLanguage {
		args = append(args, payload(i))
	}
	return t.client.Do(ctx, args...).StringSlice()
}

// ended waits for a task, and returns its fields.
func (t *trial) ended(ctx context.Context, id string) (map[any]any, error) {
	reply, err := t.client.Do(ctx, "TASK.GET", id, "WAIT", endTimeout.Milliseconds()).Result()
	if err != nil {
		return nil, fmt.Errorf("task %s has not ended: %w", id, err)
	}
	fields, ok := reply.(map[any]any)
	if !ok {
		return nil, fmt.Errorf("task %s is %T", id, reply)
	}
	return fields, nil
}

// check looks at each task of a queue, and at what the queue has counted.
func (t *trial) check(ctx context.Context, queue string, ids []string) error {
	for i, id := range ids {
		fields, err := t.ended(ctx, id)
		if err != nil {
			return err
		}
		want := strings.ToUpper(payload(i))
		if fields["state"] != "done" || fields["result"] != want {
			return fmt.Errorf("task %s of %s is %v with the result %v, want done with %q; its errors: %v", id, queue, fields["state"], fields["result"], want, fields["errors"])
		}
		if worker, _ := fields["worker"].(string); !strings.HasPrefix(worker, queue+"-") {
			return fmt.Errorf("task %s of %s was done by %q", id, queue, worker)
		}
	}
	for _, name := range []string{"total-added", "total-done"} {
		n, err := t.count(ctx, queue, name)
		if err != nil {
			return err
		}
		if n != tasksPerLanguage {
			return fmt.Errorf("queue %s has %s %d, want %d", queue, name, n, tasksPerLanguage)
		}
	}
	return nil
}

func (t *trial) count(ctx context.Context, queue, name string) (int64, error) {
	reply, err := t.client.Do(ctx, "TASK.QUEUE", queue).Result()
	if err != nil {
		return 0, err
	}
	fields, _ := reply.(map[any]any)
	n, ok := fields[name].(int64)
	if !ok {
		return 0, fmt.Errorf("queue %s has no %s", queue, name)
	}
	return n, nil
}
