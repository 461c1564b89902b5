package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"tutti/internal/proof/respclient"
)

// Mass removal: what it costs to look for the first or a random one of the few that are
// left of many, and to scan, in the seconds after the others were removed.

const (
	removalBatch    = 100 // elements of one command: of more that leave few the rest is written anew
	removalPipeline = 100 // commands on their way
	removalPause    = 20 * time.Millisecond
	removalPatience = 5 * time.Minute
)

// removalCase is one kind of collection. Element i is added by add and removed by remove,
// which get many of them at once; reads are the commands that are timed afterwards.
type removalCase struct {
	name        string
	add, remove func(from, to int) []string
	reads       [][]string
}

func removalCases() []removalCase {
	elements := func(from, to int, each func(i int) []string, args ...string) []string {
		for i := from; i < to; i++ {
			args = append(args, each(i)...)
		}
		return args
	}
	member := func(i int) []string { return []string{fmt.Sprintf("member:%08d", i)} }
	collection := func(name, add, remove string, with func(i int) []string, reads ...string) removalCase {
		c := removalCase{name: name,
			add:    func(from, to int) []string { return elements(from, to, with, add, name) },
			remove: func(from, to int) []string { return elements(from, to, member, remove, name) }}
		for _, r := range reads {
			c.reads = append(c.reads, strings.Fields(r))
		}
		return c
	}
	value := func(i int) []string { return append(member(i), "v") }
	score := func(i int) []string { return append([]string{strconv.Itoa(i)}, member(i)...) }
	list := collection("list", "RPUSH", "", member, "LINDEX list 0", "LINDEX list -1", "LRANGE list 0 9")
	list.remove = func(from, to int) []string { return []string{"LPOP", "list", strconv.Itoa(to - from)} }
	keys := collection("keys", "MSET", "", value, "SCAN 0", "RANDOMKEY", "KEYS *")
	keys.add = func(from, to int) []string { return elements(from, to, value, "MSET") }
	keys.remove = func(from, to int) []string { return elements(from, to, member, "DEL") }
	return []removalCase{
		collection("set", "SADD", "SREM", member, "SRANDMEMBER set", "SSCAN set 0"),
		collection("hash", "HSET", "HDEL", value, "HRANDFIELD hash", "HSCAN hash 0"),
		collection("zset", "ZADD", "ZREM", score, "ZRANGE zset 0 0", "ZRANGE zset -1 -1", "ZRANDMEMBER zset", "ZSCAN zset 0"),
		list,
		streamRemoval(),
		keys,
	}
}

// streamRemoval is a case of its own, as an entry of a stream is added by a command.
func streamRemoval() removalCase {
	id := func(i int) string { return fmt.Sprintf("1-%d", i+1) }
	return removalCase{name: "stream",
		add: func(from, _ int) []string { return []string{"XADD", "stream", id(from), "f", "v"} },
		remove: func(from, to int) []string {
			args := []string{"XDEL", "stream"}
			for i := from; i < to; i++ {
				args = append(args, id(i))
			}
			return args
		},
		reads: [][]string{{"XRANGE", "stream", "-", "+", "COUNT", "1"}, {"XREVRANGE", "stream", "+", "-", "COUNT", "1"}}}
}

// removalSample is what one command took in one window after the removal.
type removalSample struct {
	Case     string  `json:"case"`
	Command  string  `json:"command"`
	Window   int     `json:"window"` // the first is 0
	N        int     `json:"n"`
	MedianMs float64 `json:"median_ms"`
	P99Ms    float64 `json:"p99_ms"`
	WorstMs  float64 `json:"worst_ms"`
}

func removalMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("removal")
	n := flags.Int("n", 400_000, "`elements` of each collection, and keys")
	left := flags.Int("left", 100, "how many of them are `left`")
	only := flags.String("only", "", "`cases` to run, comma separated (default: all)")
	windows := flags.Int("windows", 3, "how many `windows` of 5 s are measured after the removal")
	idle := flags.Duration("idle", 0, "`how long` nobody reads after the removal")
	peers := flags.String("peers", "tutti-dev", "`systems` to run, comma separated")
	if err := o.parse(flags, args, peers); err != nil {
		return err
	}
	if *n <= *left || *left < 1 || *windows < 1 {
		return fmt.Errorf("%w: --n must be more than --left, and that and --windows positive", errUsage)
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	var samples []removalSample
	for _, name := range o.peers {
		for _, c := range removalCases() {
			if *only != "" && !strings.Contains(","+*only+",", ","+c.name+",") {
				continue
			}
			s, err := removeFrom(ctx, l, name, c, *n, *left, *windows, *idle)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", name, c.name, err)
			}
			samples = append(samples, s...)
		}
	}
	if err := writeJSON(o.jsonPath, "removal", l.machine.Date, samples); err != nil {
		return err
	}
	return missingError(missing)
}

// removeFrom runs one case on a fresh system.
func removeFrom(ctx context.Context, l *lab, name string, c removalCase, n, left, windows int, idle time.Duration) ([]removalSample, error) {
	system, err := starters[name](ctx, l)
	if err != nil {
		return nil, err
	}
	defer system.stop()
	addrs, _, err := clientsOf(ctx, system)
	if err != nil {
		return nil, err
	}
	conn, err := respclient.Dial(ctx, addrs[0], time.Now().Add(removalPatience))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	batch := removalBatch
	if c.name == "stream" {
		batch = 1
	}
	if err := inBatches(conn, n, batch, c.add); err != nil {
		return nil, err
	}
	// As if filled long ago.
	if err := sleep(ctx, 3*time.Second); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := inBatches(conn, n-left, removalBatch, c.remove); err != nil {
		return nil, err
	}
	fmt.Printf("\n%s %s: %d of %d removed in %.1f s\n", name, c.name, n-left, n, time.Since(began).Seconds())
	if err := sleep(ctx, idle); err != nil {
		return nil, err
	}
	return readAfter(ctx, conn, c, windows)
}

// inBatches sends what command makes of n elements.
func inBatches(conn *respclient.Conn, n, batch int, command func(from, to int) []string) error {
	pipeline := removalPipeline
	if batch == 1 {
		pipeline = 10 * removalBatch
	}
	var cmds [][]string
	for from := 0; from < n; from += batch {
		cmds = append(cmds, command(from, min(n, from+batch)))
		if len(cmds) < pipeline && from+batch < n {
			continue
		}
		answers, err := conn.Pipe(cmds...)
		if err != nil {
			return err
		}
		for _, a := range answers {
			if err := respclient.Err(a); err != nil {
				return err
			}
		}
		cmds = cmds[:0]
	}
	return nil
}

// readAfter times the reads of a case, by turns, in windows of 5 s.
func readAfter(ctx context.Context, conn *respclient.Conn, c removalCase, windows int) (samples []removalSample, err error) {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer out.Flush()
	fmt.Fprintln(out, "command\tafter\tn\tp50 ms\tp99 ms\tworst ms\t")
	for w := range windows {
		times := make([]histogram, len(c.reads))
		worst := make([]time.Duration, len(c.reads))
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
			for i, r := range c.reads {
				began := time.Now()
				v, err := conn.Do(r...)
				if err = errors.Join(err, respclient.Err(v)); err != nil {
					return nil, err
				}
				took := time.Since(began)
				times[i].add(took)
				worst[i] = max(worst[i], took)
			}
			if err := sleep(ctx, removalPause); err != nil {
				return nil, err
			}
		}
		for i, r := range c.reads {
			s := removalSample{Case: c.name, Command: strings.Join(r, " "), Window: w, N: int(times[i].made().TotalCount()),
				MedianMs: ms(times[i].quantile(0.5)), P99Ms: ms(times[i].quantile(0.99)), WorstMs: ms(worst[i])}
			samples = append(samples, s)
			fmt.Fprintf(out, "%s\t%d-%d s\t%d\t%.2f\t%.2f\t%.2f\t\n", s.Command, 5*w, 5*w+5, s.N, s.MedianMs, s.P99Ms, s.WorstMs)
		}
	}
	return samples, nil
}
