// Command clients tries client libraries against a cluster whose nodes are
// restarted and killed: what their applications are told, and whether anything
// that was acknowledged is gone. It makes docs/CLIENTS.md.
//
// A cluster of three storage nodes and a gateway is formed by tutti init and tutti
// join. Each library has a small program, whose file for a mode has the settings
// that an application would have. A program reads one line of JSON from stdin, its
// order, and then works: each worker adds a member to a set, increments a counter
// and reads it, again and again. It prints "ready" when it has begun. When its stdin
// ends it finishes what it has begun and prints "report" and, as JSON on the same
// line, what each worker was told. What it was told is then compared with what is there.
//
// With -patterns a program of redis-py does what applications do beside plain commands,
// in all modes while the nodes are killed: see redispy/patterns.py. With -caches one of
// node-redis and one of rueidis keep what they have read meanwhile: see node/cache.js and
// rueidis/cache.go. With -web servers of
// Socket.IO talk to each other and redsync locks, see web.go.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"tutti/e2e/process"
)

// options is what is tried.
type options struct {
	only, fault, security *regexp.Regexp
	keep                  bool
	patterns, caches, web bool
}

func main() {
	only := flag.String("only", "", "regular expression: try these, as in \"go-redis (gateway)\"")
	fault := flag.String("fault", "", "regular expression: by these faults, \"rolling restart\" and \"kill -9\"")
	security := flag.String("security", "", "regular expression: of \"plain\" and \"tls\", what clients speak")
	keep := flag.Bool("keep", false, "keep folders and logs")
	update := flag.Bool("update", false, "write the results, which must be of everything, and docs/CLIENTS.md")
	more := flag.Bool("patterns", false, "try a lock and a rate limiter of redis-py instead, while nodes are killed")
	kept := flag.Bool("caches", false, "try the client-side caches of node-redis and rueidis instead, while nodes are killed")
	web := flag.Bool("web", false, "try Socket.IO's redis adapter and locks of redsync instead, while nodes are killed")
	page := flag.Bool("page", false, "try nothing, write docs/CLIENTS.md by the results that are kept")
	flag.Parse()
	o := options{regexp.MustCompile(*only), regexp.MustCompile(*fault), regexp.MustCompile(*security), *keep, *more, *kept, *web}
	if err := do(o, *update, *page); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func do(o options, update, page bool) error {
	if page {
		return writePage()
	}
	results, err := run(o)
	if err != nil || !update {
		return err
	}
	if all := len(libraries) * len(modes) * len(faults) * 2; len(results) != all {
		return fmt.Errorf("%d of %d results: nothing was written", len(results), all)
	}
	if err := keepResults(results); err != nil {
		return err
	}
	return writePage()
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// run tries what is wanted. That something was not as promised is an error.
func run(o options) (results []result, err error) {
	work, err := os.MkdirTemp("", "tutti-clients-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if o.keep || err != nil {
			say("what is left of it: %s", work)
			return
		}
		err = errors.Join(err, os.RemoveAll(work))
	}()
	binary, err := process.Build(work)
	if err != nil {
		return nil, err
	}
	if o.patterns {
		return nil, tryPatterns(o, binary, filepath.Join(work, "patterns"))
	}
	if o.caches {
		return nil, tryCaches(o, binary, filepath.Join(work, "caches"))
	}
	if o.web {
		return nil, tryWeb(o, binary, filepath.Join(work, "web"))
	}
	subjects, err := choose(o, work)
	if err != nil {
		return nil, err
	}
	for _, security := range []string{"plain", "tls"} {
		if !o.security.MatchString(security) {
			continue
		}
		list, err := try(o, binary, filepath.Join(work, security), security == "tls", subjects)
		if err != nil {
			return nil, err
		}
		results = append(results, list...)
	}
	for i := range results {
		if results[i].broken() {
			err = errors.Join(err, fmt.Errorf("not as promised: %v", &results[i]))
		}
	}
	return results, err
}

// choose installs the libraries that are wanted.
func choose(o options, work string) (list []subject, err error) {
	for _, l := range libraries {
		var command []string
		var version string
		for _, m := range modes {
			s := subject{lib: l, mode: m}
			if !o.only.MatchString(s.String()) {
				continue
			}
			if command == nil {
				if command, version, err = l.install(l, work); err != nil {
					return nil, fmt.Errorf("install %s: %w", l.name, err)
				}
			}
			s.command, s.version = command, version
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("nothing to try: see -only")
	}
	return list, nil
}

// try forms a cluster and has all faults happen to it.
func try(o options, binary, dir string, secure bool, subjects []subject) (list []result, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c, err := form(binary, dir, secure)
	if c != nil {
		defer func() { err = errors.Join(err, c.close()) }()
	}
	if err != nil {
		return nil, err
	}
	for _, f := range faults {
		if !o.fault.MatchString(f.name) {
			continue
		}
		results, err := round(c, subjects, f, say)
		if err != nil {
			return nil, err
		}
		for i := range results {
			say("%v", &results[i])
		}
		list = append(list, results...)
	}
	return list, nil
}
