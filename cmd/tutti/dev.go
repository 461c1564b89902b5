package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"tutti/internal/node"
)

func devCommand() *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use:     "dev",
		Short:   "Run a cluster on this machine, in the foreground; it keeps its data",
		Example: "  tutti dev\n  tutti dev --nodes 5 --listen 127.0.0.1:7000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return dev(o)
		},
	}
	c.Flags().IntVar(&o.nodes, "nodes", 3, "number of nodes, 1 to 7")
	c.Flags().StringVar(&o.dir, "dir", "", "folder of the data (default: tutti-dev in the user's cache folder)")
	c.Flags().StringVar(&o.listen, "listen", "127.0.0.1:6379", "address of the first node; the others follow on the next ports")
	c.Flags().StringVar(&o.level, "log", "warn", "what the nodes log: debug, info, warn or error")
	return c
}

// devReadyTimeout is how long a cluster may take to start.
const devReadyTimeout = 20 * time.Second

type devOptions struct {
	nodes       int
	dir, listen string
	level       string
	shards      int
}

func dev(o devOptions) error {
	if o.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return failed(err, "choose a folder with --dir")
		}
		o.dir = filepath.Join(cache, "tutti-dev")
	}
	c, err := formLocal(o)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer c.stopAll()
	if err := c.startAll(); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, devReadyTimeout)
	defer cancel()
	if err := c.ready(starting); err != nil {
		return failed(err, "")
	}
	for i, m := range c.members {
		fmt.Printf("node %d  %s  pid %d\n", m.ID, m.Client, c.procs[i].pid())
	}
	fmt.Printf("data in %s\nready: redis-cli -p %s   or   tutti cli   (Ctrl-C stops)\n", c.dir, port(c.members[0].Client))
	return c.attend(ctx)
}

// formLocal opens the local cluster in o.dir, forming it if there is none.
func formLocal(o devOptions) (*localCluster, error) {
	if o.nodes < 1 || o.nodes > 7 {
		return nil, usageError(fmt.Sprintf("--nodes %d: choose 1 to 7", o.nodes))
	}
	host, first, err := net.SplitHostPort(o.listen)
	if err != nil {
		return nil, usageError(fmt.Sprintf("--listen %s: %v", o.listen, err))
	}
	base, err := strconv.Atoi(first)
	if err != nil || base < 1 || base > 65535-1000-o.nodes {
		return nil, usageError(fmt.Sprintf("--listen %s: choose a port from 1 to %d", o.listen, 65535-1000-o.nodes))
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, &exitError{code: exitFailed, what: o.listen + " is not a loopback address; dev has no users and no TLS for clients",
			safe: "nothing was started", do: "tutti dev --listen 127.0.0.1:" + first}
	}
	form := node.Formation{Cluster: "dev", Shards: max(o.shards, 1), Small: true}
	for i := range o.nodes {
		form.Members = append(form.Members, node.Member{ID: uint64(i + 1),
			Client: net.JoinHostPort(host, strconv.Itoa(base+i)), Peer: net.JoinHostPort(host, strconv.Itoa(base+i+1000))})
	}
	c := newLocalCluster(o.dir, o.level, form.Members)
	old, err := node.ReadFormation(vfs.Default, c.dirs[0])
	switch {
	case errors.Is(err, node.ErrNoNode):
		if err := foreign(o.dir); err != nil {
			return nil, err
		}
		if err := node.Form(vfs.Default, c.dirs, form); err != nil {
			return nil, failed(err, "choose another folder with --dir")
		}
	case err != nil:
		return nil, failed(err, "choose another folder with --dir")
	case len(old.Members) != o.nodes:
		return nil, &exitError{code: exitFailed, what: fmt.Sprintf("%s holds a cluster of %d nodes", o.dir, len(old.Members)),
			safe: "nothing was started", do: fmt.Sprintf("tutti dev --nodes %d, or another --dir", len(old.Members))}
	default:
		if err := node.Readdress(vfs.Default, c.dirs, c.members); err != nil {
			return nil, failed(err, "choose another folder with --dir")
		}
	}
	return c, nil
}

// foreign refuses a folder that holds something else.
func foreign(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return failed(err, "choose another folder with --dir")
	}
	for _, e := range entries {
		if ok, _ := filepath.Match("node-[0-9]*", e.Name()); !ok {
			return &exitError{code: exitFailed, what: fmt.Sprintf("%s holds %s, which is not tutti's", dir, e.Name()),
				safe: "nothing was changed", do: "choose an empty folder with --dir"}
		}
	}
	return nil
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}
