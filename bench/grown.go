package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tutti/internal/node"
	"tutti/internal/proof/netfault"
	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// grown is a cluster that tutti init has begun and tutti join has made larger, as
// on machines of their own. Everybody may do everything without a login; with TLS
// the links of clients are encrypted, those between nodes always are.
type grown struct {
	binary, dir string
	secure      bool
	env         []string // of the nodes, beyond this process's
	login       []string // of the admin: user and password
	trust       *tls.Config
	nodes       []*grownNode
	net         *netfault.Switch // what the nodes say to each other goes through it; nil: they dial each other
}

type grownNode struct {
	name       string
	addr, peer string
	http       string   // where it answers /metrics; empty: nowhere
	via        string   // under which addresses it reaches others; empty: their own
	proc       *process // nil: it has left
}

const (
	// grownMost is how many nodes one cluster may have over its life.
	grownMost = 16
	// tokenUses is for how many of them a token is good.
	tokenUses = "100"
	// placedEvery is how often it is looked whether it has: clients are measured beside it.
	placedEvery = 50 * time.Millisecond
	// growPatience bounds the wait for a cluster to have placed its copies.
	growPatience = 5 * time.Minute
)

// newGrown makes a cluster of n storage nodes, with env in their environment, and
// waits until all copies are in their places.
func newGrown(ctx context.Context, l *lab, n int, secure bool, env ...string) (*grown, error) {
	g, err := newSeed(l, secure, env...)
	if err != nil {
		return nil, err
	}
	return g, g.grow(ctx, n)
}

// newSeed is a cluster that has no node yet.
func newSeed(l *lab, secure bool, env ...string) (*grown, error) {
	dir, err := l.clusterDir("grown")
	if err != nil {
		return nil, err
	}
	base, err := freePorts(2 * grownMost)
	if err != nil {
		return nil, err
	}
	g := &grown{binary: l.binary["tutti"], dir: dir, secure: secure, env: env}
	for i := range grownMost {
		g.nodes = append(g.nodes, &grownNode{name: fmt.Sprintf("m%d", i+1), addr: loopback(base + i), peer: loopback(base + grownMost + i)})
	}
	return g, nil
}

// wire has the first n nodes, which don't run yet, reach each other through a switch, in
// which they are called by their names.
func (g *grown) wire(n int) error {
	g.net = netfault.New(1)
	for i, from := range g.nodes[:n] {
		var ways []string
		for j, to := range g.nodes[:n] {
			if i == j {
				continue
			}
			addr, err := g.net.Connect(from.name, to.name, to.peer)
			if err != nil {
				g.net.Close()
				return err
			}
			ways = append(ways, fmt.Sprintf("%d=%s", j+1, addr))
		}
		from.via = strings.Join(ways, ",")
	}
	return nil
}

// grow makes the first n nodes, and waits until all copies are in their places. With an
// error it has stopped what it had started.
func (g *grown) grow(ctx context.Context, n int) error {
	err := g.begin(ctx)
	for i := 1; i < n && err == nil; i++ {
		err = g.join(ctx, i, "node")
	}
	if err == nil {
		err = g.placed(ctx, n)
	}
	if err != nil {
		g.stop()
	}
	return err
}

// run starts a process of node i.
func (g *grown) run(i int, command string, args ...string) (err error) {
	n := g.nodes[i]
	own := append(slices.Clone(g.env), "XDG_CONFIG_HOME="+g.dir, g.binary, command, "--dir", filepath.Join(g.dir, n.name), "--log", "warn")
	if n.via != "" {
		own = append(own, "--via", n.via)
	}
	args = append(own, args...)
	n.proc, err = spawn(g.dir, n.name, "env", args...) // which the program takes the place of
	return err
}

func (g *grown) place(i int) []string {
	n := g.nodes[i]
	args := []string{"--node", n.name, "--listen", n.addr, "--peer-listen", n.peer, fmt.Sprintf("--tls=%t", g.secure)}
	if n.http != "" {
		args = append(args, "--http-listen", n.http)
	}
	return args
}

// begin makes the first node, and lets everybody in.
func (g *grown) begin(ctx context.Context) error {
	if err := g.run(0, "init", append(g.place(0), "--name", "bench")...); err != nil {
		return err
	}
	return g.wait(ctx, 0, "tutti init", func() error {
		b, err := os.ReadFile(filepath.Join(g.dir, "tutti", "bench.secret"))
		if err != nil {
			return err
		}
		if g.login = strings.Fields(string(b)); len(g.login) != 2 {
			return errors.New("the file with the login is not complete")
		}
		if g.secure && g.trust == nil {
			pem, err := os.ReadFile(filepath.Join(g.dir, g.nodes[0].name, "ca.pem"))
			if err != nil {
				return err
			}
			g.trust = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13, ServerName: "127.0.0.1"}
			g.trust.RootCAs.AppendCertsFromPEM(pem)
		}
		_, err = g.admin(ctx, 0, "ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")
		return err
	})
}

// join starts node i as a new one and returns when it answers a read.
func (g *grown) join(ctx context.Context, i int, role string) error {
	v, err := g.admin(ctx, 0, "TUTTI.TOKEN", "CREATE", "USES", tokenUses, "ROLE", role)
	if err != nil {
		return err
	}
	args := append(g.place(i), g.nodes[0].peer, "--token", string(v.Str), "--role", role)
	if err := g.run(i, "join", args...); err != nil {
		return err
	}
	return g.serves(ctx, i)
}

// serves waits until node i answers a read.
func (g *grown) serves(ctx context.Context, i int) error {
	return g.wait(ctx, i, "tutti on "+g.nodes[i].name, func() error {
		_, err := g.do(ctx, i, "EXISTS", "nothing")
		return err
	})
}

// placed waits until the first n nodes have their copies and nothing moves.
func (g *grown) placed(ctx context.Context, n int) error {
	end := time.Now().Add(growPatience)
	for {
		err := g.atRest(ctx, n)
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("not placed after %v: %w", growPatience, err)
		}
		if err := sleep(ctx, placedEvery); err != nil {
			return err
		}
	}
}

func (g *grown) atRest(ctx context.Context, n int) error {
	for i := range n {
		var s node.Status
		if g.nodes[i].proc == nil {
			continue
		}
		if err := g.ask(ctx, i, &s, "TUTTI.STATUS", "LOCAL"); err != nil {
			return err
		}
		have := 0
		for _, x := range s.Shards {
			if x.Replica != 0 && x.Applied > 0 {
				have++
			}
		}
		if have < 2 { // meta and the one shard with keys
			return fmt.Errorf("%s has %d copies", g.nodes[i].name, have)
		}
	}
	var s node.Status
	if err := g.ask(ctx, 0, &s, "TUTTI.STATUS"); err != nil {
		return err
	}
	if s.Safety == nil || len(s.Safety.Moves) > 0 {
		return fmt.Errorf("copies move: %s", s.Verdict)
	}
	return nil
}

// leave takes node i out for ever, and waits until its process has ended.
func (g *grown) leave(ctx context.Context, i int) error {
	if _, err := g.admin(ctx, 0, "TUTTI.MEMBER", "DRAIN", fmt.Sprint(i+1)); err != nil {
		return err
	}
	for end := time.Now().Add(growPatience); ; {
		v, err := g.admin(ctx, 0, "TUTTI.MEMBER", "REMOVE", fmt.Sprint(i+1))
		if err == nil && string(v.Str) == "OK" {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("remove %s: %q %w", g.nodes[i].name, v.Str, orNone(err))
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	select {
	case <-g.nodes[i].proc.done:
	case <-time.After(30 * time.Second):
		g.nodes[i].proc.kill()
	}
	g.nodes[i].proc = nil
	return nil
}

// restart ends node i by a signal, starts it again, and waits until the loss of any
// node would be survived as before.
func (g *grown) restart(ctx context.Context, i int, sig syscall.Signal) error {
	p := g.nodes[i].proc
	if err := p.cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		return fmt.Errorf("%s did not end after %v", g.nodes[i].name, sig)
	}
	if err := g.run(i, "start"); err != nil {
		return err
	}
	if err := g.serves(ctx, i); err != nil {
		return err
	}
	return g.wait(ctx, i, "a healthy cluster", func() error {
		var s node.Status
		if err := g.ask(ctx, i, &s, "TUTTI.STATUS"); err != nil {
			return err
		}
		if s.Safety == nil || s.Safety.NodeLosses < 1 {
			return errors.New(s.Verdict)
		}
		return nil
	})
}

func (g *grown) wait(ctx context.Context, i int, what string, probe func() error) error {
	return waitReady(ctx, what, []*process{g.nodes[i].proc}, probe)
}

// stop ends all processes for good, and gives back the room of their data: a run makes many clusters.
func (g *grown) stop() {
	for _, n := range g.nodes {
		if n.proc != nil {
			n.proc.stop()
		}
		_ = os.RemoveAll(filepath.Join(g.dir, n.name)) // with the run's folder at the latest
	}
	if g.net != nil {
		g.net.Close()
	}
}

// pids are those of the first n nodes.
func (g *grown) pids(n int) (list []int) {
	for _, x := range g.nodes[:n] {
		if x.proc != nil {
			list = append(list, x.proc.pid())
		}
	}
	return list
}

// dial connects to node i, for commands until end.
func (g *grown) dial(ctx context.Context, i int, end time.Time) (*respclient.Conn, error) {
	if g.trust == nil {
		return respclient.Dial(ctx, g.nodes[i].addr, end)
	}
	d := tls.Dialer{NetDialer: &net.Dialer{Deadline: end}, Config: g.trust}
	conn, err := d.DialContext(ctx, "tcp", g.nodes[i].addr)
	if err != nil {
		return nil, err
	}
	return respclient.New(conn), conn.SetDeadline(end)
}

// do is one command on a connection of its own.
func (g *grown) do(ctx context.Context, i int, args ...string) (resp.Value, error) {
	return g.talk(ctx, i, args)
}

// admin is do as the first user.
func (g *grown) admin(ctx context.Context, i int, args ...string) (resp.Value, error) {
	return g.talk(ctx, i, append([]string{"AUTH"}, g.login...), args)
}

func (g *grown) talk(ctx context.Context, i int, cmds ...[]string) (v resp.Value, err error) {
	c, err := g.dial(ctx, i, time.Now().Add(askTimeout))
	if err != nil {
		return v, err
	}
	defer c.Close()
	for _, args := range cmds {
		if v, err = c.Do(args...); err == nil {
			err = respclient.Err(v)
		}
		if err != nil {
			return v, err
		}
	}
	return v, nil
}

func (g *grown) ask(ctx context.Context, i int, into any, args ...string) error {
	v, err := g.do(ctx, i, args...)
	if err != nil {
		return err
	}
	return json.Unmarshal(v.Str, into)
}
