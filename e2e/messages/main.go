// Command messages tries what clients are told, and what scripts leave, on real processes:
// three nodes that tutti dev runs, and a redis-server to compare with.
//
//		cd e2e/messages && go run . [-only slow,events,tracking,scripts,dump] [-short]
//
//	  - slow: subscribers that never read, one at each node, beside 1,000 good ones: each good
//	    one gets every byte, each slow one is cut off, and others' writes go on meanwhile.
//	  - events: commands under settings of notify-keyspace-events; the events are compared with
//	    those of redis-server, one by one.
//	  - tracking: caches in seven modes of CLIENT TRACKING at each of three nodes, while leaders
//	    are killed: no read is too old, and in the end no cache holds a value that is.
//	  - scripts: those that take too many steps, too long or too much memory, or are killed,
//	    leave nothing behind, on any node.
//	  - dump: DUMP here is RESTOREd by redis-server and back, each type and encoding.
//
// It prints a line for each part. Exit code 0: all held.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
)

// errEnded says that a connection has ended.
var errEnded = errors.New("the connection has ended")

func main() {
	binary := flag.String("tutti", "", "the program to try (default: it is built)")
	only := flag.String("only", strings.Join(names(), ","), "the `parts` to try, comma separated")
	short := flag.Bool("short", false, "try a sample of each, some seconds")
	flag.Parse()
	chosen := strings.Split(*only, ",")
	for _, name := range chosen {
		if !slices.Contains(names(), name) {
			fmt.Fprintf(os.Stderr, "no part %q; there are: %s\n", name, strings.Join(names(), ", "))
			os.Exit(2)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	redis.SetLogger(process.Quiet{})
	verdict, err := process.InFolder("tutti-messages-", func(dir string) (string, error) {
		if *binary == "" {
			built, err := process.Build(dir)
			if err != nil {
				return "", err
			}
			*binary = built
		}
		return try(ctx, dir, *binary, chosen, *short)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
	fmt.Println(verdict)
}

// part is one thing that is tried.
type part struct {
	name string
	// try returns what was found, in words.
	try func(ctx context.Context, t *trial) (string, error)
}

func parts() []part {
	return []part{{"slow", trySlow}, {"events", tryEvents}, {"tracking", tryTracking}, {"scripts", tryScripts}, {"dump", tryDump}}
}

func names() (all []string) {
	for _, p := range parts() {
		all = append(all, p.name)
	}
	return all
}

// trial is what the parts are tried on.
type trial struct {
	dev   *process.Dev
	redis string // the address of a redis-server
	short bool
}

// try tries parts in a folder, each though another one has failed.
func try(ctx context.Context, dir, binary string, chosen []string, short bool) (verdict string, err error) {
	t := &trial{short: short}
	if t.dev, err = process.StartDev(ctx, binary, dir); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, t.dev.Stop()) }()
	stop, err := t.startRedis(ctx, dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var held []string
	for _, p := range parts() {
		if !slices.Contains(chosen, p.name) {
			continue
		}
		found, wrong := p.try(ctx, t)
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", p.name, wrong))
			continue
		}
		held = append(held, fmt.Sprintf("HELD: %s: %s", p.name, found))
	}
	if err != nil {
		err = errors.Join(err, errors.New(strings.Join(held, "\n")))
	}
	return strings.Join(held, "\n"), err
}

// startRedis starts what is compared with.
func (t *trial) startRedis(ctx context.Context, dir string) (stop func() error, err error) {
	if err := process.Bring("redis-server", "redis-server"); err != nil {
		return nil, err
	}
	at, err := process.FreeAddrs(1)
	if err != nil {
		return nil, err
	}
	t.redis = at[0]
	_, port, err := net.SplitHostPort(t.redis)
	if err != nil {
		return nil, err
	}
	p, err := process.Spawn(dir, "redis", nil, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "")
	if err != nil {
		return nil, err
	}
	err = process.Eventually(answerTimeout, "redis-server serves", func() error {
		c, err := dial(ctx, t.redis, 2)
		if err == nil {
			c.close()
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p.Stop, nil
}

// dialAll connects to each node.
func (t *trial) dialAll(ctx context.Context) (all []*conn, err error) {
	for _, addr := range t.dev.Addrs {
		c, err := dial(ctx, addr, 2)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// pick is one of two by a condition.
func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
