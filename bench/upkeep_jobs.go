package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tutti/internal/node"
)

// upkeep is a cluster that is administered by the commands of tutti, as an operator does
// it, while nodes and these commands are killed.
type upkeep struct {
	g      *grown
	report *upkeepReport
	rand   *rand.Rand
	in     []int // the nodes that are in the cluster
	next   int   // the node that joins next
}

// Limits of upkeep.
const (
	// upkeepKills is how often something is killed in one job.
	upkeepKills = 5
	// commandMax bounds one command that is not killed: it has to end by itself.
	commandMax = time.Minute
	// againMax is how often a command may have to be run again once nothing is killed.
	againMax = 5
	// deadAfter is how long a node is silent until it is replaced, in seconds, in one job.
	deadAfter = "3"
	// deadAfterUsual is what it is otherwise: longer than a job takes.
	deadAfterUsual = "300"
)

// outcome is what came of a command of tutti.
type outcome struct {
	code   int // -1: it was killed
	output string
}

// start begins a command that asks node at.
func (u *upkeep) start(at int, args ...string) (*exec.Cmd, *strings.Builder, error) {
	g := u.g
	words := 1
	if slices.Contains([]string{"node", "cert"}, args[0]) {
		words = 2
	}
	to := []string{"--addr", g.nodes[at].addr, "--cacert", g.authorities(at), "--secret", filepath.Join(g.dir, "tutti", "bench.secret")}
	cmd := exec.Command(g.binary, slices.Concat(args[:words], to, args[words:])...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out, cmd.Start()
}

// authorities is the file of those that clients of node i trust.
func (g *grown) authorities(i int) string { return filepath.Join(g.dir, g.nodes[i].name, "ca.pem") }

// command runs a command to its end, or kills it after a while; 0: it is left alone.
func (u *upkeep) command(ctx context.Context, at int, killed time.Duration, args ...string) (outcome, error) {
	cmd, out, err := u.start(at, args...)
	if err != nil {
		return outcome{}, err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the exit code says it
		close(done)
	}()
	limit := commandMax
	if killed > 0 {
		limit = killed
	}
	if waitDone(ctx, done, limit) != nil {
		_ = cmd.Process.Kill()
		<-done
		if killed == 0 && ctx.Err() == nil {
			return outcome{}, fmt.Errorf("tutti %s did not end within %v; it said:\n%s", strings.Join(args, " "), limit, out)
		}
	}
	x := outcome{cmd.ProcessState.ExitCode(), out.String()}
	if x.code < 0 {
		u.report.Kills["tutti "+strings.Join(args[:2], " ")]++
	}
	return x, ctx.Err()
}

// waitDone waits for done, d at most.
func waitDone(ctx context.Context, done <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return context.DeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// again runs a command until it ends well, while nothing is killed any more; gone says that
// an answer means that what is asked for was done before.
func (u *upkeep) again(ctx context.Context, at int, gone string, args ...string) error {
	var x outcome
	for range againMax {
		var err error
		if x, err = u.command(ctx, at, 0, args...); err != nil || x.code == 0 || gone != "" && strings.Contains(x.output, gone) {
			return err
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return fmt.Errorf("tutti %s, run %d times while nothing was killed, still ends with %d: %s", strings.Join(args, " "), againMax, x.code, x.output)
}

// bounce kills node i, and starts it again after a while.
func (u *upkeep) bounce(ctx context.Context, i int) error {
	u.kill(i)
	if err := sleep(ctx, u.between(0, 700*time.Millisecond)); err != nil {
		return err
	}
	return u.g.run(i, "start")
}

func (u *upkeep) kill(i int) {
	u.g.nodes[i].proc.kill()
	u.report.Kills["nodes"]++
}

func (u *upkeep) between(least, most time.Duration) time.Duration {
	return least + time.Duration(u.rand.Int64N(int64(most-least)))
}

// any is one of the nodes in the cluster, but not one of those.
func (u *upkeep) any(but ...int) int {
	for {
		if i := u.in[u.rand.IntN(len(u.in))]; !slices.Contains(but, i) {
			return i
		}
	}
}

// rotate replaces the authority, while the command, the node that it asks, and others are
// killed; run again the command ends, and every node can be killed and come back.
func (u *upkeep) rotate(ctx context.Context) error {
	had, err := u.authority(ctx)
	if err != nil {
		return err
	}
	at := u.any()
	for i := range upkeepKills {
		victim := u.any()
		if i%2 == 0 {
			victim = at
		}
		ended := make(chan error, 1)
		patience := u.between(300*time.Millisecond, 2*time.Second)
		pause := u.between(0, patience)
		go func() {
			_, err := u.command(ctx, at, patience, "cert", "rotate-ca")
			ended <- err
		}()
		err := sleep(ctx, pause)
		if err == nil {
			err = u.bounceBeside(ctx, victim, ended)
		}
		if err != nil {
			return err
		}
	}
	for _, i := range u.in {
		if err := u.up(ctx, i); err != nil {
			return err
		}
	}
	if err := u.again(ctx, at, "", "cert", "rotate-ca"); err != nil {
		return err
	}
	now, err := u.authority(ctx)
	if err != nil {
		return err
	}
	if now <= had {
		u.report.problem("the authority was %d and is %d after a rotation", had, now)
	}
	for _, i := range u.in { // who was locked out by the new authority does not come back
		u.kill(i)
		if err := u.g.run(i, "start"); err != nil {
			return err
		}
		if err := u.up(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// bounceBeside is bounce beside a command, for whose end it waits.
func (u *upkeep) bounceBeside(ctx context.Context, i int, ended <-chan error) error {
	u.g.nodes[i].proc.kill()
	err := sleep(ctx, u.between(0, 700*time.Millisecond))
	if err == nil {
		err = u.g.run(i, "start")
	}
	err = errors.Join(err, <-ended)
	u.report.Kills["nodes"]++ // the command counts too
	return err
}

// authority is the one authority that there is, once no other is left and all nodes have it.
func (u *upkeep) authority(ctx context.Context) (id uint64, err error) {
	x, err := u.command(ctx, u.any(), 0, "cert", "ls", "--json")
	if err != nil {
		return 0, err
	}
	var v struct {
		Generation  uint64
		Authorities []struct {
			ID    uint64
			State string
		}
		Nodes []struct{ Generation uint64 }
	}
	if err := json.Unmarshal([]byte(x.output), &v); err != nil {
		return 0, fmt.Errorf("tutti cert ls: %d %s: %w", x.code, x.output, err)
	}
	if len(v.Authorities) != 1 || v.Authorities[0].State != "signing" || len(v.Nodes) != len(u.in) {
		return 0, fmt.Errorf("not one authority of %d nodes: %s", len(u.in), x.output)
	}
	for _, n := range v.Nodes {
		if n.Generation != v.Generation {
			return 0, fmt.Errorf("a node is behind: %s", x.output)
		}
	}
	return v.Authorities[0].ID, nil
}

// drain drains a node by a command that is killed again and again, as nodes are; run again
// it ends, and the node holds nothing. Then it is taken back.
func (u *upkeep) drain(ctx context.Context) error {
	gone := u.any()
	name := u.g.nodes[gone].name
	at := u.any(gone)
	for range upkeepKills {
		if _, err := u.command(ctx, at, u.between(time.Millisecond, time.Second), "node", "drain", name); err != nil {
			return err
		}
		if u.rand.IntN(2) == 0 {
			if err := u.bounce(ctx, u.any()); err != nil {
				return err
			}
		}
	}
	if err := u.drained(ctx, at, gone); err != nil {
		return err
	}
	return u.again(ctx, at, "", "node", "undrain", name)
}

// drained has the drain of a node come to its end.
func (u *upkeep) drained(ctx context.Context, at, gone int) error {
	if err := u.up(ctx, at); err != nil {
		return err
	}
	name := u.g.nodes[gone].name
	if err := u.again(ctx, at, "", "node", "drain", name); err != nil {
		return err
	}
	n, err := u.shown(ctx, at, name)
	if err == nil && (n.State != "draining" || n.Votes+n.Learns != 0) {
		u.report.problem("%s is drained and is %+v", name, n)
	}
	return err
}

// shownNode is what tutti node show prints.
type shownNode struct {
	State         string
	Votes, Learns int
}

func (u *upkeep) shown(ctx context.Context, at int, name string) (n shownNode, err error) {
	x, err := u.command(ctx, at, 0, "node", "show", name)
	if err == nil && json.Unmarshal([]byte(x.output), &n) != nil {
		err = fmt.Errorf("tutti node show %s: %d %s", name, x.code, x.output)
	}
	return n, err
}

// replace drains a node with a vote while another one is dead and being replaced.
func (u *upkeep) replace(ctx context.Context) error {
	if err := u.deadAfter(ctx, deadAfter); err != nil {
		return err
	}
	var voters []int
	for _, i := range u.in {
		n, err := u.shown(ctx, i, u.g.nodes[i].name)
		if err != nil {
			return err
		}
		if n.Votes > 0 {
			voters = append(voters, i)
		}
	}
	if len(voters) < 3 {
		return fmt.Errorf("only %v of %v vote", voters, u.in)
	}
	u.rand.Shuffle(len(voters), func(i, j int) { voters[i], voters[j] = voters[j], voters[i] })
	dead, gone := voters[0], voters[1]
	at := u.any(dead, gone)
	u.kill(dead)
	// Before it is taken for dead, while it is replaced, and after that.
	if err := sleep(ctx, u.between(2*time.Second, 5*time.Second)); err != nil {
		return err
	}
	if err := u.drained(ctx, at, gone); err != nil {
		return err
	}
	if err := u.emptied(ctx, at, dead); err != nil {
		return err
	}
	if err := errors.Join(u.g.run(dead, "start"), u.deadAfter(ctx, deadAfterUsual)); err != nil {
		return err
	}
	return u.again(ctx, at, "", "node", "undrain", u.g.nodes[gone].name)
}

func (u *upkeep) deadAfter(ctx context.Context, seconds string) error {
	return u.again(ctx, u.any(), "", "cli", "TUTTI.POLICY", "dead-after", seconds)
}

// emptied waits until a dead node is to hold nothing any more.
func (u *upkeep) emptied(ctx context.Context, at, dead int) error {
	var n shownNode
	for end := time.Now().Add(commandMax); time.Now().Before(end); {
		var err error
		if n, err = u.shown(ctx, at, u.g.nodes[dead].name); err != nil {
			return err
		}
		if n.State == "dead" && n.Votes+n.Learns == 0 {
			return nil
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s was killed and is not replaced after %v: %+v", u.g.nodes[dead].name, commandMax, n)
}

// remove takes a node out for ever by a command that is killed again and again; run again
// it ends, the node is no member, its process ends, and another one joins.
func (u *upkeep) remove(ctx context.Context) error {
	gone := u.any()
	name := u.g.nodes[gone].name
	at := u.any(gone)
	for range upkeepKills {
		x, err := u.command(ctx, at, u.between(time.Millisecond, 1500*time.Millisecond), "node", "remove", name)
		if err != nil {
			return err
		}
		if x.code >= 0 { // it was quicker
			break
		}
	}
	if err := u.again(ctx, at, fmt.Sprintf("has no node %q", name), "node", "remove", name); err != nil {
		return err
	}
	p := u.g.nodes[gone].proc
	if waitDone(ctx, p.done, 30*time.Second) != nil {
		u.report.problem("%s was removed, and its process goes on", name)
		p.kill()
	}
	u.g.nodes[gone].proc = nil
	u.in = slices.DeleteFunc(u.in, func(i int) bool { return i == gone })
	if x, err := u.command(ctx, at, 0, "node", "show", name); err != nil || x.code == 0 {
		return fmt.Errorf("%s was removed, and is there: %s %w", name, x.output, orNone(err))
	}
	return u.come(ctx)
}

// come has the next node join.
func (u *upkeep) come(ctx context.Context) error {
	if err := u.trust(); err != nil {
		return err
	}
	via := u.any()
	v, err := u.g.admin(ctx, via, "TUTTI.TOKEN", "CREATE")
	if err != nil {
		return err
	}
	i := u.next
	if err := u.g.run(i, "join", append(u.g.place(i), u.g.nodes[via].peer, "--token", string(v.Str))...); err != nil {
		return err
	}
	u.next++
	u.in = append(u.in, i)
	return u.up(ctx, i)
}

// trust has the tool trust what the nodes' clients trust now, beside what it was before.
func (u *upkeep) trust() error {
	for _, i := range u.in {
		pem, err := os.ReadFile(u.g.authorities(i))
		if err == nil {
			u.g.trust.RootCAs.AppendCertsFromPEM(pem)
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// up waits until a node answers a read, by the authorities in its folder.
func (u *upkeep) up(ctx context.Context, i int) error {
	return u.g.wait(ctx, i, "tutti on "+u.g.nodes[i].name, func() error {
		if err := u.trust(); err != nil {
			return err
		}
		_, err := u.g.do(ctx, i, "EXISTS", "nothing")
		return err
	})
}

// whole waits until all nodes are up, all copies are where they should be, and the loss of
// a node would be survived.
func (u *upkeep) whole(ctx context.Context) error {
	for _, i := range u.in {
		if u.g.nodes[i].proc.ended() {
			return fmt.Errorf("%s ended by itself; it said:\n%s", u.g.nodes[i].name, u.g.nodes[i].proc.output())
		}
		if err := u.up(ctx, i); err != nil {
			return err
		}
	}
	at, last := u.any(), ""
	for end := time.Now().Add(commandMax); time.Now().Before(end); {
		var s node.Status
		if err := u.g.ask(ctx, at, &s, "TUTTI.STATUS"); err != nil {
			last = err.Error()
		} else if last = s.Verdict; s.Safety != nil && s.Safety.NodeLosses >= 1 && len(s.Safety.Moves) == 0 {
			return nil
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("not whole after %v: %s", commandMax, last)
}

// clientTrust is what clients of node i trust now.
func (g *grown) clientTrust(i int) (*tls.Config, error) {
	pem, err := os.ReadFile(g.authorities(i))
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13, ServerName: "127.0.0.1"}
	c.RootCAs.AppendCertsFromPEM(pem)
	return c, nil
}
