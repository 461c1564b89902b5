package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
)

// formed is a cluster of three nodes as machines of their own form one, by init and
// join: unlike those of tutti dev its nodes take the memory that a machine has.
type formed struct{ *grown }

func startFormed(ctx context.Context, l *lab) (contender, error) {
	// Three nodes share the cores here, and are told so, as by tutti dev.
	g, err := newGrown(ctx, l, 3, false, fmt.Sprintf("GOMAXPROCS=%d", max(1, runtime.NumCPU()/3)))
	return formed{g}, err
}

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

func (c formed) pids() []int { return c.grown.pids(3) }

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
