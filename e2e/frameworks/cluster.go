package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
)

const startTimeout = 30 * time.Second

// system is what a framework is tried on.
type system struct {
	nodes   []*node
	gateway string // an address that stays
	client  *redis.Client
	procs   []*process.Process // beside the nodes
	// distance stands before the system; nil: it is near.
	distance *process.Distance
}

// node is one that may be killed, and started again.
type node struct {
	addr, peer string
	proc       *process.Process
	again      func() (*process.Process, error)
}

const (
	clusterName = "jobs"
	members     = 3
)

// startTutti forms a cluster of three nodes by init and join, in which everybody may do
// everything, and a gateway, as it stands beside an application.
func startTutti(ctx context.Context, dir, binary string) (s *system, err error) {
	if binary == "" {
		if binary, err = process.Build(dir); err != nil {
			return nil, err
		}
	}
	at, err := process.FreeAddrs(2 * (members + 1))
	if err != nil {
		return nil, err
	}
	f := former{dir: dir, binary: binary, at: at}
	s = &system{}
	for i := range members + 1 {
		n, err := f.form(ctx, i)
		if n.proc != nil && i < members {
			s.nodes = append(s.nodes, n)
		} else if n.proc != nil {
			s.procs = append(s.procs, n.proc)
		}
		switch {
		case err != nil:
			return s, err // with what is to be stopped
		case i == members:
			return s, s.reach(ctx, n.addr)
		}
		if i == 0 {
			if err := f.open(ctx, n); err != nil {
				return s, err
			}
			defer f.admin.Close()
		}
	}
	return s, nil
}

// former makes the nodes of a cluster.
type former struct {
	dir, binary string
	at          []string // addresses, for clients and for nodes in turn
	admin       *redis.Client
}

// form makes node i: the first one by init, the others by join; the last is a gateway.
func (f *former) form(ctx context.Context, i int) (*node, error) {
	n := &node{addr: f.at[2*i], peer: f.at[2*i+1]}
	name := fmt.Sprintf("node-%d", i+1)
	folder := filepath.Join(f.dir, name)
	run := func(command string, args ...string) (*process.Process, error) {
		env := append(os.Environ(), "XDG_CONFIG_HOME="+f.config()) // where init puts the login
		return process.Spawn(f.dir, name, env, f.binary, append([]string{command, "--dir", folder, "--log", "warn"}, args...)...)
	}
	n.again = func() (*process.Process, error) { return run("start") }
	place := []string{"--node", name, "--listen", n.addr, "--peer-listen", n.peer, "--tls=false"}
	var err error
	if i == 0 {
		n.proc, err = run("init", append(place, "--name", clusterName)...)
		return n, err
	}
	role := "node"
	if i == members {
		role = "gateway"
	}
	token, err := f.admin.Do(ctx, "TUTTI.TOKEN", "CREATE", "ROLE", role).Text()
	if err != nil {
		return n, err
	}
	if n.proc, err = run("join", append(place, f.at[1], "--token", token, "--role", role)...); err != nil {
		return n, err
	}
	return n, n.serves(ctx)
}

func (f *former) config() string { return filepath.Join(f.dir, "config") }

// open lets everybody in, as the admin that init has made.
func (f *former) open(ctx context.Context, first *node) error {
	return process.Eventually(startTimeout, "the first node serves", func() error {
		text, err := os.ReadFile(filepath.Join(f.config(), "tutti", clusterName+".secret"))
		if err != nil {
			return err
		}
		login := strings.Fields(string(text))
		if len(login) != 2 {
			return errors.New("the login is not there")
		}
		if f.admin == nil {
			f.admin = redis.NewClient(&redis.Options{Addr: first.addr, Username: login[0], Password: login[1]})
		}
		return f.admin.Do(ctx, "ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all").Err()
	})
}

// serves waits until a node answers.
func (n *node) serves(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Addr: n.addr})
	defer client.Close()
	return process.Eventually(startTimeout, n.addr+" serves", func() error {
		if ctx.Err() != nil {
			return nil // whoever waits looks at that
		}
		return client.Exists(ctx, "ready").Err()
	})
}

// startRedis starts one redis-server, so far away, on which nothing is killed but workers.
func startRedis(ctx context.Context, dir string, away time.Duration) (*system, error) {
	if err := process.Bring("redis-server", "redis-server"); err != nil {
		return nil, err
	}
	at, err := process.FreeAddrs(1)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(at[0])
	if err != nil {
		return nil, err
	}
	p, err := process.Spawn(dir, "redis", nil, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes")
	if err != nil {
		return nil, err
	}
	s := &system{procs: []*process.Process{p}}
	addr := at[0]
	if away > 0 {
		if s.distance, err = process.Away(addr, away); err != nil {
			return s, err
		}
		addr = s.distance.Addr()
	}
	return s, s.reach(ctx, addr)
}

// reach waits until the address that stays answers.
func (s *system) reach(ctx context.Context, addr string) error {
	s.gateway, s.client = addr, redis.NewClient(&redis.Options{Addr: addr})
	return process.Eventually(startTimeout, "it serves", func() error { return s.client.Set(ctx, "ready", 1, 0).Err() })
}

func (s *system) stop() (err error) {
	if s == nil {
		return nil
	}
	if s.client != nil {
		_ = s.client.Close()
	}
	if s.distance != nil {
		err = s.distance.Close()
	}
	for _, p := range s.procs {
		err = errors.Join(err, p.Stop())
	}
	for _, n := range s.nodes {
		err = errors.Join(err, n.proc.Stop())
	}
	return err
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
