package main

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Medians are of each figure by itself, and a goal is reached or not by them.
func TestMachinesGoals(t *testing.T) {
	// A calm in which all stood still once must not make everything look like it.
	calm, stalled := moveWindow{ReadMs: 2, WriteMs: 3, LongestMs: 9}, moveWindow{ReadMs: 200, WriteMs: 200, LongestMs: 400}
	moving := moveWindow{ReadMs: 5, WriteMs: 6, LongestMs: 70}
	r := &machinesReport{Shares: shareMethod, Moves: &moveFigure{Runs: 2, CopyMs: []float64{900, 900},
		Rounds: []moveRound{{stalled, calm, moving, calm}, {calm, stalled, moving, calm}}}}
	r.Moves.summarize()
	r.Slow = &moveFigure{DataMiB: 48, Link: "2 MiB/s", Runs: 1, CopyMs: []float64{24_000}, Rounds: []moveRound{{stalled, calm, calm, calm}}, Elections: 1}
	r.Slow.summarize()
	for _, reads := range []float64{100, 300, 200} {
		r.Scaling = append(r.Scaling, scaleFigure{Nodes: 3, ReadsPerS: reads}, scaleFigure{Nodes: 5, ReadsPerS: 1.6 * reads})
	}
	r.Joins = []joinFigure{{ServesMs: 700, PlacedMs: 900}, {DataMiB: 64, ServesMs: 3000, PlacedMs: 5000}}
	r.Rolling = []rollFigure{{How: "SIGTERM", Commands: 10}, {How: "kill -9", Commands: 10, Failed: 1}}
	r.TLS = []wireFigure{{Case: "get-p1", OpsPerS: 100, CPUUs: 10}, {Case: "get-p1", TLS: true, OpsPerS: 80, CPUUs: 11}}
	r.judge()
	var out bytes.Buffer
	r.print(&out)
	for _, line := range []string{
		"reached     reads of 5 nodes over those of 3: 1.60 (goal ≥ 1.50)",
		"reached     join of an empty node until it serves, median in s: 0.70 (goal ≤ 2.00)",
		"not reached p99 of reads while a copy moves over that without: 2.50 (goal ≤ 2.00)",
		"reached     p99 of writes while a copy moves over that without: 2.00 (goal ≤ 2.00)",
		"reached     elections while a copy moves: 0.00",
		"reached     p99 of reads while a copy moves over a slow link over that without: 1.00 (goal ≤ 2.00)",
		"not reached elections while a copy moves over a slow link: 1.00 (goal ≤ 0.00)",
		"While a fourth node copies 48 MiB over a link of 2 MiB/s (1 times, median 24000 ms)",
		"reached     commands through a gateway that failed, all nodes restarted by SIGTERM: 0.00",
		"not reached commands through a gateway that failed, all nodes restarted by kill -9: 1.00",
		"2    before             200.0          200.0        400.0",
		"A node that joins three with 64 MiB: serves after 3000 ms",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q in\n%s", line, out.String())
		}
	}
	if !strings.Contains(out.String(), "0.80×") {
		t.Errorf("TLS is not compared:\n%s", out.String())
	}
}

// A wired node reaches every other one through the switch, and a slow link is that of one node.
func TestMachinesWired(t *testing.T) {
	g := &grown{}
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() { // says who it is
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				_, _ = c.Write([]byte{byte(i)})
				_ = c.Close()
			}
		}()
		g.nodes = append(g.nodes, &grownNode{name: nodeName(i), peer: l.Addr().String()})
	}
	if err := g.wire(3); err != nil {
		t.Fatal(err)
	}
	defer g.net.Close()
	g.slowLink(2)
	for i, from := range g.nodes {
		ways := strings.Split(from.via, ",")
		if len(ways) != 2 {
			t.Fatalf("node %d: %s", i+1, from.via)
		}
		for _, way := range ways {
			id, addr, _ := strings.Cut(way, "=")
			began := time.Now()
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			var who [1]byte
			_, err = io.ReadFull(c, who[:])
			_ = c.Close()
			if err != nil || strconv.Itoa(int(who[0])+1) != id || strconv.Itoa(i+1) == id {
				t.Errorf("node %d reaches node %d as %s: %v", i+1, who[0]+1, id, err)
			}
			if slow := i == 2 || id == "3"; slow && time.Since(began) < slowLinkDelay {
				t.Errorf("from node %d to %s after %v, faster than the link", i+1, id, time.Since(began))
			}
		}
	}
}
