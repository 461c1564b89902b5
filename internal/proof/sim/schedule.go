package sim

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tutti/internal/proof/action"
	"tutti/internal/server"
	"tutti/internal/shard"
)

// Schedule is a run that can be repeated: what cluster, what load, and what is
// done to it when. Its text is
//
//	seed 17
//	nodes 3
//	shards 1
//	log-bytes 4096
//	placing auto                the cluster places its replicas; or manual
//	secured true                nodes speak TLS among themselves
//	uploads from=1 part=2       values that go to their shards in parts
//	pieces from=16 bytes=32     effects that go into the log in pieces
//	load clients=6 keys=8 …     see LoadOptions
//	for 15s                     how long the load runs before all is mended
//	1.250s crash 2 keep=50 seed=7
//
// and lines that begin with #, which say nothing. Goroutines run in an order of
// their own, so a schedule that failed is run several times.
type Schedule struct {
	Options Options
	Load    LoadOptions
	For     time.Duration
	Steps   []Step
}

// Step is an action and when it is done, after the load has begun.
type Step struct {
	At   time.Duration
	Text string
}

// String is the text of the schedule.
func (s *Schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\nnodes %d\nshards %d\nlog-bytes %d\n", s.Options.Seed, s.Options.Nodes, s.Options.Shards, s.Options.LogBytesMax)
	if s.Options.AutoPlace {
		fmt.Fprintln(&b, "placing auto")
	}
	if s.Options.Secured {
		fmt.Fprintln(&b, "secured true")
	}
	if u := s.Options.Uploads; u != (server.Uploads{}) {
		fmt.Fprintf(&b, "uploads from=%d part=%d\n", u.From, u.Part)
	}
	if l := s.Options.Large; l != (shard.Large{}) {
		fmt.Fprintf(&b, "large carry=%d pieces=%d piece=%d\n", l.CarryFrom, l.PiecesFrom, l.PieceBytes)
	}
	fmt.Fprintf(&b, "load clients=%d keys=%d ops=%d think=%v timeout=%v kinds=%s\nfor %v\n",
		s.Load.Clients, s.Load.Keys, s.Load.KeyOps, s.Load.Think, s.Load.Timeout, strings.Join(s.Load.Kinds, ","), s.For)
	for _, step := range s.Steps {
		fmt.Fprintf(&b, "%.3fs %s\n", step.At.Seconds(), step.Text)
	}
	return b.String()
}

// ParseSchedule reads the text of a schedule.
func ParseSchedule(text string) (*Schedule, error) {
	s := &Schedule{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := s.line(line); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
	}
	slices.SortStableFunc(s.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return s, nil
}

func (s *Schedule) line(line string) (err error) {
	name, rest, _ := strings.Cut(line, " ")
	switch name {
	case "seed":
		s.Options.Seed, err = strconv.ParseUint(rest, 10, 64)
	case "nodes":
		s.Options.Nodes, err = strconv.Atoi(rest)
	case "shards":
		s.Options.Shards, err = strconv.Atoi(rest)
	case "log-bytes":
		s.Options.LogBytesMax, err = strconv.ParseInt(rest, 10, 64)
	case "placing":
		s.Options.AutoPlace = rest == "auto"
	case "secured":
		s.Options.Secured, err = strconv.ParseBool(rest)
	case "uploads":
		a := action.Parse(line)
		s.Options.Uploads = server.Uploads{From: a.Int("from"), Part: a.Int("part")}
		err = a.Err()
	case "large":
		a := action.Parse(line)
		s.Options.Large = shard.Large{CarryFrom: a.Int("carry"), PiecesFrom: a.Int("pieces"), PieceBytes: a.Int("piece")}
		err = a.Err()
	case "for":
		s.For, err = time.ParseDuration(rest)
	case "load":
		a := action.Parse(line)
		s.Load = LoadOptions{Clients: a.Int("clients"), Keys: a.Int("keys"), KeyOps: a.Int("ops"),
			Think: a.Duration("think", 0), Timeout: a.Duration("timeout", 0), Kinds: strings.Split(a.Set["kinds"], ",")}
		err = a.Err()
	default:
		step := Step{Text: rest}
		if step.At, err = time.ParseDuration(name); err != nil {
			return err
		}
		if actions[action.Parse(rest).Name] == nil {
			return fmt.Errorf("no action %q", rest)
		}
		s.Steps = append(s.Steps, step)
	}
	return err
}

// Play does the steps of a schedule at their times, until its end. Nodes that
// stopped themselves when they did not before start again with the others when
// all is mended.
func (c *Cluster) Play(s *Schedule) error {
	begin := time.Now()
	for _, step := range s.Steps {
		time.Sleep(step.At - time.Since(begin))
		if _, err := c.Do(step.Text); err != nil {
			return fmt.Errorf("%v: %w", step.At, err)
		}
	}
	time.Sleep(s.For - time.Since(begin))
	return nil
}
