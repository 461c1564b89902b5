package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

type growClaim struct {
	Claim       string  `json:"claim"`
	Held        bool    `json:"held"`
	JoinMs      []int64 `json:"join_ms"`
	DrainMs     int64   `json:"drain_ms"`
	Operations  int     `json:"operations"`
	Failed      int     `json:"failed"`
	ReadsBefore int     `json:"reads_per_second_before"`
	ReadsAfter  int     `json:"reads_per_second_after"`
	Cores       int     `json:"cores"`
	// BusyBefore and BusyAfter is how many of them worked meanwhile; 0: it can't be told.
	BusyBefore float64 `json:"busy_cores_before"`
	BusyAfter  float64 `json:"busy_cores_after"`
	Seconds    float64 `json:"seconds"`
}

// readTime is how long reads are counted.
const readTime = time.Second

// growShrink lets two machines join and another leave, while a client that knows
// one address only, a gateway's, works without pause.
func (d *demoRun) growShrink(ctx context.Context) (bool, error) {
	began := time.Now()
	d.view.line("\n7  GROW AND SHRINK")
	record := growClaim{Claim: "grow-shrink", Cores: runtime.NumCPU()}
	if err := d.join(ctx, demoGateway, "gateway"); err != nil {
		return false, err
	}
	d.view.line("   a gateway joins, which holds no data: from now on a client works through it and through nothing else")
	u := startUser(d.cluster.at(demoGateway))
	problems, err := d.growAndShrink(ctx, &record)
	u.stop()
	if err != nil {
		return false, err
	}
	record.Operations, record.Failed = u.ops, len(u.failures)
	d.view.result(record.Failed == 0 && u.ops > 0, "%s commands through the gateway meanwhile: %d failed", grouped(u.ops), record.Failed)
	d.show(u.failures)
	d.view.line("   reads per second: %s from 3 nodes, %s from 5; %s", grouped(record.ReadsBefore), grouped(record.ReadsAfter), record.limit())
	problems = append(problems, u.failures...)
	record.Held, record.Seconds = len(problems) == 0 && u.ops > 0, seconds(time.Since(began))
	return conclude(d, record.Held, "grow-shrink.txt", problems, record)
}

// busyShare is the part of the cores from which on they are what limits.
const busyShare = 0.8

// limit says what keeps more nodes from answering more.
func (c *growClaim) limit() string {
	share := fmt.Sprintf("they share this machine's %d cores", c.Cores)
	switch {
	case c.BusyBefore == 0 || c.BusyAfter == 0:
		return share
	case min(c.BusyBefore, c.BusyAfter) < busyShare*float64(c.Cores):
		return fmt.Sprintf("%s, of which %.1f and %.1f were busy", share, c.BusyBefore, c.BusyAfter)
	}
	return fmt.Sprintf("%s, which were busy (%.1f and %.1f) and so the limit: machines that are added bring cores of their own", share, c.BusyBefore, c.BusyAfter)
}

// countReads counts reads, and how many cores of this machine work meanwhile.
func countReads(nodes []target) (perSecond int, busy float64, err error) {
	began, before := time.Now(), busyTime()
	perSecond, err = readsPerSecond(nodes, readTime)
	return perSecond, (busyTime() - before).Seconds() / time.Since(began).Seconds(), err
}

func (d *demoRun) growAndShrink(ctx context.Context, record *growClaim) (problems []string, err error) {
	if record.ReadsBefore, record.BusyBefore, err = countReads(d.nodes); err != nil {
		return nil, err
	}
	for _, i := range []int{demoFourth, demoFifth} {
		joining := time.Now()
		if err := d.join(ctx, i, "node"); err != nil {
			return nil, err
		}
		served := time.Since(joining)
		if _, err := d.placed(ctx, demoNodes, i-demoGateway, storing()...); err != nil {
			return nil, err
		}
		record.JoinMs = append(record.JoinMs, milliseconds(served))
		d.nodes = append(d.nodes, d.cluster.at(i))
		d.view.line("   %s joined by token in %d ms and had copied everything after %.1f s", d.cluster.members[i].Name, milliseconds(served), time.Since(joining).Seconds())
	}
	unlike, err := d.sample(ctx, demoFourth, demoFifth)
	if err != nil {
		return nil, err
	}
	problems = append(problems, unlike...)
	if record.ReadsAfter, record.BusyAfter, err = countReads(d.nodes); err != nil {
		return nil, err
	}
	more, err := d.shrink(ctx, record)
	return append(problems, more...), err
}

// shrink drains the leader, which a learner replaces, and takes it out.
func (d *demoRun) shrink(ctx context.Context, record *growClaim) (problems []string, err error) {
	leader, err := d.leader(ctx)
	if err != nil {
		return nil, err
	}
	name, id := d.cluster.members[leader].Name, fmt.Sprint(d.cluster.members[leader].ID)
	draining := time.Now()
	// Whoever asks through the node that leaves would not see the end of it.
	own := d.cluster.members[leader].Client
	d.nodes = slices.DeleteFunc(slices.Clone(d.nodes), func(x target) bool { return x.addr == own })
	if _, err := d.ask(ctx, "TUTTI.MEMBER", "DRAIN", id); err != nil {
		return nil, err
	}
	v, err := d.placed(ctx, demoNodes, 1, slices.DeleteFunc(storing(), func(i int) bool { return i == leader })...)
	if err != nil {
		return nil, err
	}
	record.DrainMs = milliseconds(time.Since(draining))
	promoted := ""
	for _, i := range []int{demoFourth, demoFifth} {
		if n := v.node(v.Members[i]); n.Votes > 0 {
			promoted = n.Name
		}
	}
	d.view.line("   %s, the leader, drained in %d ms; %s votes in its place", name, record.DrainMs, promoted)
	d.cluster.procs[leader].stopping.Store(true) // it ends by itself
	if _, err := d.ask(ctx, "TUTTI.MEMBER", "REMOVE", id); err != nil {
		return nil, err
	}
	select {
	case <-d.cluster.procs[leader].done:
		d.view.line("   %s was removed, and ended", name)
	case <-time.After(joinTimeout):
		problems = append(problems, name+" was removed and goes on")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.removed[leader] = true
	return problems, nil
}

// sampleSize is how many files are read again through machines that are new.
const sampleSize = 200

// sample reads some of the files through nodes that have just joined.
func (d *demoRun) sample(ctx context.Context, through ...int) ([]string, error) {
	if len(d.files) == 0 {
		return nil, nil
	}
	var nodes []target
	for _, i := range through {
		nodes = append(nodes, d.cluster.at(i))
	}
	files := make([]fileReceipt, min(sampleSize, len(d.files)))
	for k := range files {
		files[k] = d.files[rand.IntN(len(d.files))]
	}
	equal, unlike, err := verify(ctx, nodes, files, func(*fileReceipt) int { return rand.IntN(len(nodes)) }, func(int64) {})
	if err != nil {
		return nil, err
	}
	d.view.result(equal == len(files), "%d files read through the two that joined: %d equal", len(files), equal)
	return unlike, nil
}
