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

	"tutti/internal/proof/check"
)

// etcdSystem is etcd as Debian delivers it. A member has one address for all
// its peers, so the switch looks up who dialled.
type etcdSystem struct {
	mu      sync.Mutex // guards clients
	clients []*clientv3.Client
}

func (*etcdSystem) traits() traits { return traits{finalNodes: true, elects: true} }

func (*etcdSystem) place(b *bed) error {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(discard{}, discard{}, discard{}))
	var members, routes []string
	for _, n := range b.nodes {
		route, err := b.net.Listen("127.0.0.1:0", n.host, n.peer, b.whose)
		if err != nil {
			return err
		}
		routes = append(routes, "http://"+route)
		members = append(members, n.host+"=http://"+route)
	}
	for i, n := range b.nodes {
		client := "http://" + n.addr
		n.args = []string{
			"--name", n.host, "--data-dir", filepath.Join(n.dir, "etcd"),
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", "http://" + n.peer, "--initial-advertise-peer-urls", routes[i],
			"--initial-cluster", strings.Join(members, ","), "--initial-cluster-state", "new",
			"--initial-cluster-token", filepath.Base(b.dir), "--logger", "zap", "--log-level", "error",
		}
	}
	return nil
}

func newEtcdClient(addr string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{addr}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
}

// client returns the client of one node for questions about its status.
func (e *etcdSystem) client(b *bed, i int) (*clientv3.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.clients) < len(b.nodes) {
		c, err := newEtcdClient(b.nodes[len(e.clients)].addr)
		if err != nil {
			return nil, err
		}
		e.clients = append(e.clients, c)
	}
	return e.clients[i], nil
}

// end closes the clients.
func (e *etcdSystem) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.clients {
		_ = c.Close()
	}
	e.clients = nil
}

func (e *etcdSystem) status(ctx context.Context, b *bed, i int) (*clientv3.StatusResponse, error) {
	c, err := e.client(b, i)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return c.Status(ctx, b.nodes[i].addr)
}

func (e *etcdSystem) leader(ctx context.Context, b *bed) (leader int, term uint64, err error) {
	all := make([]*clientv3.StatusResponse, len(b.nodes))
	var wg sync.WaitGroup
	for i := range b.nodes {
		wg.Go(func() { all[i], _ = e.status(ctx, b, i) })
	}
	wg.Wait()
	leader = -1
	for i, s := range all {
		if s != nil && s.Leader == s.Header.MemberId && s.RaftTerm > term {
			leader, term = i, s.RaftTerm
		}
	}
	if leader < 0 {
		return 0, 0, errors.New("no leader yet")
	}
	return leader, term, nil
}

func (e *etcdSystem) probe(ctx context.Context, b *bed, i int) error {
	c, err := e.client(b, i)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err = c.Get(ctx, "probe", clientv3.WithCountOnly())
	return err
}

func (*etcdSystem) equal(context.Context, *bed) error { return nil }

func (*etcdSystem) session(_ *bed, addrs []string) (session, error) {
	s := &etcdSession{}
	for _, addr := range addrs {
		c, err := newEtcdClient(addr)
		if err != nil {
			s.close()
			return nil, err
		}
		s.etcdClient = append(s.etcdClient, c)
	}
	return s, nil
}

// etcdSession says our commands in etcd's API: a value, or a list as text with
// blanks between the elements. A transaction reads all its keys in one, and
// writes in another on the condition that none has changed since; if one has,
// it begins anew.
type etcdSession struct{ etcdClient }

func (s *etcdSession) do(r *check.Recorder, client, node int, deadline time.Duration, atomic bool, cmds ...check.Cmd) bool {
	op := r.Call(client, node+1, cmds...)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if set := cmds[0].Args; !atomic && set[0] == "SET" {
		if _, err := s.etcdClient[node].Put(ctx, set[1], set[2]); err != nil {
			r.Lost(op, true, err.Error())
			return false
		}
		return r.Answered(op, check.Reply{Kind: check.KindString, Str: "OK"})
	}
	for {
		seen, err := s.read(ctx, node, cmds)
		if err != nil {
			r.Lost(op, false, "read: "+err.Error())
			return false
		}
		replies, puts := evaluate(seen, cmds)
		done := len(puts) == 0 // what only reads has been one transaction already
		if !done {
			done, err = s.commit(ctx, node, seen, puts)
		}
		switch {
		case err != nil:
			r.Lost(op, true, err.Error())
			return false
		case !done:
			continue
		case atomic:
			return r.Executed(op, check.Reply{Kind: check.KindArray, Elems: replies})
		}
		return r.Answered(op, replies[0])
	}
}

func (s *etcdSession) swap(r *check.Recorder, client, node int, deadline time.Duration, key, value string) bool {
	get, set := check.Command("GET", key), check.Command("SET", key, value)
	op := r.Call(client, node+1, check.Watched(check.Reply{}, "GET", key), set)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	seen, err := s.read(ctx, node, []check.Cmd{get})
	if err != nil {
		r.Lost(op, false, "read: "+err.Error())
		return false
	}
	replies, _ := evaluate(seen, []check.Cmd{get})
	op.Cmds[0].Reply = replies[0]
	done, err := s.commit(ctx, node, seen, map[string]string{key: value})
	switch {
	case err != nil:
		r.Lost(op, true, err.Error())
		return false
	case !done:
		return r.Executed(op, check.Reply{Kind: check.KindNil})
	}
	ok := check.Reply{Kind: check.KindString, Str: "OK"}
	return r.Executed(op, check.Reply{Kind: check.KindArray, Elems: []check.Reply{ok}})
}

// etcdValue is what a read found under a key.
type etcdValue struct {
	text string
	set  bool
	rev  int64 // of its last change; 0: absent
}

// read reads the keys of cmds in one transaction, linearizable.
func (s *etcdSession) read(ctx context.Context, node int, cmds []check.Cmd) (map[string]etcdValue, error) {
	seen := make(map[string]etcdValue)
	var keys []string
	var gets []clientv3.Op
	for _, c := range cmds {
		key := c.Args[1]
		if _, known := seen[key]; !known {
			seen[key] = etcdValue{}
			keys, gets = append(keys, key), append(gets, clientv3.OpGet(key))
		}
	}
	answer, err := s.etcdClient[node].Txn(ctx).Then(gets...).Commit()
	if err != nil {
		return nil, err
	}
	for i, got := range answer.Responses {
		if kvs := got.GetResponseRange().Kvs; len(kvs) == 1 {
			seen[keys[i]] = etcdValue{string(kvs[0].Value), true, kvs[0].ModRevision}
		}
	}
	return seen, nil
}

// commit writes on the condition that what was seen has not changed.
func (s *etcdSession) commit(ctx context.Context, node int, seen map[string]etcdValue, puts map[string]string) (done bool, err error) {
	var conditions []clientv3.Cmp
	for key, v := range seen {
		conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(key), "=", v.rev))
	}
	var ops []clientv3.Op
	for key, value := range puts {
		ops = append(ops, clientv3.OpPut(key, value))
	}
	answer, err := s.etcdClient[node].Txn(ctx).If(conditions...).Then(ops...).Commit()
	if err != nil {
		return false, err
	}
	return answer.Succeeded, nil
}

// evaluate runs commands over what was seen: the replies Redis would give, and
// what must be written.
func evaluate(seen map[string]etcdValue, cmds []check.Cmd) (replies []check.Reply, puts map[string]string) {
	puts = make(map[string]string)
	value := func(key string) (string, bool) {
		if v, ok := puts[key]; ok {
			return v, true
		}
		return seen[key].text, seen[key].set
	}
	integer := func(n int) check.Reply { return check.Reply{Kind: check.KindInt, Int: int64(n)} }
	text := func(s string) check.Reply { return check.Reply{Kind: check.KindString, Str: s} }
	for _, c := range cmds {
		key := c.Args[1]
		old, set := value(key)
		var reply check.Reply
		switch c.Args[0] {
		case "GET":
			if reply = text(old); !set {
				reply = check.Reply{Kind: check.KindNil}
			}
		case "SET":
			puts[key], reply = c.Args[2], text("OK")
		case "INCR":
			n, _ := strconv.Atoi(old) // absent counts as 0; nothing else is written here
			puts[key], reply = strconv.Itoa(n+1), integer(n+1)
		case "RPUSH":
			list := append(strings.Fields(old), c.Args[2])
			puts[key], reply = strings.Join(list, " "), integer(len(list))
		case "LRANGE": // all of it
			reply.Kind = check.KindArray
			reply.Elems = []check.Reply{}
			for _, e := range strings.Fields(old) {
				reply.Elems = append(reply.Elems, text(e))
			}
		default:
			panic(fmt.Sprintf("no meaning of %s for etcd", c.Args[0]))
		}
		replies = append(replies, reply)
	}
	return replies, puts
}
