package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tutti/internal/proof/modes"
	"tutti/internal/proof/mutant"
)

// binaries are the test binaries of packages, each built once.
type binaries struct {
	dir   string
	built map[string]string // folder of the package -> binary
}

// plain runs a test of the product as it is.
func (b *binaries) plain(ctx context.Context, count int, t modes.Test, limit time.Duration) ran {
	name := b.built[t.Dir]
	if name == "" {
		name = filepath.Join(b.dir, strings.ReplaceAll(t.Dir, "/", "_")+".test")
		if err := build(ctx, t.Dir, name); err != nil {
			return ran{broken: true, said: err.Error()}
		}
		b.built[t.Dir] = name
	}
	r := times(ctx, count, name, t, limit)
	return r
}

// mutated runs the killer of a mutant over the mutant's sources.
func (b *binaries) mutated(ctx context.Context, count int, m mutant.Mutant, limit time.Duration) ran {
	dir, start := filepath.Join(b.dir, m.Name), time.Now()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return ran{broken: true, said: err.Error()}
	}
	defer os.RemoveAll(dir)
	overlay, err := m.Overlay(".", dir)
	if err != nil {
		return ran{broken: true, said: err.Error()}
	}
	name := filepath.Join(dir, "killer.test")
	if err := build(ctx, m.Killer.Dir, name, "-overlay", overlay); err != nil {
		return ran{broken: true, said: err.Error()}
	}
	took := time.Since(start).Seconds()
	r := times(ctx, count, name, modes.Test(m.Killer), limit)
	r.build = took
	return r
}

// build makes the test binary of the package in dir.
func build(ctx context.Context, dir, name string, flags ...string) error {
	args := append([]string{"test", "-c", "-ldflags=-w", "-o", name}, flags...) // no tables for a debugger: they are half of the link
	out, err := exec.CommandContext(ctx, "go", append(args, "./"+dir)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the tests of %s: %w\n%s", dir, err, out)
	}
	return nil
}

// ran is how runs of a test ended.
type ran struct {
	passed  bool    // all
	failed  int     // how many
	broken  bool    // one could not be run at all, or ran nothing
	build   float64 // seconds that building a mutant took
	seconds float64 // of the longest
	said    string  // by the first that failed
}

// times runs a test of a binary count times.
func times(ctx context.Context, count int, binary string, t modes.Test, limit time.Duration) ran {
	all := ran{passed: true}
	for range count {
		r := once(ctx, binary, t, limit)
		all.seconds = max(all.seconds, r.seconds)
		all.broken = all.broken || r.broken
		if !r.passed {
			all.failed++
			if all.passed {
				all.said = r.said
			}
			all.passed = false
		}
	}
	return all
}

// killGrace is what a test gets beyond its limit to say where it stands.
const killGrace = 10 * time.Second

func once(ctx context.Context, binary string, t modes.Test, limit time.Duration) ran {
	within, cancel := context.WithTimeout(ctx, limit+killGrace)
	defer cancel()
	cmd := exec.CommandContext(within, binary, "-test.v", "-test.run", "^"+t.Name+"$", "-test.timeout", limit.String())
	cmd.Dir = t.Dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	r := ran{seconds: time.Since(start).Seconds()}
	text := out.String()
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err != nil && !exited:
		r.broken, r.said = true, err.Error()
	case !strings.Contains(text, "=== RUN   "+t.Name+"\n"), strings.Contains(text, "--- SKIP: "+t.Name+" "):
		r.broken, r.said = true, "it ran nothing"
	case err != nil:
		r.said = reason(text, exit)
	default:
		r.passed = true
	}
	return r
}

// reason is the first thing that a failing test says.
func reason(text string, exit *exec.ExitError) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		file, _, found := strings.Cut(line, ".go:")
		if strings.HasPrefix(line, "panic: ") || found && strings.HasSuffix(file, "_test") && !strings.Contains(file, "/") {
			return shortened(line)
		}
	}
	return exit.String()
}

const saidMax = 160

func shortened(s string) string {
	if len(s) > saidMax {
		return s[:saidMax] + "…"
	}
	return s
}
