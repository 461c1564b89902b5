package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"tutti/e2e/clients/workload"
	"tutti/e2e/process"
)

// subject is one program in one mode: what a row of the table is about.
type subject struct {
	lib     library
	mode    mode
	command []string
	version string
}

func (s subject) String() string { return s.lib.name + " (" + string(s.mode) + ")" }

// report is what one worker of a program says in the end.
type report struct {
	Commands    int            `json:"commands"`
	Failed      int            `json:"failed"`
	Added       int            `json:"added"`
	NotAdded    []int          `json:"not_added"`
	Incremented int            `json:"incremented"`
	Stale       int            `json:"stale"`
	GapMS       int64          `json:"gap_ms"`
	Errors      map[string]int `json:"errors"`
}

// The load of each program: steady, and small, since all of them run at once and
// on two cores. What is counted is what fails.
const (
	workers     = 2
	pauseMS     = 20
	readyWithin = 30 * time.Second
	endWithin   = 90 * time.Second

	readyLine   = "ready\n"
	reportBegin = "report "
)

// load is a program that runs.
type load struct {
	subject subject
	keys    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	lines   chan string // ready, then the report; closed at its end
	errors  *tail       // what else it prints
}

// begin starts a program and waits until each of its workers has tried something.
func begin(s subject, c *cluster, run string) (*load, error) {
	o := workload.Order{Addrs: s.mode.addrs(c), Gateway: c.addrs[gateway], Master: clusterName, Workers: workers, PauseMS: pauseMS,
		Keys: fmt.Sprintf("app:%s:%s:%s:", run, s.lib.dir, s.mode)}
	if c.tls {
		o.CA, o.User, o.Password = c.ca(), appUser, appPassword
	}
	first, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	args := append(s.command[1:len(s.command):len(s.command)], s.mode.file())
	l := &load{subject: s, keys: o.Keys, cmd: exec.Command(s.command[0], args...), errors: &tail{}, lines: make(chan string, 2)}
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	l.cmd.Stderr = l.errors
	if l.in, err = l.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(l.lines)
		for in := bufio.NewReader(out); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			// Libraries print on their own account too.
			if line == readyLine || strings.HasPrefix(line, reportBegin) {
				l.lines <- line
			} else {
				_, _ = l.errors.Write([]byte(line))
			}
		}
	}()
	if _, err := l.in.Write(append(first, '\n')); err != nil {
		return l, errors.Join(fmt.Errorf("%v: %w", s, err), l.kill())
	}
	if _, err := l.line(readyWithin); err != nil {
		return l, errors.Join(err, l.kill())
	}
	return l, nil
}

// line waits for the next line that the program prints.
func (l *load) line(within time.Duration) (string, error) {
	select {
	case line, ok := <-l.lines:
		if !ok {
			return "", fmt.Errorf("%v ended: %s", l.subject, l.errors)
		}
		return line, nil
	case <-time.After(within):
		return "", fmt.Errorf("%v said nothing for %v: %s", l.subject, within, l.errors)
	}
}

// end has the program end and puts what it reports into what report points to.
func (l *load) end(report any) error {
	l.in.Close()
	line, err := l.line(endWithin)
	if err == nil {
		if err = json.Unmarshal([]byte(line[len(reportBegin):]), report); err != nil {
			err = fmt.Errorf("report of %v: %w: %q", l.subject, err, line)
		}
	}
	return errors.Join(err, l.kill())
}

// kill ends the program: with its report it has nothing more to do.
func (l *load) kill() error {
	_ = l.cmd.Process.Kill()
	for range l.lines {
	}
	_ = l.cmd.Wait()
	return nil
}

// tail keeps the end of what a program says on stderr.
type tail struct {
	mu   sync.Mutex // guards last
	last []byte
}

const tailMax = 2000

// Write keeps the last of p.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	t.last = t.last[max(0, len(t.last)-tailMax):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.last)
}

// fault is something that happens to the storage nodes, one after the other, each
// when the cluster is healthy again.
type fault struct {
	name string
	hit  func(p *process.Process) error
}

var faults = []fault{
	{"rolling restart", func(p *process.Process) error { return p.Stop() }},
	{"kill -9", func(p *process.Process) error { p.Kill(); return nil }},
}

const (
	// calm is how long the load runs before, between and after the faults.
	calm = time.Second
	// away is how long a node is gone: longer than it takes to elect another leader.
	away = 2 * time.Second
)

// suffer has a fault happen to all storage nodes.
func (f fault) suffer(c *cluster, say func(format string, args ...any)) error {
	time.Sleep(calm)
	for i := range storageNodes {
		began := time.Now()
		if err := f.hit(c.procs[i]); err != nil {
			return err
		}
		down := time.Since(began)
		time.Sleep(away)
		if err := c.start(i); err != nil {
			return err
		}
		// A node that has just been killed counts as present for another second.
		time.Sleep(calm)
		if err := c.healthy(); err != nil {
			return err
		}
		say("  %s %s: ended in %.1f s, all well after %.1f s", f.name, c.name(i), down.Seconds(), time.Since(began).Seconds())
		time.Sleep(calm)
	}
	return nil
}

// round runs all subjects at once through one fault, and judges them.
func round(c *cluster, subjects []subject, f fault, say func(format string, args ...any)) (list []result, err error) {
	run := filepath.Base(c.dir) + ":" + f.name
	loads := make([]*load, 0, len(subjects))
	defer func() {
		for _, l := range loads {
			_ = l.kill()
		}
	}()
	for _, s := range subjects {
		l, err := begin(s, c, run)
		if err != nil {
			return nil, err
		}
		loads = append(loads, l)
	}
	if err := f.suffer(c, say); err != nil {
		return nil, err
	}
	for _, l := range loads {
		var reports []report
		if err := l.end(&reports); err != nil {
			return nil, err
		}
		r := result{Client: l.subject.lib.name, Version: l.subject.version, Mode: l.subject.mode, TLS: c.tls, Fault: f.name}
		if err := r.judge(c.admin(gateway), l.keys, reports); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}
