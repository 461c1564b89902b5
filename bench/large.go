package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// Large commands of many clients at once: what they are answered, and how long small
// commands of others take meanwhile.

const (
	// largeBytes is a value with which a command is nearly as large as one may be.
	largeBytes    = 16<<20 - 64<<10
	largePatience = time.Minute
	smallClients  = 6 // as many at each node
	smallPause    = time.Millisecond
)

// largeKinds are large commands of nearly as many bytes as one may have; n makes their keys
// their own. Values are in parts only where SET brings one (see upload.go of the server).
var largeKinds = map[string]func(n int) []string{
	"set":   func(n int) []string { return []string{"SET", largeKey("set", n), strings.Repeat("x", largeBytes)} },
	"mset":  func(n int) []string { return named([]string{"MSET"}, largeKey("mset", n), 16, largeBytes/16) },
	"msets": func(n int) []string { return named([]string{"MSET"}, largeKey("msets", n), 100_000, 100) },
	"hset":  func(n int) []string { return named([]string{"HSET", largeKey("hset", n)}, "field", 100_000, 100) },
	"push": func(n int) []string {
		return append([]string{"LPUSH", largeKey("push", n)}, slices.Repeat([]string{strings.Repeat("x", largeBytes/16)}, 16)...)
	},
	"reply": func(n int) []string { // what is large is the answer
		return []string{"EVAL", "redis.call('SET', KEYS[1], 1) return string.rep('x', ARGV[1])", "1", largeKey("reply", n), strconv.Itoa(largeBytes)}
	},
	"script": func(n int) []string {
		return []string{"EVAL", "for i = 1, 100 do redis.call('SET', KEYS[1]..i, ARGV[1]) end", "1", largeKey("script", n), strings.Repeat("x", largeBytes/100)}
	},
}

// largeKey is a key of one kind of command, as those of others have values of other types.
func largeKey(kind string, n int) string { return fmt.Sprintf("large:%s:%d", kind, n) }

// named adds count values of size bytes to a command, each behind a name.
func named(command []string, name string, count, size int) []string {
	value := strings.Repeat("x", size)
	for i := range count {
		command = append(command, fmt.Sprintf("%s:%d", name, i), value)
	}
	return command
}

// largeSample is what one round of one count has shown.
type largeSample struct {
	Kind     string         `json:"kind"`
	Count    int            `json:"count"` // of large commands at once; 0: none
	Round    int            `json:"round"`
	Outcomes map[string]int `json:"outcomes"` // "OK", or the code of the error
	AllMs    float64        `json:"all_ms"`   // until the last was answered
	Small    int            `json:"small"`    // commands of others meanwhile
	P50Ms    float64        `json:"p50_ms"`
	P99Ms    float64        `json:"p99_ms"`
	WorstMs  float64        `json:"worst_ms"`
	Failed   int            `json:"failed"` // of others
	PeakMiB  float64        `json:"peak_mib"`
	texts    map[string]bool
}

func largeMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("large")
	counts := flags.String("counts", "6,16", "how many large commands at once, comma separated")
	kinds := flags.String("kinds", "set", "what they are, comma separated: "+strings.Join(slices.Sorted(maps.Keys(largeKinds)), ", "))
	rounds := flags.Int("rounds", 3, "`rounds` of each count, with one without large commands before each")
	window := flags.Duration("window", 4*time.Second, "how long a round without large commands is")
	idle := flags.Duration("idle", 0, "remove all keys at the end, and tell what the nodes hold when nobody has done anything for so `long`")
	limit := flags.String("limit", "", "GOMEMLIMIT of every node (default: none)")
	peers := "tutti"
	if err := o.parse(flags, args, &peers); err != nil {
		return err
	}
	var list []int
	for text := range strings.SplitSeq(*counts, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("%w: --counts: %q is not a number of commands", errUsage, text)
		}
		list = append(list, n)
	}
	for kind := range strings.SplitSeq(*kinds, ",") {
		if largeKinds[kind] == nil {
			return fmt.Errorf("%w: --kinds: there is no %q", errUsage, kind)
		}
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	var env []string
	if *limit != "" {
		env = append(env, "GOMEMLIMIT="+*limit)
	}
	g, err := newGrown(ctx, l, 3, false, env...)
	if err != nil {
		return err
	}
	defer g.stop()
	samples, err := largeRun(ctx, g, strings.Split(*kinds, ","), list, *rounds, *window)
	if err == nil && *idle > 0 {
		err = emptied(ctx, g, *idle)
	}
	if err != nil {
		return err
	}
	if err := writeJSON(o.jsonPath, "large", l.machine.Date, samples); err != nil {
		return err
	}
	return missingError(missing)
}

// emptied removes all keys and prints what each node holds some time later.
func emptied(ctx context.Context, g *grown, idle time.Duration) error {
	if _, err := g.do(ctx, 0, "FLUSHALL"); err != nil {
		return err
	}
	if err := sleep(ctx, idle); err != nil {
		return err
	}
	for i, pid := range g.pids(3) {
		now, peak, err := resident(pid)
		if err != nil {
			return err
		}
		disk := int64(0)
		err = filepath.WalkDir(filepath.Join(g.dir, g.nodes[i].name), func(path string, d os.DirEntry, err error) error {
			if info, statErr := os.Stat(path); err == nil && statErr == nil && !d.IsDir() {
				disk += info.Size() // a file may go while this is told
			}
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Printf("%s, emptied %v ago: %.0f MiB of memory, %.0f at most; %d MiB of files, the reserve among them\n", g.nodes[i].name, idle, now, peak, disk>>20)
	}
	return nil
}

func largeRun(ctx context.Context, g *grown, kinds []string, counts []int, rounds int, window time.Duration) (samples []largeSample, err error) {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	texts := map[string]bool{} // what errors said
	fmt.Fprintln(out, "kind\tlarge\tanswers\tlast ms\tsmall\tp50 ms\tp99 ms\tworst ms\tfailed\tpeak MiB\t")
	for round := range rounds {
		for _, kind := range kinds {
			for _, n := range counts {
				for _, count := range []int{0, n} {
					s, err := largeRound(ctx, g, kind, count, round, window)
					if err != nil {
						return nil, err
					}
					samples = append(samples, s)
					fmt.Fprintf(out, "%s\t%d\t%v\t%.0f\t%d\t%.1f\t%.1f\t%.1f\t%d\t%.0f\t\n", kind, count, s.Outcomes, s.AllMs, s.Small, s.P50Ms, s.P99Ms, s.WorstMs, s.Failed, s.PeakMiB)
					maps.Copy(texts, s.texts)
					if err := sleep(ctx, 2*time.Second); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	err = out.Flush()
	for _, text := range slices.Sorted(maps.Keys(texts)) {
		fmt.Println("  ", text)
	}
	return samples, err
}

// largeRound has small commands go on while count large ones are sent at once.
func largeRound(ctx context.Context, g *grown, kind string, count, round int, window time.Duration) (largeSample, error) {
	s := largeSample{Kind: kind, Count: count, Round: round, Outcomes: map[string]int{}, texts: map[string]bool{}}
	conns := make([]*respclient.Conn, count)
	for i := range conns {
		c, err := g.dial(ctx, i%3, time.Now().Add(largePatience))
		if err != nil {
			return s, err
		}
		defer c.Close()
		conns[i] = c
	}
	// They are there, as bytes, before others begin: making them takes a processor for as
	// long as a node takes to read them.
	commands := make([][]byte, count)
	for i := range commands {
		commands[i] = resp.AppendCommandStrings(make([]byte, 0, largeBytes*5/4), largeKinds[kind](i)...)
	}
	small, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex // guards what the small clients have seen
	var times histogram
	var others, wg sync.WaitGroup
	for i := range smallClients {
		others.Go(func() {
			took, failed, err := smallSets(small, g, i)
			mu.Lock()
			defer mu.Unlock()
			s.Failed += failed
			if err != nil {
				s.texts[err.Error()] = true
			}
			for _, d := range took {
				times.add(d)
			}
		})
	}
	began := time.Now()
	for i, c := range conns {
		wg.Go(func() {
			what, text := "OK", ""
			_, err := c.Write(commands[i])
			var v resp.Value
			if err == nil {
				v, err = c.Receive()
			}
			if err = errors.Join(err, respclient.Err(v)); err != nil {
				text = fmt.Sprintf("%.300s", err)
				what, _, _ = strings.Cut(text, " ")
			}
			mu.Lock()
			defer mu.Unlock()
			s.Outcomes[what]++
			if text != "" {
				s.texts[text] = true
			}
		})
	}
	if count == 0 {
		if err := sleep(ctx, window); err != nil {
			return s, err
		}
	}
	wg.Wait()
	s.AllMs = ms(time.Since(began))
	stop()
	others.Wait()
	s.Small, s.P50Ms, s.P99Ms, s.WorstMs = int(times.made().TotalCount()), ms(times.quantile(0.5)), ms(times.quantile(0.99)), ms(times.quantile(1))
	for _, pid := range g.pids(3) {
		_, peak, err := resident(pid)
		if err != nil {
			return s, err
		}
		s.PeakMiB = max(s.PeakMiB, peak)
	}
	return s, nil
}

// smallSets sets small values, one after the other, until ctx ends.
func smallSets(ctx context.Context, g *grown, client int) (took []time.Duration, failed int, last error) {
	c, err := g.dial(context.WithoutCancel(ctx), client%3, time.Now().Add(2*largePatience))
	if err != nil {
		return nil, 1, err
	}
	defer c.Close()
	value := strings.Repeat("v", valueLen)
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		v, err := c.Do("SET", fmt.Sprintf("small:%d:%d", client, n%1000), value)
		took = append(took, time.Since(began))
		if err != nil {
			return took, failed + 1, err
		}
		if err := respclient.Err(v); err != nil {
			failed, last = failed+1, err
		}
		_ = sleep(ctx, smallPause)
	}
	return took, failed, last
}
