// Package nodetest runs clusters inside a test: real nodes over an in-memory
// file system and plain TCP on the loopback.
package nodetest

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
	"tutti/internal/trust"
)

// Options says what cluster to run. The zero value is one node with one shard.
type Options struct {
	Nodes, Shards int
	Debug         bool // allow the DEBUG command
	TLS           bool // clients speak TLS
	PeerTLS       bool // nodes do, by their certificates, as real ones
	Gateways      int  // how many of the nodes, the last ones, are gateways
	OnDisk        bool // their files are in a folder of the test, not in memory
	// Configure may change the configuration of a node before it starts.
	Configure func(i int, cfg *node.Config)
}

// Cluster is a running cluster.
type Cluster struct {
	t     testing.TB
	opt   Options
	fs    vfs.FS // of all nodes, a folder each
	root  string // where in it the folders are
	form  node.Formation
	nodes []*node.Node // nil: stopped

	mu    sync.Mutex // guards ready
	ready map[string]net.Listener
}

// Start forms a cluster and starts its nodes. It is closed when the test ends.
func Start(t testing.TB, opt Options) *Cluster {
	t.Helper()
	opt.Nodes, opt.Shards = max(opt.Nodes, 1), max(opt.Shards, 1)
	c := &Cluster{t: t, opt: opt, nodes: make([]*node.Node, opt.Nodes), ready: make(map[string]net.Listener), fs: vfs.NewMem()}
	if opt.OnDisk {
		c.fs, c.root = vfs.Default, t.TempDir()
	}
	c.form = node.Formation{Cluster: "test", Shards: opt.Shards, Small: true}
	for i := range opt.Nodes {
		x := node.Member{ID: cluster.NodeID(uint64(i + 1)), Peer: c.reserve(), Client: c.reserve()}
		if i >= opt.Nodes-opt.Gateways {
			x.Role = cluster.Gateway
		}
		c.form.Members = append(c.form.Members, x)
	}
	var dirs []string
	for i := range opt.Nodes {
		dirs = append(dirs, c.folder(cluster.NodeID(uint64(i+1))))
	}
	if err := node.Form(c.fs, dirs, c.form); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	for i := range opt.Nodes {
		c.Restart(i)
	}
	for i := range opt.Nodes {
		c.await(i)
	}
	return c
}

// folder is where the files of a node are.
func (c *Cluster) folder(id cluster.NodeID) string {
	return c.fs.PathJoin(c.root, fmt.Sprintf("node%d", id))
}

// reserve listens on a free port; the node takes the listener over, so that
// nobody else can get the port in between.
func (c *Cluster) reserve() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.ready[l.Addr().String()] = l
	return l.Addr().String()
}

func (c *Cluster) listen(addr string) (net.Listener, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.ready[addr]; l != nil {
		delete(c.ready, addr)
		return l, nil
	}
	return net.Listen("tcp", addr)
}

// Restart starts node i, counted from 0, which must be stopped.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	me := c.form.Members[i].ID
	cfg := node.Config{
		Dir: c.folder(me), FS: c.fs, Debug: c.opt.Debug,
		ListenClients: c.listen, ListenPeers: c.listen,
		DialPeer:   func(ctx context.Context, to node.Member) (net.Conn, error) { return dialPeer(ctx, me, to) },
		SecurePeer: acceptPeer,
	}
	if c.opt.PeerTLS {
		cfg.DialPeer, cfg.SecurePeer = nil, nil
	}
	if c.opt.TLS {
		cfg.Service = &node.Service{TLS: true}
	}
	if c.opt.Configure != nil {
		c.opt.Configure(i, &cfg)
	}
	n, err := node.Open(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = n
}

// Stop closes node i as if its process were killed between two system calls.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	if c.nodes[i] == nil {
		return
	}
	if err := c.nodes[i].Close(); err != nil {
		c.t.Errorf("close node %d: %v", i+1, err)
	}
	c.nodes[i] = nil
}

// Leave stops a node in order: it hands over what it leads, and sees its clients off.
func (c *Cluster) Leave(i int) {
	c.t.Helper()
	if err := c.nodes[i].Stop(context.Background()); err != nil {
		c.t.Errorf("stop node %d: %v", i+1, err)
	}
	c.nodes[i] = nil
}

func (c *Cluster) close() {
	for i := range c.nodes {
		c.Stop(i)
	}
	for _, l := range c.ready {
		l.Close()
	}
}

// dialPeer says who calls; between real nodes a certificate does.
func dialPeer(ctx context.Context, from cluster.NodeID, to node.Member) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to.Peer)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, uint64(from))); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func acceptPeer(_ context.Context, conn net.Conn) (net.Conn, cluster.NodeID, error) {
	var from [8]byte
	if _, err := io.ReadFull(conn, from[:]); err != nil {
		return nil, 0, err
	}
	return conn, cluster.NodeID(binary.BigEndian.Uint64(from[:])), nil
}

// readyMax is how long a cluster may take to elect its leaders.
const readyMax = 20 * time.Second

// await waits until node i answers a read of every shard.
func (c *Cluster) await(i int) {
	c.t.Helper()
	conn := c.Dial(i)
	defer conn.Close()
	for end := time.Now().Add(readyMax); ; {
		if v := conn.Do("CLUSTER", "INFO"); string(v.Str[:min(len(v.Str), 16)]) == "cluster_state:ok" {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("node %d knows no leader after %v", i+1, readyMax)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TLS is what a client of the cluster speaks that trusts the authorities which node
// i trusts now.
func (c *Cluster) TLS(i int) *tls.Config {
	c.t.Helper()
	cfg, err := trust.DialConfig(c.File(i, trust.CAFile))
	if err != nil {
		c.t.Fatal(err)
	}
	cfg.ServerName = "localhost"
	return cfg
}

// Identity returns what node i proves with who it is, for a test that plays it.
func (c *Cluster) Identity(i int) *trust.Identity {
	c.t.Helper()
	ident, err := trust.Load(c.fs, c.folder(c.form.Members[i].ID))
	if err != nil {
		c.t.Fatal(err)
	}
	return ident
}

// PeerAddr is where node i serves other nodes.
func (c *Cluster) PeerAddr(i int) string { return c.form.Members[i].Peer }

// File returns what is in a file of node i.
func (c *Cluster) File(i int, name string) []byte {
	c.t.Helper()
	f, err := c.fs.Open(c.fs.PathJoin(c.folder(c.form.Members[i].ID), name))
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// Disk is how many bytes the files in a folder of node i have.
func (c *Cluster) Disk(i int, folder string) (size int64) {
	c.t.Helper()
	dir := c.fs.PathJoin(c.folder(c.form.Members[i].ID), folder)
	names, err := c.fs.List(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range names {
		if info, err := c.fs.Stat(c.fs.PathJoin(dir, name)); err == nil { // else it was removed meanwhile
			size += info.Size()
		}
	}
	return size
}

// Addr is where node i serves clients.
func (c *Cluster) Addr(i int) string { return c.form.Members[i].Client }

// Dial connects to node i. The connection is closed when the test ends.
func (c *Cluster) Dial(i int) *Client {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.Addr(i))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.opt.TLS {
		conn = tls.Client(conn, c.TLS(i))
	}
	c.t.Cleanup(func() { conn.Close() })
	return &Client{Conn: respclient.New(conn), t: c.t}
}

// Client is a connection, for one goroutine.
type Client struct {
	*respclient.Conn
	t testing.TB
}

// replyMax is how long a reply may take before the test fails.
const replyMax = 30 * time.Second

// Do sends a command and returns its reply.
func (c *Client) Do(args ...string) resp.Value {
	c.t.Helper()
	c.Send(args...)
	v, err := c.Receive()
	if err != nil {
		c.t.Fatalf("%q: %v", args, err)
	}
	return v
}

// Text is Do with the reply as redis-cli prints it.
func (c *Client) Text(args ...string) string {
	c.t.Helper()
	return c.Do(args...).FormatCLI()
}

// Send sends a command.
func (c *Client) Send(args ...string) {
	c.t.Helper()
	if err := c.Conn.Send(args); err != nil {
		c.t.Fatalf("%q: %v", args, err)
	}
}

// Receive returns the next reply; io.EOF says that the server has closed.
func (c *Client) Receive() (resp.Value, error) {
	if err := c.SetReadDeadline(time.Now().Add(replyMax)); err != nil {
		return resp.Value{}, err
	}
	return c.Conn.Receive()
}
