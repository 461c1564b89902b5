package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"tutti/internal/proof/respclient"
)

// A stream of very many entries beside a small one on the same nodes: what each command
// takes, what trimming costs, and what the nodes hold.

const (
	streamSmall    = 10_000
	streamPipeline = 1000 // entries on their way of each
	streamFillers  = 4    // clients that add them
	streamSamples  = 200  // of each command and stream
	streamTimes    = 2.0  // what a command may take of a small stream's, and slackMs on top
	streamSlackMs  = 1.0
	streamPatience = 30 * time.Minute
)

// streamReport is the JSON file of one run.
type streamReport struct {
	Machine  machine       `json:"machine"`
	Clusters []streamGrown `json:"clusters"`
	Failures []string      `json:"failures,omitempty"`
}

// streamGrown is what a cluster of so many nodes has shown.
type streamGrown struct {
	Nodes    int             `json:"nodes"`
	Entries  int             `json:"entries"`
	FillSec  float64         `json:"fill_seconds"`
	DiskMiB  []float64       `json:"disk_mib"` // of each node's state, a while after
	RSSMiB   []float64       `json:"rss_mib"`  // of each node then
	PeakMiB  []float64       `json:"peak_mib"` // of each node, of all
	Commands []streamCommand `json:"commands"`
	Trims    []streamTrim    `json:"trims"`
}

// streamCommand is what one command took, of a small and of the large stream in turn.
type streamCommand struct {
	Name       string  `json:"name"`
	SmallMs    float64 `json:"small_p50_ms"`
	LargeMs    float64 `json:"large_p50_ms"`
	SmallP99Ms float64 `json:"small_p99_ms"`
	LargeP99Ms float64 `json:"large_p99_ms"`
}

// streamTrim is one XTRIM that removes so many entries.
type streamTrim struct {
	Stream  string  `json:"stream"`
	Removed int     `json:"removed"`
	Ms      float64 `json:"ms"`
	CPUMs   float64 `json:"cpu_ms"` // of all nodes, until a second after
}

func streamMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("stream")
	entries := flags.Int("entries", 10_000_000, "`entries` of the large stream")
	sizes := flags.String("nodes", "1,3", "`sizes` of the clusters, comma separated")
	settle := flags.Duration("settle", 10*time.Second, "how long nobody does anything before the nodes are looked at")
	peers := "tutti"
	if err := o.parse(flags, args, &peers); err != nil {
		return err
	}
	if *entries < 10*streamSmall {
		return fmt.Errorf("%w: --entries must be %d at least, to be many", errUsage, 10*streamSmall)
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	r := &streamReport{Machine: l.machine}
	for text := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > grownMost {
			return fmt.Errorf("%w: --nodes: %q is no size of a cluster", errUsage, text)
		}
		s := streamGrown{Nodes: n, Entries: *entries}
		if err := s.run(ctx, l, *settle); err != nil {
			return fmt.Errorf("%d nodes: %w", n, err)
		}
		s.print(os.Stdout)
		r.Clusters = append(r.Clusters, s)
		r.Failures = append(r.Failures, s.judge()...)
	}
	if err := writeJSON(o.jsonPath, "stream", r.Machine.Date, r); err != nil {
		return err
	}
	if len(r.Failures) > 0 {
		return errors.New(strings.Join(r.Failures, "; "))
	}
	return missingError(missing)
}

func (s *streamGrown) run(ctx context.Context, l *lab, settle time.Duration) error {
	g, err := newGrown(ctx, l, s.Nodes, false)
	if err != nil {
		return err
	}
	defer g.stop()
	conn, err := g.dial(ctx, 0, time.Now().Add(streamPatience))
	if err != nil {
		return err
	}
	defer conn.Close()
	began := time.Now()
	for name, n := range map[string]int{"large": s.Entries, "small": streamSmall} {
		if err := s.fill(ctx, g, name, n); err != nil {
			return err
		}
	}
	s.FillSec = time.Since(began).Seconds()
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	if err := s.look(g); err != nil {
		return err
	}
	if err := s.time(ctx, conn); err != nil {
		return err
	}
	if err := s.trim(ctx, g, conn); err != nil {
		return err
	}
	for _, pid := range g.pids(s.Nodes) {
		_, peak, err := resident(pid)
		if err != nil {
			return err
		}
		s.PeakMiB = append(s.PeakMiB, peak)
	}
	return nil
}

// fill adds n entries by several clients, and has a group begin at the first of them.
func (s *streamGrown) fill(ctx context.Context, g *grown, name string, n int) error {
	errs := make(chan error, streamFillers)
	for i := range streamFillers {
		go func() { errs <- fillStream(ctx, g, name, n*(i+1)/streamFillers-n*i/streamFillers) }()
	}
	var err error
	for range streamFillers {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return err
	}
	_, err = g.do(ctx, 0, "XGROUP", "CREATE", name, "group", "0")
	return err
}

// fillStream adds n entries by one client. What may have been added is added again: it does
// not matter here how many there are more.
func fillStream(ctx context.Context, g *grown, name string, n int) error {
	failed := 0
	for from := 0; from < n; {
		conn, err := g.dial(ctx, 0, time.Now().Add(streamPatience))
		if err != nil {
			return err
		}
		for err == nil && from < n {
			if err = addEntries(conn, name, from, min(streamPipeline, n-from)); err == nil {
				from += streamPipeline
			}
		}
		conn.Close()
		if err == nil {
			continue
		}
		if failed++; failed == loadTries || ctx.Err() != nil {
			return err
		}
		fmt.Printf("%s, at %d of %d: %v\n", name, from, n, err)
	}
	return nil
}

func addEntries(conn *respclient.Conn, name string, from, n int) error {
	return inBatches(conn, n, 1, func(i, _ int) []string {
		return []string{"XADD", name, "*", "number", strconv.Itoa(from + i), "text", "sixteen bytes, or"}
	})
}

// answered is a command that must not fail.
func answered(conn *respclient.Conn, args ...string) error {
	v, err := conn.Do(args...)
	if err = errors.Join(err, respclient.Err(v)); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// look takes down what each node holds.
func (s *streamGrown) look(g *grown) error {
	for i, pid := range g.pids(s.Nodes) {
		now, _, err := resident(pid)
		if err != nil {
			return err
		}
		s.RSSMiB = append(s.RSSMiB, now)
		size, err := sizeOf(filepath.Join(g.dir, g.nodes[i].name, "state"))
		if err != nil {
			return err
		}
		s.DiskMiB = append(s.DiskMiB, size)
	}
	return nil
}

// sizeOf is what the files in a folder take, in MiB.
func sizeOf(dir string) (float64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if info, statErr := os.Stat(path); err == nil && statErr == nil && !d.IsDir() {
			size += info.Size() // a file may go while this is told
		}
		return nil
	})
	return float64(size) / (1 << 20), err
}

// streamTimed are the commands that are timed; a K stands for the stream, an M for the id of
// an entry in its midst. What they remove or add is little beside the small stream.
var streamTimed = []string{
	"XLEN K", "XRANGE K - + COUNT 10", "XREVRANGE K + - COUNT 10", "XRANGE K M + COUNT 10", "XREAD COUNT 10 STREAMS K M",
	"XINFO STREAM K", "XINFO STREAM K FULL COUNT 10", "XINFO GROUPS K",
	"XADD K * number 1 text v", "XADD K MAXLEN ~ 100000000 * number 1 text v", "XREADGROUP GROUP group one COUNT 3 STREAMS K >",
	"XPENDING K group", "XAUTOCLAIM K group two 0 0 COUNT 3", "XTRIM K MINID ~ 0", "MEMORY USAGE K",
}

// time has each command done to both streams in turn.
func (s *streamGrown) time(ctx context.Context, conn *respclient.Conn) error {
	middle := make(map[string]string)
	for _, name := range []string{"small", "large"} {
		id, err := idInTheMidst(conn, name)
		if err != nil {
			return err
		}
		middle[name] = id
	}
	for _, text := range streamTimed {
		var times [2]histogram
		for range streamSamples {
			for i, name := range []string{"small", "large"} {
				args := strings.Fields(text)
				for j, word := range args {
					switch word {
					case "K":
						args[j] = name
					case "M":
						args[j] = middle[name]
					}
				}
				began := time.Now()
				if err := answered(conn, args...); err != nil {
					return err
				}
				times[i].add(time.Since(began))
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		s.Commands = append(s.Commands, streamCommand{Name: text,
			SmallMs: ms(times[0].quantile(0.5)), LargeMs: ms(times[1].quantile(0.5)),
			SmallP99Ms: ms(times[0].quantile(0.99)), LargeP99Ms: ms(times[1].quantile(0.99))})
	}
	return nil
}

// idInTheMidst finds an id between the first and the last: ids are times, and entries came
// steadily.
func idInTheMidst(conn *respclient.Conn, name string) (string, error) {
	var ends [2]int64
	for i, args := range [][]string{{"XRANGE", name, "-", "+", "COUNT", "1"}, {"XREVRANGE", name, "+", "-", "COUNT", "1"}} {
		v, err := conn.Do(args...)
		if err = errors.Join(err, respclient.Err(v)); err != nil {
			return "", err
		}
		if len(v.Elems) != 1 || len(v.Elems[0].Elems) != 2 {
			return "", fmt.Errorf("%s: no entry", strings.Join(args, " "))
		}
		at, _, _ := strings.Cut(string(v.Elems[0].Elems[0].Str), "-")
		if ends[i], err = strconv.ParseInt(at, 10, 64); err != nil {
			return "", err
		}
	}
	return strconv.FormatInt((ends[0]+ends[1])/2, 10), nil
}

// trim removes more and more: first as many of both streams, then a tenth and a half of the
// large one.
func (s *streamGrown) trim(ctx context.Context, g *grown, conn *respclient.Conn) error {
	for _, x := range []struct {
		name string
		gone int
	}{{"small", 10}, {"large", 10}, {"small", 1000}, {"large", 1000}, {"small", 5000}, {"large", 5000},
		{"large", s.Entries / 100}, {"large", s.Entries / 10}, {"large", s.Entries / 2}} {
		v, err := conn.Do("XLEN", x.name)
		if err = errors.Join(err, respclient.Err(v)); err != nil {
			return fmt.Errorf("XLEN %s: %w", x.name, err)
		}
		before, err := cpuTime(g.pids(s.Nodes))
		if err != nil {
			return err
		}
		began := time.Now()
		gone, err := conn.Do("XTRIM", x.name, "MAXLEN", strconv.FormatInt(v.Int-int64(x.gone), 10))
		took := time.Since(began)
		if err = errors.Join(err, respclient.Err(gone)); err != nil {
			return fmt.Errorf("XTRIM of %d entries of %s, after %v: %w", x.gone, x.name, took, err)
		}
		if gone.Int != int64(x.gone) {
			return fmt.Errorf("XTRIM of %s removed %d entries, not %d", x.name, gone.Int, x.gone)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
		after, err := cpuTime(g.pids(s.Nodes))
		if err != nil {
			return err
		}
		s.Trims = append(s.Trims, streamTrim{Stream: x.name, Removed: x.gone, Ms: ms(took), CPUMs: ms(after - before)})
	}
	return nil
}

// judge says which commands take more of a large stream than of a small one.
func (s *streamGrown) judge() (failures []string) {
	for _, c := range s.Commands {
		if c.LargeMs > streamTimes*c.SmallMs+streamSlackMs {
			failures = append(failures, fmt.Sprintf("%d nodes: %s takes %.2f ms of a large stream, %.2f of a small one", s.Nodes, c.Name, c.LargeMs, c.SmallMs))
		}
	}
	return failures
}

func (s *streamGrown) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d nodes: %d entries in %.0f s; MiB of each node: disk %.0f, memory %.0f, at most %.0f\n", s.Nodes, s.Entries, s.FillSec, s.DiskMiB, s.RSSMiB, s.PeakMiB)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "\tof %d: p50 ms\tp99 ms\tof %d: p50 ms\tp99 ms\t\n", streamSmall, s.Entries)
	for _, c := range s.Commands {
		fmt.Fprintf(out, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t\n", c.Name, c.SmallMs, c.SmallP99Ms, c.LargeMs, c.LargeP99Ms)
	}
	for _, t := range s.Trims {
		fmt.Fprintf(out, "XTRIM of %d of %s\t%.2f\tCPU %.0f ms\t\t\t\n", t.Removed, t.Stream, t.Ms, t.CPUMs)
	}
	_ = out.Flush()
}
