package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tutti/internal/node"
)

func startCommand() *cobra.Command {
	var dir, level string
	var debugCommand bool
	c := &cobra.Command{
		Use:     "start --dir DIR",
		Short:   "Run one node whose identity exists, in the foreground",
		Example: "  tutti start --dir /var/lib/tutti",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return start(dir, level, debugCommand)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "the node's folder")
	c.Flags().StringVar(&level, "log", "info", "what to log: debug, info, warn or error")
	c.Flags().BoolVar(&debugCommand, "debug-command", false, "allow the DEBUG command")
	_ = c.MarkFlagRequired("dir")
	return c
}

func start(dir, level string, debugCommand bool) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return usageError(fmt.Sprintf("--log %s: the levels are debug, info, warn and error", level), "tutti start")
	}
	sink := newLogSink(os.Stderr)
	defer sink.Close()
	log := slog.New(slog.NewTextHandler(sink, &slog.HandlerOptions{Level: l}))
	debug.SetGCPercent(200) // most of the heap is short-lived buffers of batches
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	n, err := node.Open(node.Config{Dir: dir, Logger: log, Debug: debugCommand, ListenClients: listenLoopback,
		Failed: func(err error) {
			// No clean-up: what is on disk is right, what is in memory is not.
			fmt.Fprint(sink, failed(err, mendedBy(err)).text())
			sink.Close()
			if errors.Is(err, node.ErrDamaged) && time.Since(began) > rebuildPause {
				startAgain()
			}
			os.Exit(exitFailed)
		}})
	if err != nil {
		return startError(err)
	}
	<-ctx.Done()
	stop() // a second signal ends the process at once
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.Stop(closing); err != nil {
		return failed(err, "")
	}
	return nil
}

// mendedBy says what helps a node that could not go on.
func mendedBy(err error) string {
	switch {
	case errors.Is(err, node.ErrGone):
		return "bring the folder back as it was, or replace the node by a new one"
	case errors.Is(err, node.ErrDamaged):
		return "start it again: its data is made anew from the other nodes"
	}
	return "see the log; replace the disk if it failed"
}

// rebuildPause is how long a node must have run to be rebuilt by its own
// process: a disk that damages all that is written must not keep it busy.
const rebuildPause = time.Minute

// startAgain replaces this process by a new one that rebuilds the node's data;
// it returns if that fails.
func startAgain() {
	self, err := os.Executable()
	if err == nil {
		err = syscall.Exec(self, os.Args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "start again:", err)
}

// listenLoopback refuses addresses that others can reach: there are no users
// yet who could log in.
func listenLoopback(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s is not a loopback address, and this version has no users and no TLS for clients", addr)
	}
	return net.Listen("tcp", addr)
}

func startError(err error) error {
	var do string
	switch {
	case errors.Is(err, node.ErrNoNode):
		do = "tutti dev, which forms a cluster on this machine"
	case errors.Is(err, syscall.EADDRINUSE):
		do = "stop what uses the address, or choose another"
	case errors.Is(err, os.ErrPermission):
		do = "choose a folder that this user may write to"
	case errors.Is(err, node.ErrDamaged):
		return &exitError{code: exitFailed, what: err.Error(), safe: "nothing was deleted", do: "keep the folder; docs/OPERATIONS.md says what helps"}
	}
	return &exitError{code: exitFailed, what: err.Error(), safe: "nothing was changed on this machine", do: do}
}
