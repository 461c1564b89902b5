package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// language is one that there is a worker in. Its name is that of its queue too.
type language struct {
	name    string
	command []string
}

// python is Debian's: another one does not see its packages.
const python = "/usr/bin/python3"

// install brings what the workers need: Debian's python3-redis, and ioredis by npm
// into the work folder.
func install(work string) ([]language, error) {
	if _, err := output("", python, "-c", "import redis"); err != nil {
		if err := apt("python3-redis"); err != nil {
			return nil, err
		}
	}
	for program, pkg := range map[string]string{"node": "nodejs", "npm": "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			if err := apt(pkg); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range []string{"worker.py", "worker.mjs", "package.json", "package-lock.json"} {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(work, name), b, 0o600); err != nil {
			return nil, err
		}
	}
	if _, err := output(work, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"); err != nil {
		return nil, err
	}
	return []language{
		{"python", []string{python, "-B", "worker.py"}},
		{"node", []string{"node", "worker.mjs"}},
	}, nil
}

func apt(pkg string) error {
	args := []string{"install", "-y", "-q", "--no-install-recommends", pkg}
	if _, err := output("", "apt-get", args...); err == nil {
		return nil
	}
	if _, err := output("", "apt-get", "update", "-q"); err != nil {
		return err
	}
	_, err := output("", "apt-get", args...)
	return err
}

// build makes the program that is tried.
func build(dir string) (string, error) {
	binary := filepath.Join(dir, "tutti")
	_, err := output(filepath.Join("..", ".."), "go", "build", "-o", binary, "./cmd/tutti")
	return binary, err
}

// output runs a command for what it prints.
func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// process is one that this tool has started.
type process struct {
	cmd  *exec.Cmd
	log  string // the file with its output
	done chan struct{}
}

const stopTimeout = 15 * time.Second

// spawn starts a program with its output in dir/name.log, in a process group of its
// own, so that Ctrl-C reaches only this tool, which then stops it.
func spawn(dir, name, program string, args ...string) (*process, error) {
	p := &process{log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // seen through done; why is in the log
		close(p.done)
	}()
	return p, nil
}

// kill ends it with SIGKILL, and waits until it has ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // that it has ended already is as well
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop asks it to end. It is killed if it does not, which is an error.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("%s has not ended %v after SIGTERM; its output: %s", p.cmd.Path, stopTimeout, p.log)
	}
}

// freeRow returns an address from which on the six ports are free that tutti dev
// takes: one for clients of each node, and one for peers 1000 above it.
func freeRow() (string, error) {
	for range 100 {
		if addr, ok := tryRow(); ok {
			return addr, nil
		}
	}
	return "", errors.New("found no free ports for tutti dev")
}

func tryRow() (addr string, ok bool) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", false
	}
	defer first.Close()
	port := first.Addr().(*net.TCPAddr).Port
	for _, n := range []int{port + 1, port + 2, port + 1000, port + 1001, port + 1002} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", n))
		if err != nil {
			return "", false
		}
		defer l.Close() // not before all are tried
	}
	return first.Addr().String(), true
}

// eventually calls probe until it returns nil.
func eventually(within time.Duration, what string, probe func() error) error {
	end := time.Now().Add(within)
	for {
		err := probe()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not after %v: %w", what, within, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
