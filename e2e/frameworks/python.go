package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tutti/e2e/process"
)

// interpreter is Debian's: that is where its packages are.
const interpreter = "/usr/bin/python3"

//go:embed *.py
var programs embed.FS

// python is a framework that is used by a program in Python, which is called
//
//	PROGRAM add  HOST PORT QUEUES JOBS DELAY-EVERY    prints how often a job was refused
//	PROGRAM work HOST PORT QUEUES JOURNAL
//	PROGRAM left HOST PORT QUEUES JOBS                prints what remains, as JSON
type python struct {
	module, pkg string // of the framework, and Debian's package that has it
	program     string
	at          string // where the program was put
}

func (f *python) install(dir string) error {
	if err := os.CopyFS(dir, programs); err != nil {
		return err
	}
	f.at = filepath.Join(dir, f.program)
	if _, err := process.Output(dir, interpreter, "-c", "import redis, "+f.module); err == nil {
		return nil
	}
	return process.Apt(f.pkg, "python3-redis")
}

func (f *python) command(t *trial, what string, args ...string) []string {
	host, port, _ := net.SplitHostPort(t.gateway) // which this program has made
	return append([]string{interpreter, f.at, what, host, port, strings.Join(queueNames, ",")}, args...)
}

func (f *python) worker(t *trial, journal string) []string { return f.command(t, "work", journal) }

func (f *python) add(ctx context.Context, t *trial) (refused int, err error) {
	out, err := f.run(ctx, t, "add", strconv.Itoa(t.jobs), strconv.Itoa(delayEvery))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

func (f *python) left(ctx context.Context, t *trial) (has remains, err error) {
	out, err := f.run(ctx, t, "left", strconv.Itoa(t.jobs))
	if err == nil {
		err = json.Unmarshal([]byte(out), &has)
	}
	return has, err
}

func (f *python) run(ctx context.Context, t *trial, what string, args ...string) (string, error) {
	command := f.command(t, what, args...)
	out, err := process.Output(t.dir, command[0], command[1:]...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.module, err)
	}
	return out, ctx.Err()
}
