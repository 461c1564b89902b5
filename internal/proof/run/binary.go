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
	tags  string
	built map[string]string // folder of the package -> binary
}

func (b *binaries) of(ctx context.Context, dir string) (string, error) {
	if name := b.built[dir]; name != "" {
		return name, nil
	}
	name := filepath.Join(b.dir, strings.ReplaceAll(dir, "/", "_")+".test")
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-tags", b.tags, "-o", name, "./"+dir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the tests of %s: %w\n%s", dir, err, out)
	}
	b.built[dir] = name
	return name, nil
}

// ran is how runs of a test ended.
type ran struct {
	passed  bool    // all
	failed  int     // how many
	broken  bool    // one could not be run at all, or ran nothing
	seconds float64 // of the longest
	said    string  // by the first that failed
}

// times runs a test count times.
func (b *binaries) times(ctx context.Context, count int, t modes.Test, under string, limit time.Duration) ran {
	all := ran{passed: true}
	for range count {
		r := b.once(ctx, t, under, limit)
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

func (b *binaries) once(ctx context.Context, t modes.Test, under string, limit time.Duration) ran {
	name, err := b.of(ctx, t.Dir)
	if err != nil {
		return ran{broken: true, said: err.Error()}
	}
	within, cancel := context.WithTimeout(ctx, limit+killGrace)
	defer cancel()
	cmd := exec.CommandContext(within, name, "-test.v", "-test.run", "^"+t.Name+"$", "-test.timeout", limit.String())
	cmd.Dir = t.Dir
	cmd.Env = append(os.Environ(), mutant.Env+"="+under)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err = cmd.Run()
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
