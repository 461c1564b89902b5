package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tutti/internal/proof/respclient"
)

const (
	scriptKey  = "{s}x"
	valueOf    = "before" // what must stand there when a script that wrote "after" was ended
	library    = "#!lua name=endless\nredis.register_function('forever',function(KEYS,ARGV) " + endless + " end)"
	killPause  = 100 * time.Millisecond
	killWithin = 10 * time.Second
)

// ended is a script that is ended, and what it is told.
type ended struct {
	what string
	node int
	cmd  []string
	kill []string // what ends it; nil: a limit does
	says string
	long bool // not in a sample
}

// endless counts without an end in a way that takes few steps for its time, so that
// whoever kills it is in time.
const endless = "redis.call('set',KEYS[1],'after') while true do redis.call('incr',KEYS[2]) end"

func endedScripts() []ended {
	eval := func(script string, keys ...string) []string {
		return append([]string{"EVAL", script, fmt.Sprint(len(keys))}, keys...)
	}
	return []ended{
		{"an endless loop", 0, eval("redis.call('set',KEYS[1],'after') while true do end", scriptKey), nil, "takes more than", false},
		{"a loop of writes", 0, eval(endless, scriptKey, "{s}n"), nil, "takes more than", true},
		{"a table without end", 1, eval("redis.call('set',KEYS[1],'after') local t={} for i=1,1e9 do t[i]=string.rep('x',1000)..i end", scriptKey), nil, "memory", false},
		{"a string that doubles", 2, eval("redis.call('set',KEYS[1],'after') local s='x' while true do s=s..s end", scriptKey), nil, "memory", false},
		{"a function without end", 1, []string{"FCALL", "forever", "2", scriptKey, "{s}n"}, nil, "takes more than", true},
		{"one that is killed", 0, eval(endless, scriptKey, "{s}n"), []string{"SCRIPT", "KILL"}, "killed", false},
		{"a function that is killed", 2, []string{"FCALL", "forever", "2", scriptKey, "{s}n"}, []string{"FUNCTION", "KILL"}, "killed", false},
	}
}

// tryScripts has scripts ended while other clients of all nodes write.
func tryScripts(ctx context.Context, t *trial) (found string, err error) {
	all, err := t.dialAll(ctx)
	if err != nil {
		return "", err
	}
	defer func() {
		for _, c := range all {
			c.close()
		}
	}()
	if _, err := all[0].do("FUNCTION", "LOAD", "REPLACE", library); err != nil {
		return "", err
	}
	var ends []func() (besides, error)
	for _, addr := range t.dev.Addrs {
		ends = append(ends, writeBeside(ctx, addr))
	}
	n, tried := 0, endedScripts()
	for _, x := range tried {
		if x.long && t.short {
			continue
		}
		if err = x.try(ctx, t, all); err != nil {
			err = fmt.Errorf("%s: %w", x.what, err)
			break
		}
		n++
	}
	var writes besides
	for _, end := range ends {
		b, e := end()
		err = errors.Join(err, e)
		writes.n, writes.unknown, writes.slowest = writes.n+b.n, writes.unknown+b.unknown, max(writes.slowest, b.slowest)
	}
	if err == nil {
		err = tryTexts(all)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d scripts beyond steps, time or memory, or killed from another node, left nothing on %d nodes; %s",
		n, len(all), writes), nil
}

// attempts is how often a script is tried whose leader leaves while it runs: whether it was
// applied is unknown then.
const attempts = 3

// try has one script ended, and looks for what it has left on each node.
func (x ended) try(ctx context.Context, t *trial, all []*conn) (err error) {
	for range attempts {
		if err = x.once(ctx, t, all); err == nil || !errors.Is(err, errLeft) {
			return err
		}
	}
	return err
}

// errLeft says that the leader left.
var errLeft = errors.New("the leader left")

func (x ended) once(ctx context.Context, t *trial, all []*conn) error {
	if _, err := all[0].do("MSET", scriptKey, valueOf, "{s}n", "0"); err != nil {
		return err
	}
	killed := make(chan error, 1)
	if x.kill == nil {
		killed <- nil
	} else {
		go func() { killed <- kill(ctx, t, x.kill) }()
	}
	v, err := all[x.node].ask(x.cmd...)
	killErr, text := <-killed, string(v.Str)
	if leaderLeft(text) {
		return fmt.Errorf("%w: %s", errLeft, text)
	}
	if err = errors.Join(err, killErr); err != nil {
		return err
	}
	if !v.IsError() || !strings.Contains(text, x.says) || !strings.Contains(text, "Not applied") {
		return fmt.Errorf("it was told %q, which does not say that it was ended by %s and not applied", text, x.says)
	}
	for i, c := range all {
		v, err := c.do("MGET", scriptKey, "{s}n")
		if err != nil {
			return err
		}
		if got := respclient.Text(v); got != "["+valueOf+" 0]" {
			return fmt.Errorf("node %d has %s behind it", i+1, got)
		}
	}
	return nil
}

// kill asks node after node to end its script, as one of them executes it.
func kill(ctx context.Context, t *trial, cmd []string) error {
	all, err := t.dialAll(ctx)
	if err != nil {
		return err
	}
	for end := time.Now().Add(killWithin); time.Now().Before(end); time.Sleep(killPause) {
		for _, c := range all {
			v, err := c.ask(cmd...)
			if err != nil {
				return err
			}
			if !v.IsError() {
				return nil
			}
			if !strings.HasPrefix(string(v.Str), "NOTBUSY") {
				return errors.New(string(v.Str))
			}
		}
	}
	return fmt.Errorf("no node has a script to kill within %v", killWithin)
}

// tryTexts looks at what clients go by.
func tryTexts(all []*conn) error {
	sha, err := all[0].do("SCRIPT", "LOAD", "return redis.call('get',KEYS[1])")
	if err != nil {
		return err
	}
	for _, c := range all {
		v, err := c.do("EVALSHA", string(sha.Str), "1", scriptKey)
		if err != nil || string(v.Str) != valueOf {
			return fmt.Errorf("EVALSHA of what another node was given: %q, %w", v.Str, err)
		}
		for _, x := range []struct {
			cmd  []string
			says string
		}{
			{[]string{"EVALSHA", strings.Repeat("f", 40), "0"}, "NOSCRIPT No matching script. Please use EVAL."},
			{[]string{"SCRIPT", "KILL"}, "NOTBUSY No scripts in execution right now."},
			{[]string{"FUNCTION", "KILL"}, "NOTBUSY No scripts in execution right now."},
		} {
			v, err := c.ask(x.cmd...)
			if err != nil || string(v.Str) != x.says {
				return fmt.Errorf("%q is told %q, want %q; %w", x.cmd, v.Str, x.says, err)
			}
		}
	}
	return nil
}
