package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tutti/internal/resp"
)

// Bounds of the computation claim.
const (
	wordTasksMax   = 60
	computeTimeout = 40 * time.Second // of one count of all files
)

type computationClaim struct {
	Claim    string  `json:"claim"`
	Held     bool    `json:"held"`
	Tasks    int     `json:"tasks"`
	Words    int64   `json:"words"`
	OneMs    int64   `json:"one_node_ms"`
	AllMs    int64   `json:"three_nodes_ms"`
	SpeedUp  float64 `json:"speed_up"`
	KilledMs int64   `json:"one_killed_ms"`
	Again    int64   `json:"handed_out_again"`
	Share    float64 `json:"core_share"`
	Cores    int     `json:"cores"`
	Seconds  float64 `json:"seconds"`
}

// computation counts the words of all files by tasks: at one node, at three, and at
// three of which one is killed in the middle.
func (d *demoRun) computation(ctx context.Context) (bool, error) {
	began := time.Now()
	d.view.line("\n5  COMPUTATION")
	record := computationClaim{Claim: "computation", Share: workerShare, Cores: runtime.NumCPU()}
	files := d.files
	if len(files) == 0 { // the claim that loads them was not tried
		list, _, err := inputFiles(d.root)
		if err != nil {
			return false, err
		}
		if files, err = load(ctx, d.nodes, d.root, list, func(int64) {}); err != nil {
			return false, err
		}
	}
	want, err := d.countAtHome(ctx, files)
	if err != nil {
		return false, err
	}
	payloads := wordTasks(files)
	record.Tasks, record.Words = len(payloads), want.Words
	d.view.line("   the words of all files are counted by %d tasks; the worker of each node may use 1/%.0f of a core, as they share this machine's %d cores", len(payloads), 1/workerShare, record.Cores)
	c := wordCounting{demoRun: d, payloads: payloads, want: want}
	if err := c.all(ctx, &record); err != nil {
		return false, err
	}
	problems := c.problems
	d.view.result(len(problems) == 0, "each time the answer is that of the files themselves, %s words, and each task has one recorded result", grouped(int(want.Words)))
	d.show(problems)
	record.Held, record.Seconds = len(problems) == 0, seconds(time.Since(began))
	return conclude(d, record.Held, "computation.txt", problems, record)
}

// countAtHome counts the words without the cluster: of the files as they were when it
// took them.
func (d *demoRun) countAtHome(ctx context.Context, files []fileReceipt) (total wordCount, err error) {
	var mu sync.Mutex // guards total
	err = inParallel(ctx, d.nodes, len(files), func(conns *clients, i int) error {
		content, err := os.ReadFile(filepath.Join(d.root, filepath.FromSlash(files[i].path)))
		if err != nil || sha256.Sum256(content) != files[i].sum { // it has changed since
			replies, _, err := conns.call(rand.IntN(len(d.nodes)), []string{"GET", contentKey(files[i].path)})
			if err := firstError(err, replies...); err != nil {
				return err
			}
			content = replies[0].Str
		}
		w := countWords(content)
		mu.Lock()
		defer mu.Unlock()
		total.add(w)
		return nil
	})
	return total, err
}

// wordTasks divides the files into tasks of about the same size. A payload is their
// paths, as JSON.
func wordTasks(files []fileReceipt) (payloads []string) {
	size := totalSize(files)/wordTasksMax + 1
	var paths []string
	var n int64
	for i := range files {
		paths = append(paths, files[i].path)
		if n += int64(files[i].size); n < size && i < len(files)-1 {
			continue
		}
		text, err := json.Marshal(paths)
		if err != nil {
			panic(err) // strings can be marshalled
		}
		payloads, paths, n = append(payloads, string(text)), nil, 0
	}
	return payloads
}

// wordCounting is what is to be counted, and what is to come out.
type wordCounting struct {
	*demoRun
	payloads []string
	want     wordCount
	problems []string // what was not as it must be
}

// all counts three times.
func (c *wordCounting) all(ctx context.Context, record *computationClaim) error {
	one, err := c.count(ctx, "words:one", []int{0}, nil)
	if err != nil {
		return err
	}
	c.view.line("   by 1 node: %.1f s", one.took.Seconds())
	three, err := c.count(ctx, "words:three", []int{0, 1, 2}, nil)
	if err != nil {
		return err
	}
	record.SpeedUp = math.Round(10*one.took.Seconds()/three.took.Seconds()) / 10
	c.view.line("   by 3 nodes: %.1f s, %.1f times as fast (tasks of each: %s)", three.took.Seconds(), record.SpeedUp, three.shares())
	killed, victim, err := c.countWhileOneDies(ctx)
	if err != nil {
		return err
	}
	c.view.line("   by 3 nodes, of which %s, the leader, was killed with -9 halfway: %.1f s (tasks of each: %s; %d handed out again)",
		c.cluster.members[victim].Name, killed.took.Seconds(), killed.shares(), killed.again)
	record.OneMs, record.AllMs, record.KilledMs, record.Again = milliseconds(one.took), milliseconds(three.took), milliseconds(killed.took), killed.again
	return nil
}

// countWhileOneDies counts while the leader is killed, and its worker with it, and
// brings the node back.
func (c *wordCounting) countWhileOneDies(ctx context.Context) (n counted, victim int, err error) {
	n, err = c.count(ctx, "words:killed", []int{0, 1, 2}, func() error {
		victim, err = c.leader(ctx)
		if err == nil {
			c.cluster.procs[victim].kill()
		}
		return err
	})
	if err != nil {
		return n, victim, err
	}
	if err := c.cluster.start(victim, childAttr()); err != nil {
		return n, victim, err
	}
	_, err = c.catchUp(ctx, victim)
	return n, victim, err
}

// counted is how all words were counted once.
type counted struct {
	took  time.Duration
	again int64          // tasks that were taken from a worker that was lost
	by    map[string]int // tasks of each worker, by the name of its node
}

func (n counted) shares() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(n.by)) {
		list = append(list, fmt.Sprintf("%s %d", name, n.by[name]))
	}
	return strings.Join(list, ", ")
}

// count has the workers of some nodes count all words. halfway is called when half of
// the tasks are done; nil: nothing happens then.
func (c *wordCounting) count(ctx context.Context, queue string, nodes []int, halfway func() error) (n counted, err error) {
	ctx, cancel := context.WithTimeout(ctx, computeTimeout)
	defer cancel()
	v, err := c.ask(ctx, append([]string{"TASK.ADD", queue, "COUNT", strconv.Itoa(len(c.payloads))}, c.payloads...)...)
	if err != nil {
		return n, err
	}
	began := time.Now()
	var workers []*wordWorker
	defer func() {
		for _, w := range workers {
			if w.stop(); err != nil && w.last != nil {
				err = fmt.Errorf("%w (worker %s: %w)", err, w.name, w.last)
			}
		}
	}()
	for _, i := range nodes {
		workers = append(workers, startWordWorker(c.cluster.members[i].Name+"/"+queue, queue, c.cluster.at(i)))
	}
	if halfway != nil {
		if _, err := c.await(ctx, string(v.Elems[len(v.Elems)/2].Str)); err != nil {
			return n, err
		}
		if err := halfway(); err != nil {
			return n, err
		}
	}
	n.by = make(map[string]int)
	var total wordCount
	for _, id := range v.Elems {
		t, err := c.await(ctx, string(id.Str))
		if err != nil {
			return n, err
		}
		var w wordCount
		if err := json.Unmarshal([]byte(t["result"]), &w); t["state"] != "done" || err != nil {
			c.problems = append(c.problems, fmt.Sprintf("%s: task %s is %s with the result %q", queue, id.Str, t["state"], t["result"]))
		}
		total.add(w)
		name, _, _ := strings.Cut(t["worker"], "/")
		n.by[name]++
	}
	n.took = time.Since(began)
	if total != c.want {
		c.problems = append(c.problems, fmt.Sprintf("%s: %d words, sum %x; the files have %d, sum %x", queue, total.Words, total.Sum, c.want.Words, c.want.Sum))
	}
	n.again, err = c.checkQueue(ctx, queue)
	return n, err
}

// await waits for the end of a task, and returns its fields.
func (c *wordCounting) await(ctx context.Context, id string) (map[string]string, error) {
	for {
		v, err := c.ask(ctx, "TASK.GET", id, "WAIT", "2000")
		switch {
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, fmt.Errorf("task %s has not ended: %w", id, ctx.Err())
		case !v.Null:
			return fieldsOf(v), nil
		}
	}
}

// fieldsOf reads pairs of names and values; what is no text is left out.
func fieldsOf(v resp.Value) map[string]string {
	fields := make(map[string]string)
	for i := 0; i+1 < len(v.Elems); i += 2 {
		value := v.Elems[i+1]
		if value.Kind == resp.KindInt {
			fields[string(v.Elems[i].Str)] = strconv.FormatInt(value.Int, 10)
			continue
		}
		fields[string(v.Elems[i].Str)] = string(value.Str)
	}
	return fields
}

// checkQueue compares what the queue has counted with the tasks, each of which has one
// end. It returns how many were handed out again.
func (c *wordCounting) checkQueue(ctx context.Context, queue string) (again int64, err error) {
	v, err := c.ask(ctx, "TASK.QUEUE", queue)
	if err != nil {
		return 0, err
	}
	fields := fieldsOf(v)
	tasks := strconv.Itoa(len(c.payloads))
	for name, want := range map[string]string{"total-added": tasks, "total-done": tasks, "done": tasks, "total-dead": "0", "running": "0", "ready": "0"} {
		if fields[name] != want {
			c.problems = append(c.problems, fmt.Sprintf("%s: %s is %s, not %s", queue, name, fields[name], want))
		}
	}
	return strconv.ParseInt(fields["total-crashed"], 10, 64)
}
