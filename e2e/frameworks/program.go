package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tutti/e2e/process"
)

// Debian's interpreters: that is where its packages are.
const (
	python = "/usr/bin/python3"
	ruby   = "/usr/bin/ruby"
)

//go:embed *.py *.rb bullmq/*.js bullmq/*.json
var programs embed.FS

// program is a framework that is used by a program in its own language, which is called
//
//	PROGRAM add  HOST PORT QUEUES JOBS DELAY-EVERY    prints how often a job was refused
//	PROGRAM work HOST PORT QUEUES JOURNAL
//	PROGRAM left HOST PORT QUEUES JOBS                prints what remains, as JSON
type program struct {
	interpreter, file string
	// bring installs what the program needs; dir is the folder with the programs.
	bring func(dir string) error
	// loses says that the framework loses, by design, what a worker executes that is
	// killed. In so many threads it does so.
	loses int

	at string // where the program was put
}

func (f *program) install(dir string) error {
	if err := os.CopyFS(dir, programs); err != nil {
		return err
	}
	f.at = filepath.Join(dir, f.file)
	return f.bring(dir)
}

func (f *program) taken() int { return f.loses }

// debianPython brings a module of Debian's for Python.
func debianPython(module, pkg string) func(dir string) error {
	return func(dir string) error {
		if _, err := process.Output(dir, python, "-c", "import redis, "+module); err == nil {
			return nil
		}
		return process.Apt(pkg, "python3-redis")
	}
}

// bringBullMQ has npm install the versions that are noted beside its program.
func bringBullMQ(dir string) error {
	if err := errors.Join(process.Bring("node", "nodejs"), process.Bring("npm", "npm")); err != nil {
		return err
	}
	_, err := process.Output(filepath.Join(dir, "bullmq"), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	return err
}

func bringSidekiq(dir string) error {
	if _, err := process.Output(dir, ruby, "-e", `require "sidekiq"`); err == nil {
		return nil
	}
	return process.Apt("ruby-sidekiq")
}

func (f *program) command(t *trial, what string, args ...string) []string {
	host, port, _ := net.SplitHostPort(t.gateway) // which this program has made
	return append([]string{f.interpreter, f.at, what, host, port, strings.Join(queueNames, ",")}, args...)
}

func (f *program) worker(t *trial, journal string) []string { return f.command(t, "work", journal) }

func (f *program) add(ctx context.Context, t *trial) (refused int, err error) {
	out, err := f.run(ctx, t, "add", strconv.Itoa(t.jobs), strconv.Itoa(delayEvery))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

func (f *program) left(ctx context.Context, t *trial) (has remains, err error) {
	out, err := f.run(ctx, t, "left", strconv.Itoa(t.jobs))
	if err == nil {
		err = json.Unmarshal([]byte(out), &has)
	}
	return has, err
}

func (f *program) run(ctx context.Context, t *trial, what string, args ...string) (string, error) {
	command := f.command(t, what, args...)
	out, err := process.OutputUntil(ctx, t.dir, command[0], command[1:]...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.file, err)
	}
	return out, ctx.Err()
}
