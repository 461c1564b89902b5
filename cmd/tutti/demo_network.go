package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

type networkClaim struct {
	Claim    string  `json:"claim"`
	Held     bool    `json:"held"`
	GapMs    int64   `json:"gap_ms"`
	Refused  int     `json:"refused"`
	ReturnMs int64   `json:"return_ms"`
	OneWayMs int64   `json:"one_way_gap_ms"`
	Seconds  float64 `json:"seconds"`
}

const (
	cutTime   = time.Second // of writes after they went on
	cutBudget = 15 * time.Second
)

// network cuts the leader off from the other nodes, first both ways, then one
// way.
func (d *demoRun) network(ctx context.Context) (bool, error) {
	began := time.Now()
	d.view.line("\n3  NETWORK")
	record := networkClaim{Claim: "network"}
	lost, err := d.leader(ctx)
	if err != nil {
		return false, err
	}
	name := d.cluster.members[lost].Name
	d.view.line("   %s, the leader, is cut off: nothing that it sends arrives, nor what is sent to it", name)
	refused := make(chan []string, 1)
	clients, err := d.clientsOf(lost)
	if err != nil {
		return false, err
	}
	gap, problems, err := d.cutOff(ctx, lost, "network:both", func(other string) { d.net.Cut(name, other) }, func() {
		go func() { refused <- minority(clients) }()
	})
	if err != nil {
		return false, err
	}
	answered := <-refused
	record.Refused, record.GapMs = len(minorityAsked)-len(answered), milliseconds(gap)
	d.view.result(len(answered) == 0, "%s refused %d of %d commands and said that they were not applied, or that this is not known; it answered none", name, record.Refused, len(minorityAsked))
	d.view.line("   the others went on: longest time without an acknowledged write %d ms", record.GapMs)
	healed := time.Now()
	d.net.Heal()
	if err := d.answers(ctx, lost, cutBudget); err != nil {
		return false, err
	}
	record.ReturnMs = milliseconds(time.Since(healed))
	d.view.line("   healed: %s answered again after %d ms", name, record.ReturnMs)
	problems = append(problems, answered...)

	deaf, err := d.leader(ctx)
	if err != nil {
		return false, err
	}
	name = d.cluster.members[deaf].Name
	d.view.line("   one way only: nothing that %s, the leader, sends arrives, and it hears all", name)
	gap, more, err := d.cutOff(ctx, deaf, "network:one-way", func(other string) { d.net.CutOne(name, other) }, func() {})
	if err != nil {
		return false, err
	}
	d.net.Heal()
	if err := d.answers(ctx, deaf, cutBudget); err != nil {
		return false, err
	}
	record.OneWayMs = milliseconds(gap)
	problems = append(problems, more...)
	d.view.result(len(problems) == 0, "every acknowledged write is there once; after the one-way cut writes went on within %d ms", record.OneWayMs)
	d.show(problems)
	record.Held, record.Seconds = len(problems) == 0, seconds(time.Since(began))
	return conclude(d, record.Held, "network.txt", problems, record)
}

// cutOff disturbs the way from node i to each other one while a probe writes
// through these, until writes have gone on for a while. meanwhile is called once
// the cut is there.
func (d *demoRun) cutOff(ctx context.Context, i int, key string, cut func(other string), meanwhile func()) (gap time.Duration, problems []string, err error) {
	others := slices.Delete(slices.Clone(d.nodes), i, i+1)
	p := startProbe(key, others...)
	if err := pause(ctx, cutTime/2); err != nil {
		return 0, nil, err
	}
	for _, m := range d.cluster.members {
		if m.ID != d.cluster.members[i].ID {
			cut(m.Name)
		}
	}
	meanwhile()
	before := p.acks.Load()
	for end := time.Now().Add(cutBudget); p.acks.Load() < before+ackedAfterCrash; {
		if err := pause(ctx, lookEvery); err != nil {
			return 0, nil, err
		}
		if time.Now().After(end) {
			problems = append(problems, fmt.Sprintf("no write was acknowledged for %v", cutBudget))
			break
		}
	}
	if err := pause(ctx, cutTime); err != nil {
		return 0, nil, err
	}
	if err := p.stop(others[0]); err != nil {
		return 0, nil, err
	}
	return p.gap, append(problems, p.broken...), nil
}

// minorityAsked are the commands that minority sends.
var minorityAsked = [...][]string{{"GET", incrKey}, {"SET", "network:minority", "x"}}

// clientsOf are clients of a node, one for each command: who logs in later, when it
// is cut off, is not let in.
func (d *demoRun) clientsOf(i int) (conns [len(minorityAsked)]*respConn, err error) {
	for n := range conns {
		if conns[n], err = d.nodes[i].dial(dialTime); err != nil {
			return conns, err
		}
	}
	return conns, nil
}

// minority reads and writes through a node that is cut off, and returns what was
// answered though it could not be known.
func minority(conns [len(minorityAsked)]*respConn) (answered []string) {
	answers := make(chan string, len(conns))
	for n, args := range minorityAsked {
		go func() { answers <- askCutOff(conns[n], args) }()
	}
	for range conns {
		if text := <-answers; text != "" {
			answered = append(answered, text)
		}
	}
	return answered
}

// askCutOff sends one command to a node that is cut off, and says what is wrong
// with the answer.
func askCutOff(conn *respConn, args []string) string {
	defer conn.Close()
	v, err := conn.do(probeTimeout, args...)
	if err != nil || !v.IsError() {
		return fmt.Sprintf("%s through a node that is cut off: %q %v", args[0], v.Str, err)
	}
	return ""
}
