// Command conformance runs the Tcl test suite of Redis 7.0.15 in its external
// mode against tutti, and against redis-server itself for comparison, one unit
// at a time on a fresh server. README.md says how to read the result.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// allUnits are the units of which the suite runs anything against an external server.
var allUnits = []string{
	"type/string", "type/incr", "type/hash", "type/list", "type/list-3", "type/set", "type/zset", "type/stream", "type/stream-cgroups",
	"expire", "keyspace", "scan", "sort", "multi", "protocol", "quit", "hyperloglog", "geo", "bitops", "bitfield", "latency-monitor",
	"scripting", "functions", "pubsub", "tracking", "introspection", "introspection-2", "info-command", "slowlog", "dump", "other", "pause",
	"lazyfree", "violations",
}

const usage = `usage: conformance/run [flags] [UNIT...]

Without units: all of %s.

`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := run(ctx, os.Args[1:])
	if err == nil {
		return
	}
	if !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	if errors.Is(err, flag.ErrHelp) || errors.Is(err, errUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}

var (
	errUsage = errors.New("usage")
	errBelow = errors.New("below the goal")
)

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), usage, strings.Join(allUnits, " "))
		flags.PrintDefaults()
	}
	target := flags.String("target", "", "`HOST:PORT` of a server to test that runs already; the suite empties it (default: a fresh tutti cluster per unit)")
	binary := flags.String("tutti", "", "tutti `binary` (default: built from this repository)")
	jsonPath := flags.String("json", "", "write the result to this `file`")
	goal := flags.Float64("goal", 97, "least `percent` of redis-server's passes in each unit")
	skipPath := flags.String("skip", "conformance/skip.txt", "`file` of tests that are not run: name TAB reason")
	baselineOnly := flags.Bool("baseline", false, "run redis-server only, and report what it passes")
	verbose := flags.Bool("v", false, "print why each test failed")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	units, err := chooseUnits(flags.Args())
	if err != nil {
		return err
	}
	skips, err := readSkips(*skipPath)
	if err != nil {
		return err
	}
	dir, err := workDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	suite, err := obtainSuite(ctx, dir)
	if err != nil {
		return err
	}

	redis := redisTarget{binary: suite.redisServer}
	var tested opener
	switch {
	case *baselineOnly: // nothing but the baseline
	case *target != "":
		tested = &runningTarget{addr: *target}
	default:
		fmt.Println("target: tutti dev --nodes 3, data in memory (the suite is one client that waits for each reply; on a disk it would measure the disk)")
		path, err := buildTutti(ctx, *binary, dir)
		if err != nil {
			return err
		}
		tested = &tuttiTarget{binary: path}
	}
	result := &result{RedisVersion: suite.version, Goal: *goal}
	for _, unit := range units {
		r, err := compareUnit(ctx, suite, unit, &redis, tested, skips)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("unit %s: %w", unit, err)
		}
		r.judge(*goal)
		r.print(os.Stdout, *verbose)
		result.Units = append(result.Units, r)
	}
	return result.finish(*jsonPath)
}

// chooseUnits accepts the names with and without the leading "unit/".
func chooseUnits(args []string) ([]string, error) {
	if len(args) == 0 {
		return allUnits, nil
	}
	var units []string
	for _, a := range args {
		name := strings.TrimPrefix(a, "unit/")
		if strings.HasPrefix(name, "-") {
			return nil, fmt.Errorf("%w: flags stand before the units: %s", errUsage, a)
		}
		units = append(units, name)
	}
	return units, nil
}

// readSkips reads the tests that are not run, with their reasons.
func readSkips(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("skip file: %w", err)
	}
	defer file.Close()
	skips := map[string]string{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, "\t")
		if !ok || name == "" || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s:%d: want NAME<tab>REASON, have %q", path, n, line)
		}
		skips[name] = reason
	}
	return skips, lines.Err()
}

// workDir returns a fresh folder in memory if the machine has one.
func workDir() (string, error) {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		if dir, err := os.MkdirTemp(memory, "tutti-conformance-"); err == nil {
			return dir, nil
		}
	}
	fmt.Println("no folder in memory (/dev/shm): this run measures the disk, and units may time out")
	return os.MkdirTemp("", "tutti-conformance-")
}

// cacheDir keeps the suite between runs.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir() // no HOME, as in some CI containers
	}
	dir := filepath.Join(base, "tutti-conformance")
	return dir, os.MkdirAll(dir, 0o755)
}
