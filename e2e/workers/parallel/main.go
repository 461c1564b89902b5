// Command parallel runs the same commands by GNU parallel, Debian's, and by tutti run,
// on the nodes of a cluster and on this machine, and fails unless output and exit codes
// are the same. What docs/TASKS.md says differs is not asked for here.
//
//	cd e2e/workers && go run ./parallel
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tutti/e2e/process"
)

func main() {
	binary := flag.String("tutti", "", "the program to try (default: it is built)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	verdict, err := try(ctx, *binary)
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
	fmt.Println(verdict)
}

// addr is where the cluster serves: three ports from there on, which no other tool uses.
const addr = "127.0.0.1:7480"

// startTimeout is how long the cluster may take to be there, and limit each command.
const (
	startTimeout = 60 * time.Second
	limit        = 60 * time.Second
)

func try(ctx context.Context, binary string) (verdict string, err error) {
	dir, err := os.MkdirTemp("", "tutti-parallel-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := process.Bring("parallel", "parallel"); err != nil {
		return "", err
	}
	if binary == "" {
		if binary, err = process.Build(dir); err != nil {
			return "", err
		}
	}
	if err := prepare(dir); err != nil {
		return "", err
	}
	node, err := process.Spawn(dir, "dev", nil, binary, "dev", "--dir", filepath.Join(dir, "data"), "--listen", addr, "--allow-exec=2")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()
	if err := ready(ctx, node); err != nil {
		return "", err
	}
	var wrong []error
	for _, c := range cases() {
		want := run(ctx, dir, c.stdin, append([]string{"parallel", "--will-cite", "-k"}, c.args...))
		for _, where := range []string{"--here", "--here=false"} {
			got := run(ctx, dir, c.stdin, slices.Concat([]string{binary, "run", "--addr", addr, "-k", "--shell", where}, c.args))
			if got != want {
				wrong = append(wrong, fmt.Errorf("%q, %s: %+v; GNU parallel: %+v", c.args, where, got, want))
			}
		}
	}
	if len(wrong) > 0 {
		return "", errors.Join(wrong...)
	}
	return fmt.Sprintf("HELD: %d command lines have the output and the exit code that GNU parallel gives them, on nodes and on this machine", len(cases())), nil
}

// prepare writes the files that the command lines name.
func prepare(dir string) error {
	return errors.Join(os.WriteFile(filepath.Join(dir, "list"), []byte("1\n2\n"), 0o600), os.WriteFile(filepath.Join(dir, "nulls"), []byte("a b\x00c\x00"), 0o600))
}

// ready waits until all nodes serve: dev says so.
func ready(ctx context.Context, p *process.Process) error {
	for end := time.Now().Add(startTimeout); ; {
		text, err := os.ReadFile(p.Log)
		switch {
		case err != nil:
			return err
		case bytes.Contains(text, []byte("ready:")):
			return nil
		case p.Ended() || time.Now().After(end):
			return fmt.Errorf("the cluster is not there: %s", text)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// trial is a command line, as both programs take it.
type trial struct {
	stdin string
	args  []string
}

func cases() []trial {
	t := func(stdin string, args ...string) trial { return trial{stdin, args} }
	return []trial{
		t("", "echo", ":::", "a", "b c", "$HOME", "it's", "*", ";id"),
		t("", "echo {} {.} {/} {//} {/.} {#}", ":::", "d/x.tar.gz", "y", "d.e/z"),
		t("", "echo [{.}] [{/}] [{//}] [{/.}]", ":::", ".z", "..z", "a.", ".a.b", "x/.y", ".", "a/", "a/b/", "/y", "a//b", "./a/../b.c"),
		t("a\n\nb\n", "echo l{}"),
		t("a\r\nb", "echo {}."),
		t("", "-n", "2", "echo", ":::", "a", "b", "c"),
		t("", "-N", "2", "echo {2} {1}", ":::", "a", "b", "c"),
		t("", "-n", "2", "echo x{}y {.}", ":::", "a.b", "c.d", "e"),
		t("", "echo {1}-{2} {-1}", ":::", "a", "b", ":::", "1", "2"),
		t("", "echo", ":::", "a", "b", ":::+", "1", "2", ":::", "x", "y"),
		t("", "echo", ":::", "a", "b", "c", ":::+", "1", "2"),
		t("", "echo", "::::", "list", ":::", "a", "b"),
		t("", "-a", "list", "echo"),
		t("", "-0", "-a", "nulls", "echo {}."),
		t("a,b\nc,d\n", "--colsep", ",", "echo {2} {1} {}"),
		t("a1b22c\n", "--colsep", "[0-9]+", "echo"),
		t("", "--tag", "printf 'x\\n%s\\n' {}", ":::", "a", "b", ":::", "1"),
		t("", "exit {}", ":::", "0", "1", "2", "0", "3"),
		t("", "true", ":::"),
		t(strings.Repeat("1\n", 100), "exit"),
		t(strings.Repeat("1\n", 101), "exit"),
		t(strings.Repeat("1\n", 150), "exit"),
		t("", "no-such-command", ":::", "1"),
		t("", "kill -TERM $$ #", ":::", "1"),
		t("", "-j1", "--halt", "now,fail=1", "exit {}", ":::", "0", "3", "5"),
		t("", "-j1", "--halt", "soon,fail=2", "exit {}", ":::", "0", "3", "5"),
		t("", "-j1", "--halt", "now,success=1", "exit {}", ":::", "3", "0", "5"),
		t("", "-j1", "--halt", "soon,success=2", "exit {}", ":::", "3", "0", "5"),
		t("", "-j1", "--halt", "now,done=1", "exit {}", ":::", "3", "0", "5"),
		t("", "-j1", "--halt", "now,fail=50%", "exit {}", ":::", "3", "4", "5", "6"),
		t("", "-j1", "--halt", "now,fail=1", "kill -TERM $$ #", ":::", "1"),
		t("", "-j1", "--halt", "1", "exit {}", ":::", "0", "3", "5"),
		t("", "-j1", "--halt", "never", "exit {}", ":::", "0", "3", "5"),
		t("", "--timeout", "1s", "sleep", ":::", "30"),
	}
}

// outcome is what a command line did.
type outcome struct {
	out  string
	code int
}

func run(ctx context.Context, dir, stdin string, args []string) outcome {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "PARALLEL_SHELL=/bin/sh")
	out, err := cmd.Output()
	o := outcome{out: string(out)}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		o.code = exit.ExitCode()
	} else if err != nil {
		o.code = -1
	}
	return o
}
