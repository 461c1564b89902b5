package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"
)

// etcdCluster is three etcd members with their default settings, or ("tuned")
// with the heartbeat of 50 ms, election time-out of 250 ms and pre-vote that
// its documentation advises for a network this near.
type etcdCluster struct {
	binary string
	name   string
	nodes  []etcdNode
	procs  []*process
}

type etcdNode struct {
	dir  string
	addr string // of clients
	args []string
}

func startEtcd(ctx context.Context, l *lab, name string) (*etcdCluster, error) {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(discard{}, discard{}, discard{}))
	dir, err := l.clusterDir(name)
	if err != nil {
		return nil, err
	}
	base, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	var members []string
	for i := range 3 {
		members = append(members, fmt.Sprintf("n%d=http://%s", i+1, loopback(base+3+i)))
	}
	c := &etcdCluster{binary: l.binary[name], name: name}
	for i := range 3 {
		id := "n" + strconv.Itoa(i+1)
		client, peer := "http://"+loopback(base+i), "http://"+loopback(base+3+i)
		args := []string{
			"--name", id, "--data-dir", filepath.Join(dir, id),
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(members, ","), "--initial-cluster-state", "new",
			"--initial-cluster-token", filepath.Base(l.dir), "--logger", "zap", "--log-level", "error",
			"--quota-backend-bytes", strconv.Itoa(8 << 30),
		}
		if name == "etcd-tuned" {
			args = append(args, "--heartbeat-interval", "50", "--election-timeout", "250", "--pre-vote")
		}
		c.nodes = append(c.nodes, etcdNode{dir: dir, addr: loopback(base + i), args: args})
		p, err := spawn(dir, id, c.binary, args...)
		if err != nil {
			c.stop()
			return nil, err
		}
		c.procs = append(c.procs, p)
	}
	err = waitReady(ctx, name, c.procs, func() error {
		_, err := c.leader(ctx)
		return err
	})
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// discard silences gRPC, which otherwise reports each killed connection.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (c *etcdCluster) pids() []int {
	var pids []int
	for _, p := range c.procs {
		pids = append(pids, p.pid())
	}
	return pids
}

func (c *etcdCluster) stop() {
	for _, p := range c.procs {
		p.stop()
	}
}

func (c *etcdCluster) client(addrs ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: addrs, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
}

// status asks one member; it must answer within a second.
func (c *etcdCluster) status(ctx context.Context, node int) (*clientv3.StatusResponse, error) {
	client, err := c.client(c.nodes[node].addr)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return client.Status(ctx, c.nodes[node].addr)
}

// leader returns the node that leads and says so itself, once all three are up
// and name the same leader.
func (c *etcdCluster) leader(ctx context.Context) (int, error) {
	leader, named := -1, uint64(0)
	for i := range c.nodes {
		s, err := c.status(ctx, i)
		if err != nil {
			return 0, err
		}
		if s.Leader == 0 || (named != 0 && s.Leader != named) {
			return 0, errors.New("no leader yet")
		}
		named = s.Leader
		if s.Header.MemberId == s.Leader {
			leader = i
		}
	}
	if leader < 0 {
		return 0, errors.New("no leader yet")
	}
	return leader, nil
}

func (c *etcdCluster) fill(ctx context.Context, _ workload, keys int) error {
	// Debian's etcd takes 128 operations in a transaction.
	const batch, writers = 128, 64
	leader, err := c.leader(ctx)
	if err != nil {
		return err
	}
	client, err := c.client(c.nodes[leader].addr)
	if err != nil {
		return err
	}
	defer client.Close()
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			v := newValues(uint64(w), valueLen)
			for at := w * batch; at < keys && errs[w] == nil; at += writers * batch {
				var puts []clientv3.Op
				for k := at; k < min(at+batch, keys); k++ {
					puts = append(puts, clientv3.OpPut(string(appendKey(nil, keyKind, k)), string(v.next())))
				}
				_, errs[w] = client.Txn(ctx).Then(puts...).Commit()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// load runs j.conns callers in a closed loop. They share gRPC connections, ten
// to each, as etcd's own benchmark does.
func (c *etcdCluster) load(ctx context.Context, j job, w window) (*tally, error) {
	if j.pipeline > 1 {
		return nil, errors.New("etcd's API has no pipelines")
	}
	leader, err := c.leader(ctx)
	if err != nil {
		return nil, err
	}
	addrs := []string{c.nodes[leader].addr}
	if j.random {
		addrs = addrs[:0]
		for _, n := range c.nodes {
			addrs = append(addrs, n.addr)
		}
	}
	// One client per connection and node, so that the choice of node is ours.
	var clients []*clientv3.Client
	defer func() {
		for _, client := range clients {
			_ = client.Close()
		}
	}()
	perNode := (j.conns + 9) / 10
	for range perNode {
		for _, addr := range addrs {
			client, err := c.client(addr)
			if err != nil {
				return nil, err
			}
			clients = append(clients, client)
		}
	}
	// A caller inside an operation at the end finishes it; the bound is for a
	// cluster that hangs.
	ctx, cancel := context.WithTimeout(ctx, j.warmup+j.measure+drainMax)
	defer cancel()
	start := time.Now()
	begin := start.Add(j.warmup)
	end := begin.Add(j.measure)
	tallies := make([]tally, j.conns)
	var wg sync.WaitGroup
	for caller := range j.conns {
		wg.Go(func() {
			t, v := &tallies[caller], newValues(uint64(caller), valueLen)
			for {
				sent := time.Now()
				if sent.After(end) || ctx.Err() != nil {
					return
				}
				at := caller % perNode * len(addrs)
				if len(addrs) > 1 {
					at += v.rand.IntN(len(addrs))
				}
				err := etcdOp(ctx, clients[at], j.work.write, string(appendKey(nil, keyKind, v.rand.IntN(j.keys))), v)
				now := time.Now()
				switch {
				case now.Before(begin) || now.After(end):
				case err != nil:
					t.fail(1, err)
				default:
					t.ops++
					t.latency.add(now.Sub(sent))
				}
			}
		})
	}
	if err := sleep(ctx, time.Until(begin)); err != nil {
		wg.Wait()
		return nil, err
	}
	w.begin()
	if err := sleep(ctx, time.Until(end)); err != nil {
		wg.Wait()
		return nil, err
	}
	w.end()
	wg.Wait()
	total := &tally{elapsed: j.measure}
	for i := range tallies {
		t := &tallies[i]
		total.ops += t.ops
		total.latency.merge(&t.latency)
		if t.first != nil {
			total.fail(t.errors, t.first)
		}
	}
	return total, nil
}

func etcdOp(ctx context.Context, client *clientv3.Client, write bool, key string, v *values) error {
	if write {
		_, err := client.Put(ctx, key, string(v.next()))
		return err
	}
	r, err := client.Get(ctx, key) // linearizable unless asked otherwise
	if err == nil && (len(r.Kvs) != 1 || len(r.Kvs[0].Value) != valueLen) {
		err = errors.New("no value found under a key that was written")
	}
	return err
}
