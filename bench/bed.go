package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tutti/internal/proof/check"
	"tutti/internal/proof/netfault"
)

// bed is a running cluster whose processes and links can be hurt. All that its
// nodes say to each other goes through a switch of our own; clients may take
// it too, as host "c".
type bed struct {
	system system
	dir    string
	net    *netfault.Switch
	nodes  []*bedNode
}

// bedNode is one process with its data. Nodes count from 0, as everywhere in
// this package; their hosts in the switch are n1, n2, …
type bedNode struct {
	host   string
	dir    string // its data
	addr   string // for clients
	peer   string // for its peers
	front  string // for clients, through the switch
	binary string
	args   []string

	mu     sync.Mutex // guards what follows
	proc   *process   // nil: not running, as was asked for
	halted bool       // by SIGSTOP
}

// clientHost is what the switch calls the clients.
const clientHost = "c"

// system is what differs between the stores.
type system interface {
	// place fills in what runs a node, for all nodes of b; addr, peer, front
	// and dir are set already.
	place(b *bed) error
	// leader returns the node that leads, and its term.
	leader(ctx context.Context, b *bed) (node int, term uint64, err error)
	// probe succeeds when a node takes part in the cluster.
	probe(ctx context.Context, b *bed, node int) error
	// session returns what one client speaks with every node, through addrs.
	session(b *bed, addrs []string) (session, error)
	// equal fails if the nodes hold different data; nil also where it can't be
	// told.
	equal(ctx context.Context, b *bed) error
	traits() traits
	// end gives back what place and the others have taken.
	end()
}

// traits say which faults and workloads fit a system.
type traits struct {
	tls        bool // between its nodes: what is tampered with is noticed
	finalNodes bool // every node can be asked for every key
	elects     bool // a leader that is lost gets a successor
}

// session belongs to one goroutine.
type session interface {
	// do runs one command, or all of cmds as a transaction, through a node, and
	// takes down what came of it. It reports whether that was a result.
	do(r *check.Recorder, client, node int, deadline time.Duration, atomic bool, cmds ...check.Cmd) bool
	// swap sets key to value if it still has the value that a read before has
	// seen.
	swap(r *check.Recorder, client, node int, deadline time.Duration, key, value string) bool
	// put writes without taking anything down.
	put(ctx context.Context, node int, key string, value []byte) error
	has(ctx context.Context, node int, key string) (bool, error)
	close()
}

// newBed lays out a cluster of n nodes and starts it. With disks, every node
// has a disk of its own, which can be made slow.
func newBed(ctx context.Context, l *lab, s system, name string, n int, seed uint64, disks *slowDisks) (_ *bed, err error) {
	dir, err := l.clusterDir(name)
	if err != nil {
		return nil, err
	}
	base, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	b := &bed{system: s, dir: dir, net: netfault.New(seed)}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	for i := range n {
		node := &bedNode{host: fmt.Sprintf("n%d", i+1), dir: filepath.Join(dir, nodeName(i)), addr: loopback(base + i), peer: loopback(base + n + i), binary: l.binary[strings.TrimSuffix(name, "-promote")]}
		if disks != nil {
			if node.dir, err = disks.mount(i); err != nil {
				return nil, err
			}
		}
		if node.front, err = b.net.Connect(clientHost, node.host, node.addr); err != nil {
			return nil, err
		}
		b.nodes = append(b.nodes, node)
	}
	if err := s.place(b); err != nil {
		return nil, err
	}
	for i := range b.nodes {
		if err := b.start(i); err != nil {
			return nil, err
		}
	}
	return b, b.ready(ctx)
}

// close ends all processes and the switch.
func (b *bed) close() {
	b.system.end()
	for i := range b.nodes {
		b.kill(i)
	}
	b.net.Close()
}

func (b *bed) fronts() (addrs []string) {
	for _, n := range b.nodes {
		addrs = append(addrs, n.front)
	}
	return addrs
}

func (b *bed) addrs() (addrs []string) {
	for _, n := range b.nodes {
		addrs = append(addrs, n.addr)
	}
	return addrs
}

// start starts a node that does not run.
func (b *bed) start(i int) error {
	n := b.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil {
		return nil
	}
	p, err := spawn(b.dir, nodeName(i), n.binary, n.args...)
	if err == nil {
		n.proc = p
	}
	return err
}

// kill is kill -9; the process has ended when it returns.
func (b *bed) kill(i int) { b.nodes[i].end((*process).kill) }

// terminate is SIGTERM, as an operator stops a node.
func (b *bed) terminate(i int) { b.nodes[i].end((*process).stop) }

func (n *bedNode) end(how func(*process)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return
	}
	if n.halted {
		_ = n.proc.cmd.Process.Signal(syscall.SIGCONT)
		n.halted = false
	}
	how(n.proc)
	n.proc = nil
}

// halt is SIGSTOP, resume SIGCONT.
func (b *bed) halt(i int) { b.nodes[i].signal(syscall.SIGSTOP, true) }

func (b *bed) resume(i int) { b.nodes[i].signal(syscall.SIGCONT, false) }

func (n *bedNode) signal(sig syscall.Signal, halted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil && n.proc.cmd.Process.Signal(sig) == nil {
		n.halted = halted
	}
}

// died says why a node ended though nobody wanted it to, and forgets the
// process, so that it can be started again. Empty: none has.
func (b *bed) died() string {
	for i, n := range b.nodes {
		n.mu.Lock()
		p := n.proc
		if p != nil && p.ended() {
			n.proc, n.halted = nil, false
		} else {
			p = nil
		}
		n.mu.Unlock()
		if p != nil {
			return fmt.Sprintf("node %d ended by itself: %v; it said:\n%s", i+1, p.cmd.ProcessState, p.output())
		}
	}
	return ""
}

// ready waits until all nodes take part, at most 30 s.
func (b *bed) ready(ctx context.Context) error {
	var procs []*process
	for _, n := range b.nodes {
		n.mu.Lock()
		if n.proc != nil {
			procs = append(procs, n.proc)
		}
		n.mu.Unlock()
	}
	return waitReady(ctx, "cluster", procs, func() error {
		for i := range b.nodes {
			if err := b.system.probe(ctx, b, i); err != nil {
				return fmt.Errorf("node %d: %w", i+1, err)
			}
		}
		_, _, err := b.system.leader(ctx, b)
		return err
	})
}

// heal undoes whatever was done: links, halted and stopped processes.
func (b *bed) heal() error {
	b.net.Heal()
	var errs []error
	for i := range b.nodes {
		b.resume(i)
		errs = append(errs, b.start(i))
	}
	return errors.Join(errs...)
}

func (n *bedNode) pid() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return 0
	}
	return n.proc.pid()
}

// whose names the node whose process dialled from addr: for systems that have
// one address by which all peers reach a node.
func (b *bed) whose(addr net.Addr) (host string, err error) {
	inode, err := socketInode(addr.(*net.TCPAddr))
	if err != nil {
		return "", err
	}
	for _, n := range b.nodes {
		if pid := n.pid(); pid != 0 && holdsSocket(pid, inode) {
			return n.host, nil
		}
	}
	return "", fmt.Errorf("no node has the socket %v", addr)
}

// socketInode finds the inode of the socket with a local address.
func socketInode(addr *net.TCPAddr) (string, error) {
	file, err := os.Open("/proc/net/tcp")
	if err != nil {
		return "", err
	}
	defer file.Close()
	ip := addr.IP.To4()
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], addr.Port)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// An earlier connection from the same port is closed and belongs to nobody.
		if f := strings.Fields(lines.Text()); len(f) > 9 && f[1] == local && f[9] != "0" {
			return f[9], nil
		}
	}
	return "", fmt.Errorf("no socket has the address %v", addr)
}

func holdsSocket(pid int, inode string) bool {
	fds, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return false // ended meanwhile
	}
	for _, fd := range fds {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
		if err == nil && to == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}

// others are the nodes beside one.
func (b *bed) others(i int) (list []int) {
	for j := range b.nodes {
		if j != i {
			list = append(list, j)
		}
	}
	return list
}

// hosts are those of all nodes but i.
func (b *bed) hosts(i int) (list []string) {
	for _, o := range b.others(i) {
		list = append(list, b.host(o))
	}
	return list
}

func (b *bed) host(i int) string { return b.nodes[i].host }

// leaderNow asks for the leader until there is one, at most 30 s.
func (b *bed) leaderNow(ctx context.Context) (node int, term uint64, err error) {
	err = waitReady(ctx, "leader", nil, func() (err error) {
		node, term, err = b.system.leader(ctx, b)
		return err
	})
	return node, term, err
}

// probeTimeout bounds a question to one node.
const probeTimeout = time.Second
