package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// formed is a cluster of three nodes as machines of their own form one, by init and
// join: unlike those of tutti dev its nodes take the memory that a machine has.
type formed struct{ *grown }

func startFormed(ctx context.Context, l *lab) (contender, error) {
	// Three nodes share the cores here, and are told so, as by tutti dev.
	g, err := newSeed(l, false, fmt.Sprintf("GOMAXPROCS=%d", max(1, runtime.NumCPU()/formedNodes)))
	if err != nil {
		return nil, err
	}
	base, err := freePorts(formedNodes)
	if err != nil {
		return nil, err
	}
	for i := range formedNodes {
		g.nodes[i].http = loopback(base + i)
	}
	return formed{g}, g.grow(ctx, formedNodes)
}

const formedNodes = 3

func (c formed) fill(ctx context.Context, w workload, keys int) error {
	leader, err := c.leader(ctx)
	if err != nil {
		return err
	}
	return fillRESP(ctx, c.nodes[leader].addr, w, keys, false)
}

func (c formed) load(ctx context.Context, j job, w window) (*tally, error) {
	addrs := []string{c.nodes[0].addr, c.nodes[1].addr, c.nodes[2].addr}
	if !j.random {
		leader, err := c.leader(ctx)
		if err != nil {
			return nil, err
		}
		addrs = addrs[leader : leader+1]
	}
	return runRESP(ctx, addrs, j, false, w)
}

func (c formed) pids() []int { return c.grown.pids(formedNodes) }

// serial is how long the loops of the leader have worked: what one core has to do, however
// many there are. It is time and not CPU, so it is true where cores are free.
func (c formed) serial(ctx context.Context) (time.Duration, error) {
	leader, err := c.leader(ctx)
	if err != nil {
		return 0, err
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.nodes[leader].http+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	const name = "tutti_raft_cycle_duration_seconds_sum "
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name); ok {
			seconds, err := strconv.ParseFloat(text, 64)
			return time.Duration(seconds * float64(time.Second)), err
		}
	}
	return 0, fmt.Errorf("%s has no %s", ask.URL, name)
}

// leader returns the node that leads the first shard: the first that CLUSTER SLOTS has.
func (c formed) leader(ctx context.Context) (int, error) {
	v, err := c.do(ctx, 0, "CLUSTER", "SLOTS")
	if err != nil {
		return 0, err
	}
	if len(v.Elems) == 0 || len(v.Elems[0].Elems) < 3 || len(v.Elems[0].Elems[2].Elems) < 2 {
		return 0, fmt.Errorf("CLUSTER SLOTS answers %s", v)
	}
	first := v.Elems[0].Elems[2].Elems
	at := string(first[0].Str) + ":" + strconv.FormatInt(first[1].Int, 10)
	i := slices.IndexFunc(c.nodes, func(n *grownNode) bool { return n.addr == at })
	if i < 0 {
		return 0, fmt.Errorf("CLUSTER SLOTS names %s, which is not a node of the cluster", at)
	}
	return i, nil
}
