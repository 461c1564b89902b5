package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tutti/internal/resp"
)

// Bounds of the messages claim.
const (
	messagesCount   = 1000
	messageTimeout  = 10 * time.Second // for one of them
	popsPerNode     = 4
	popTimeout      = 20 * time.Second // longer than writes need to go on
	messagesTimeout = time.Minute      // of what goes on while the leader dies
)

type messagesClaim struct {
	Claim     string  `json:"claim"`
	Held      bool    `json:"held"`
	Published int     `json:"published"`
	Received  int     `json:"received"`
	Entries   int     `json:"entries"`
	Processed int     `json:"processed"`
	TakenOver int     `json:"taken_over"`
	Pops      int     `json:"pops"`
	PopMs     int64   `json:"pops_served_after_ms"`
	Scripts   int     `json:"scripts"`
	Apart     int     `json:"seen_apart"`
	Seconds   float64 `json:"seconds"`
}

// messages publishes on one node what others receive, and then kills the leader while
// clients wait for elements of a list, a group works through a stream, and scripts that
// change three keys race with each other.
func (d *demoRun) messages(ctx context.Context) (bool, error) {
	began := time.Now()
	d.view.line("\n6  MESSAGES")
	record := messagesClaim{Claim: "messages", Published: messagesCount, Entries: streamEntries}
	problems, err := d.publish(&record)
	if err != nil {
		return false, err
	}
	more, err := d.messagesWhileLeaderDies(ctx, &record)
	if err != nil {
		return false, err
	}
	problems = append(problems, more...)
	d.show(problems)
	record.Held, record.Seconds = len(problems) == 0, seconds(time.Since(began))
	return conclude(d, record.Held, "messages.txt", problems, record)
}

// publish publishes on the first node what clients of the others have subscribed to.
func (d *demoRun) publish(record *messagesClaim) (problems []string, err error) {
	var ears []*respConn
	defer func() {
		for _, ear := range ears {
			ear.Close()
		}
	}()
	for _, at := range d.nodes[1:] {
		ear, err := at.dial(dialTime)
		if err != nil {
			return nil, err
		}
		ears = append(ears, ear)
		v, err := ear.do(messageTimeout, "SUBSCRIBE", messagesChannel)
		if err := firstError(err, v); err != nil {
			return nil, err
		}
	}
	mouth, err := d.nodes[0].dial(dialTime)
	if err != nil {
		return nil, err
	}
	defer mouth.Close()
	commands := make([][]string, messagesCount)
	for i := range commands {
		commands[i] = []string{"PUBLISH", messagesChannel, strconv.Itoa(i)}
	}
	replies, err := mouth.pipeline(messageTimeout, commands...)
	if err := firstError(err, replies...); err != nil {
		return nil, err
	}
	for i, v := range replies {
		if v.Int != int64(len(ears)) {
			problems = append(problems, fmt.Sprintf("message %d was published to %d receivers, not %d", i, v.Int, len(ears)))
		}
	}
	record.Received = messagesCount
	for i, ear := range ears {
		n, problem := hear(ear)
		if problem != "" {
			problems = append(problems, d.cluster.members[i+1].Name+": "+problem)
		}
		record.Received = min(record.Received, n)
	}
	d.view.result(len(problems) == 0, "%s messages published on %s: %s were received on %s and on %s, in order",
		grouped(messagesCount), d.cluster.members[0].Name, grouped(record.Received), d.cluster.members[1].Name, d.cluster.members[2].Name)
	return problems, nil
}

const messagesChannel = "demo:messages"

// hear receives all messages, and says what is wrong with the first that is not as it
// was published.
func hear(ear *respConn) (n int, problem string) {
	_ = ear.SetDeadline(time.Now().Add(messageTimeout))
	for ; n < messagesCount; n++ {
		v, err := resp.ReadValue(ear.r)
		if err != nil {
			return n, fmt.Sprintf("message %d did not come: %v", n, err)
		}
		if len(v.Elems) != 3 || string(v.Elems[2].Str) != strconv.Itoa(n) {
			return n, fmt.Sprintf("in the place of message %d came %s", n, v)
		}
	}
	return n, ""
}

// messagesWhileLeaderDies kills the leader in the middle of everything, and brings it
// back at the end.
func (d *demoRun) messagesWhileLeaderDies(ctx context.Context, record *messagesClaim) (problems []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, messagesTimeout)
	defer cancel()
	race, stream := startScriptRace(d.nodes), startStreamRun(ctx, d.nodes)
	defer race.stop()
	defer stream.stop()
	leader, err := d.leader(ctx)
	if err != nil {
		return nil, err
	}
	pops, err := d.startPops(ctx, leader)
	if err != nil {
		return nil, err
	}
	defer pops.stop()
	d.view.line("   kill -9 %s, the leader, while clients of the others wait for elements of a list, a group works through a stream, and scripts race", d.cluster.members[leader].Name)
	d.cluster.procs[leader].kill()
	killed := time.Now()
	stream.goOn()
	if err := pops.feed(ctx); err != nil {
		return nil, err
	}
	problems = pops.wait()
	record.Pops, record.PopMs = pops.count(), milliseconds(time.Since(killed))
	d.view.result(len(problems) == 0, "the %d clients that waited were served by another leader, each with an element of its own, after %d ms", record.Pops, record.PopMs)
	more, err := stream.wait(ctx, record)
	if err != nil {
		return nil, err
	}
	d.view.result(len(more) == 0, "%s entries into a stream and out of it in order, %s processed once each, %d of them by who took over from a consumer that was killed", grouped(record.Entries), grouped(record.Processed), record.TakenOver)
	problems = append(problems, more...)
	if more, err = race.wait(record); err != nil {
		return nil, err
	}
	d.view.result(len(more) == 0, "%s scripts changed three keys each through all nodes: seen apart %d times", grouped(record.Scripts), record.Apart)
	problems = append(problems, more...)
	if err := d.cluster.start(leader, childAttr()); err != nil {
		return nil, err
	}
	_, err = d.catchUp(ctx, leader)
	return problems, err
}

// pops are clients that wait for elements of one list through the nodes that are to
// live.
type pops struct {
	conns []*respConn
	nodes []target
	got   []string // by client; what belongs to its goroutine until it has ended
	errs  []error
	wg    sync.WaitGroup
}

const popsKey = "demo:pops"

// startPops starts them, and returns when all of them wait.
func (d *demoRun) startPops(ctx context.Context, leader int) (*pops, error) {
	p := &pops{nodes: slices.Delete(slices.Clone(d.nodes), leader, leader+1)}
	p.got, p.errs = make([]string, popsPerNode*len(p.nodes)), make([]error, popsPerNode*len(p.nodes))
	for i := range p.got {
		conn, err := p.nodes[i%len(p.nodes)].dial(dialTime)
		if err != nil {
			p.stop()
			return nil, err
		}
		p.conns = append(p.conns, conn)
	}
	for i, conn := range p.conns {
		p.wg.Go(func() {
			v, err := conn.do(popTimeout, "BLPOP", popsKey, strconv.Itoa(int(popTimeout/time.Second)))
			if p.errs[i] = firstError(err, v); p.errs[i] == nil && len(v.Elems) == 2 {
				p.got[i] = string(v.Elems[1].Str)
			}
		})
	}
	for _, at := range p.nodes {
		if err := waitBlocked(ctx, at, popsPerNode); err != nil {
			p.stop()
			return nil, err
		}
	}
	return p, nil
}

// waitBlocked waits until as many clients of a node wait for something.
func waitBlocked(ctx context.Context, at target, n int) error {
	conn, err := at.dial(dialTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		v, err := conn.do(probeTimeout, "INFO", "clients")
		if err := firstError(err, v); err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(v.Str), "blocked_clients:")
		blocked, _, _ := strings.Cut(rest, "\r\n")
		if got, err := strconv.Atoi(blocked); err == nil && got >= n {
			return nil
		}
		if err := pause(ctx, lookEvery); err != nil {
			return fmt.Errorf("%d clients of %s wait, not %d: %w", n, at.addr, n, err)
		}
	}
}

// feed pushes an element for each, in one step that may be tried again.
func (p *pops) feed(ctx context.Context) error {
	const script = "if redis.call('INCR', KEYS[2]) == 1 then return redis.call('RPUSH', KEYS[1], unpack(ARGV)) end"
	args := []string{"EVAL", script, "2", popsKey, popsKey + ":fed"}
	for i := range p.got {
		args = append(args, strconv.Itoa(i))
	}
	_, err := askAny(ctx, p.nodes, args...)
	return err
}

// wait says what is wrong with what they got.
func (p *pops) wait() (problems []string) {
	p.wg.Wait()
	taken := make(map[string]bool)
	for i, got := range p.got {
		switch {
		case p.errs[i] != nil:
			problems = append(problems, fmt.Sprintf("a client that waited was answered: %v", p.errs[i]))
		case got == "" || taken[got]:
			problems = append(problems, fmt.Sprintf("a client that waited got %q, which was not there for it", got))
		}
		taken[got] = true
	}
	return problems
}

func (p *pops) count() (served int) {
	for _, got := range p.got {
		if got != "" {
			served++
		}
	}
	return served
}

func (p *pops) stop() {
	for _, conn := range p.conns {
		conn.Close()
	}
	p.wg.Wait()
}

// askAny sends a command that may be executed again to one node after the other until
// it is answered without an error.
func askAny(ctx context.Context, nodes []target, args ...string) (resp.Value, error) {
	conns := newClients(nodes, probeTimeout)
	defer conns.close()
	for n := 0; ; n++ {
		replies, _, err := conns.call(n%len(nodes), args)
		if err := firstError(err, replies...); err == nil {
			return replies[0], nil
		} else if pauseErr := pause(ctx, lookEvery); pauseErr != nil {
			return resp.Value{}, fmt.Errorf("%s: %w", args[0], errors.Join(pauseErr, err))
		}
	}
}
