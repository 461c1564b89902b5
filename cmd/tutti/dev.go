package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/node"
)

const (
	devNodesMax     = 7
	devReadyTimeout = 20 * time.Second
	// peerPortOffset is what lies between a node's ports for clients and peers.
	peerPortOffset = 1000
)

type devOptions struct {
	nodes       int
	dir, listen string
	level       string
	http        string
	runners     runnersFlag
	debug       bool // allow the DEBUG command
}

func devCommand() *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use:     "dev",
		Short:   "Run a cluster on this machine, in the foreground; it keeps its data",
		Example: "  tutti dev\n  tutti dev --nodes 5 --listen 127.0.0.1:7000",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return dev(o) },
	}
	c.Flags().IntVar(&o.nodes, "nodes", 3, fmt.Sprintf("number of nodes, 1 to %d", devNodesMax))
	c.Flags().StringVar(&o.dir, "dir", "", "folder of the data (default: tutti-dev in the user's cache folder)")
	c.Flags().StringVar(&o.listen, "listen", defaultAddr, "address of the first node; the others follow on the next ports")
	c.Flags().StringVar(&o.http, "http-listen", "", "address where the first node answers /metrics and /health; the others follow on the next ports (default: none)")
	c.Flags().Var(&o.runners, "allow-exec", "let whoever reaches the cluster run commands on this machine, so many at once on each node (without N: one for each core), from now on; 0: none")
	c.Flags().Lookup("allow-exec").NoOptDefVal = runnersAuto
	c.Flags().StringVar(&o.level, "log", "warn", "what the nodes log: debug, info, warn or error")
	c.Flags().BoolVar(&o.debug, "debug-command", false, "allow the DEBUG command")
	return c
}

func dev(o devOptions) error {
	if o.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return failed(err, "choose a folder with --dir")
		}
		o.dir = filepath.Join(cache, "tutti-dev")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	c, lock, err := openDev(o)
	if err != nil {
		return err
	}
	defer lock.Close()
	err = runDev(ctx, c)
	if ctx.Err() != nil {
		stop() // a second signal ends this process at once, and with it the nodes
		fmt.Println("stopping")
		err = nil
	}
	if stopErr := c.stopAll(); err == nil && stopErr != nil {
		err = failed(stopErr, "")
	}
	return err
}

func runDev(ctx context.Context, c *localCluster) error {
	starting, cancel := context.WithTimeout(ctx, devReadyTimeout)
	defer cancel()
	bad, err := c.startGood(starting)
	if err != nil {
		return failed(err, "")
	}
	addr := ""
	for i, m := range c.members {
		if bad[i] != nil {
			continue // attend reports it
		}
		fmt.Printf("node %d  %s  pid %d\n", m.ID, m.Client, c.procs[i].pid())
		addr = cmp.Or(addr, m.Client)
	}
	talk := ownName() + " cli"
	if addr != defaultAddr {
		talk += " --addr " + addr
	}
	fmt.Printf("data in %s\nready: redis-cli -p %s   or   %s   (Ctrl-C stops)\n", c.dir, port(addr), talk)
	c.attend(ctx, bad)
	return nil
}

// openDev opens the local cluster in o.dir, forming it if there is none. The
// lock is held until the cluster has stopped.
func openDev(o devOptions) (*localCluster, io.Closer, error) {
	members, err := devMembers(o)
	if err != nil {
		return nil, nil, err
	}
	http, err := devHTTP(o)
	if err != nil {
		return nil, nil, err
	}
	if err := foreign(o.dir); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return nil, nil, notOpened(err)
	}
	lock, err := lockFolder(o.dir)
	if err != nil {
		return nil, nil, err
	}
	c := newLocalCluster(o.dir, o.level, members)
	c.http = http
	for range members {
		c.flags = append(c.flags, o.nodeFlags())
	}
	if err = c.portsFree(); err == nil {
		err = c.openFolders()
	}
	if err != nil {
		lock.Close()
		return nil, nil, err
	}
	return c, lock, nil
}

// nodeFlags are what each node is started with beside its folder and its log.
func (o devOptions) nodeFlags() (list []string) {
	if text := o.runners.String(); text != "" {
		list = append(list, "--allow-exec="+text)
	}
	if o.debug {
		list = append(list, "--debug-command")
	}
	return list
}

// devMembers gives the nodes their addresses.
func devMembers(o devOptions) ([]node.Member, error) {
	if o.nodes < 1 || o.nodes > devNodesMax {
		return nil, usageError(fmt.Sprintf("--nodes %d: choose 1 to %d", o.nodes, devNodesMax), "tutti dev")
	}
	host, first, err := net.SplitHostPort(o.listen)
	if err != nil {
		return nil, usageError(fmt.Sprintf("--listen %s: %v", o.listen, err), "tutti dev")
	}
	base, err := strconv.Atoi(first)
	if last := 65535 - peerPortOffset - o.nodes + 1; err != nil || base < 1 || base > last {
		return nil, usageError(fmt.Sprintf("--listen %s: choose a port from 1 to %d", o.listen, last), "tutti dev")
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, &exitError{code: exitFailed, what: o.listen + " is not a loopback address; dev has no users and no TLS for clients",
			safe: safeNothingStarted, do: "tutti dev --listen 127.0.0.1:" + first}
	}
	var members []node.Member
	for i := range o.nodes {
		members = append(members, node.Member{ID: cluster.NodeID(i + 1),
			Client: net.JoinHostPort(host, strconv.Itoa(base+i)), Peer: net.JoinHostPort(host, strconv.Itoa(base+i+peerPortOffset))})
	}
	return members, nil
}

// devHTTP gives the nodes their addresses for HTTP, if any are wanted.
func devHTTP(o devOptions) ([]string, error) {
	if o.http == "" {
		return nil, nil
	}
	host, first, err := net.SplitHostPort(o.http)
	if err != nil {
		return nil, usageError(fmt.Sprintf("--http-listen %s: %v", o.http, err), "tutti dev")
	}
	base, err := strconv.Atoi(first)
	if ip := net.ParseIP(host); err != nil || base < 1 || base > 65535-o.nodes || ip == nil || !ip.IsLoopback() {
		return nil, usageError(fmt.Sprintf("--http-listen %s: choose a loopback address and a port", o.http), "tutti dev")
	}
	var list []string
	for i := range o.nodes {
		list = append(list, net.JoinHostPort(host, strconv.Itoa(base+i)))
	}
	return list, nil
}

// The files of a dev folder beside its nodes.
const (
	lockFile = "LOCK"
	// formingFile stands while the nodes are made. They have never run then, so
	// what is there may be made again.
	formingFile = "FORMING"
)

// foreign refuses a folder that holds something else.
func foreign(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return notOpened(err)
	}
	for _, e := range entries {
		if ok, _ := filepath.Match("node-[0-9]*", e.Name()); !ok && e.Name() != lockFile && e.Name() != formingFile {
			return &exitError{code: exitFailed, what: fmt.Sprintf("%s holds %s, which is not tutti's", dir, e.Name()),
				safe: safeNothingStarted, do: "choose an empty folder with --dir"}
		}
	}
	return nil
}

// lockFolder keeps others from the folder until the closer is closed.
func lockFolder(dir string) (io.Closer, error) {
	lock, err := vfs.Default.Lock(filepath.Join(dir, lockFile))
	if err == nil {
		return lock, nil
	}
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return nil, notOpened(err)
	}
	return nil, &exitError{code: exitFailed, what: "another process uses " + dir, safe: safeNothingStarted,
		do: "talk to the cluster that runs there, or choose another folder with --dir"}
}

// openFolders makes the folders of the nodes, unless there are some. A folder
// that is not good is for whoever starts its node.
func (c *localCluster) openFolders() error {
	forming := filepath.Join(c.dir, formingFile)
	if _, err := os.Stat(forming); err == nil {
		for _, dir := range c.dirs {
			if err := os.RemoveAll(dir); err != nil {
				return notOpened(err)
			}
		}
	}
	good, size, bad := c.formations()
	switch {
	case len(good) == 0 && bad != nil:
		return notOpened(bad)
	case len(good) == 0:
		if err := c.form(forming); err != nil {
			return notOpened(err)
		}
		return nil
	case size != len(c.members):
		return &exitError{code: exitFailed, what: fmt.Sprintf("%s holds a cluster of %d nodes", c.dir, size),
			safe: safeNothingStarted, do: fmt.Sprintf("tutti dev --nodes %d, or another --dir", size)}
	case len(good) <= size/2:
		return &exitError{code: exitFailed, what: fmt.Sprintf("of the data of %d nodes only that of %d is there: %v", size, len(good), bad),
			safe: safeNothingStarted + "; a node must not start empty, for it may have promised what the others rely on",
			do:   "bring the folders back, or begin anew in another one with --dir"}
	}
	// A node may have been started by hand; its folder is its own.
	for _, dir := range good {
		lock, err := lockFolder(dir)
		if err != nil {
			return err
		}
		lock.Close()
	}
	return nil
}

// formations lists the folders of the nodes that exist, says how many the
// cluster has, and what is wrong with the others.
func (c *localCluster) formations() (good []string, size int, bad error) {
	var missing error
	for i := range devNodesMax {
		dir := filepath.Join(c.dir, nodeFolder(uint64(i+1)))
		_, err := node.ReadSelf(vfs.Default, dir)
		var m *cluster.Map
		if err == nil {
			m, err = node.ReadMap(vfs.Default, dir)
		}
		switch {
		case errors.Is(err, node.ErrNoNode):
			missing = cmp.Or(missing, err)
		case err != nil:
			bad = cmp.Or(bad, err)
		default:
			good, size = append(good, dir), len(m.Members)
		}
	}
	if len(good) > 0 { // else there never were any
		bad = cmp.Or(bad, missing)
	}
	return good, size, bad
}

// form makes the nodes; if that is cut off, the next start makes them again.
func (c *localCluster) form(forming string) error {
	if err := os.WriteFile(forming, nil, 0o644); err != nil {
		return err
	}
	if err := node.Form(vfs.Default, c.dirs, node.Formation{Cluster: "dev", Shards: 1, Small: true, Members: c.members}); err != nil {
		return err
	}
	if err := os.Remove(forming); err != nil {
		return err
	}
	// The mark must never come back after a crash: it would undo the nodes.
	dir, err := os.Open(c.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func notOpened(err error) *exitError {
	e := failed(err, "choose another folder with --dir")
	e.safe = safeNothingStarted
	return e
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}
