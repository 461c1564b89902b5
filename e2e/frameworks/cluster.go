package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
)

const startTimeout = 30 * time.Second

// system is what a framework is tried on.
type system struct {
	nodes   []string // addresses of the nodes
	gateway string   // one that stays
	client  *redis.Client
	procs   []*process.Process
}

// startTutti starts three nodes under tutti dev, which starts again what is killed, and a
// gateway, as it stands beside an application.
func startTutti(ctx context.Context, dir, binary string) (s *system, err error) {
	if binary == "" {
		if binary, err = process.Build(dir); err != nil {
			return nil, err
		}
	}
	s = &system{}
	if s.nodes, err = row(3); err != nil {
		return nil, err
	}
	if err := s.start(dir, "dev", binary, "dev", "--dir", filepath.Join(dir, "data"), "--listen", s.nodes[0]); err != nil {
		return s, err
	}
	node := redis.NewClient(&redis.Options{Addr: s.nodes[0]})
	defer node.Close()
	var token, peer string
	if err := process.Eventually(startTimeout, "tutti dev serves", func() (err error) {
		if token, err = node.Do(ctx, "TUTTI.TOKEN", "CREATE", "ROLE", "gateway").Text(); err == nil {
			peer, err = firstPeer(ctx, node)
		}
		return err
	}); err != nil {
		return s, err
	}
	at, err := row(2)
	if err != nil {
		return s, err
	}
	if err := s.start(dir, "gateway", binary, "join", peer, "--token", token, "--role", "gateway", "--node", "gate",
		"--dir", filepath.Join(dir, "gate"), "--listen", at[0], "--peer-listen", at[1], "--tls=false"); err != nil {
		return s, err
	}
	return s, s.reach(ctx, at[0])
}

// firstPeer is where a node listens for other nodes.
func firstPeer(ctx context.Context, node *redis.Client) (string, error) {
	text, err := node.Do(ctx, "TUTTI.MAP").Text()
	if err != nil {
		return "", err
	}
	var known struct {
		Members []struct {
			Peer string `json:"peer"`
		} `json:"members"`
	}
	if err := json.Unmarshal([]byte(text), &known); err != nil {
		return "", err
	}
	if len(known.Members) == 0 || known.Members[0].Peer == "" {
		return "", fmt.Errorf("no member has an address for nodes in %s", text)
	}
	return known.Members[0].Peer, nil
}

// startRedis starts one redis-server, on which nothing is killed but workers.
func startRedis(ctx context.Context, dir string) (*system, error) {
	if err := process.Bring("redis-server", "redis-server"); err != nil {
		return nil, err
	}
	at, err := row(1)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(at[0])
	if err != nil {
		return nil, err
	}
	s := &system{nodes: at}
	if err := s.start(dir, "redis", "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes"); err != nil {
		return s, err
	}
	return s, s.reach(ctx, at[0])
}

func (s *system) start(dir, name, program string, args ...string) error {
	p, err := process.Spawn(dir, name, nil, program, args...)
	if err == nil {
		s.procs = append(s.procs, p)
	}
	return err
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
	for i := len(s.procs) - 1; i >= 0; i-- {
		err = errors.Join(err, s.procs[i].Stop())
	}
	return err
}

// row returns addresses of n ports side by side.
func row(n int) (addrs []string, err error) {
	first, err := process.FreeRow()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(first)
	if err != nil {
		return nil, err
	}
	for i := range n {
		addrs = append(addrs, net.JoinHostPort(host, fmt.Sprint(number(port)+i)))
	}
	return addrs, nil
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
