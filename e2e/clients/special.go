package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// special is a program with a library that does more than plain commands, all nodes
// being killed meanwhile.
type special struct {
	library string
	file    string // beside the library's main; of one in Go: its first argument
	run     string // what its keys are called
	modes   []mode
}

// alone is for who has nothing to do beside the programs.
func alone(context.Context, *cluster) error { return nil }

// try has the program work in each mode while all nodes are killed. beside works until
// its context ends, and says what it thinks of that then; judge ends each program
// and says what it thinks of its report.
func (x special) try(o options, binary, dir string, beside func(ctx context.Context, c *cluster) error, judge func(l *load) error) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s := subject{lib: libraries[slices.IndexFunc(libraries, func(l library) bool { return l.name == x.library })]}
	wanted := func(m mode) bool { return o.only.MatchString(subject{lib: s.lib, mode: m}.String()) }
	if !slices.ContainsFunc(x.modes, wanted) {
		say("%s: left out by -only", x.library)
		return nil
	}
	if s.command, s.version, err = s.lib.install(s.lib, dir); err != nil {
		return err
	}
	if at := slices.IndexFunc(s.command, func(word string) bool { return strings.HasPrefix(filepath.Base(word), "main.") }); at >= 0 {
		s.command[at] = filepath.Join(filepath.Dir(s.command[at]), x.file)
	} else {
		s.command = append(s.command, x.file)
	}
	c, err := form(binary, dir, false)
	if c != nil {
		defer func() { err = errors.Join(err, c.close()) }()
	}
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	judged := make(chan error, 1)
	go func() { judged <- beside(ctx, c) }()
	var loads []*load
	defer func() {
		for _, l := range loads {
			err = errors.Join(err, l.kill())
		}
	}()
	for _, s.mode = range x.modes {
		if !wanted(s.mode) {
			continue
		}
		l, err := begin(s, c, x.run)
		if err != nil {
			return err
		}
		loads = append(loads, l)
	}
	if err := faults[len(faults)-1].suffer(c, say); err != nil {
		return err
	}
	stop()
	err = <-judged
	for _, l := range loads {
		if wrong := judge(l); wrong != nil {
			err = errors.Join(err, fmt.Errorf("%v: %w", l.subject, wrong))
		}
	}
	return err
}
