package main

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// caches is what a program reports that keeps what it has read until it is told that it
// has changed.
type caches struct {
	Reads      int   `json:"reads"`
	FromMemory int   `json:"from_memory"`
	Writes     int   `json:"writes"`
	Failed     int   `json:"failed"`
	Back       int   `json:"back"`    // reads of something older than what was read before
	LateMS     int64 `json:"late_ms"` // how long after a write was acknowledged something older was read, at most
	Wrong      int   `json:"wrong"`   // keys whose last value was not read in the end

	Errors map[string]int `json:"errors"`
}

// lateMS is how long a program may read what it keeps after a write was acknowledged to
// another, at most: while a node is cut off and a command of the program's own is under way,
// see docs/GUARANTEES.md.
const lateMS = 9000

// judge says what was not as promised. Through a gateway nothing may fail.
func (k *caches) judge(m mode) (err error) {
	wrong := func(format string, args ...any) { err = errors.Join(err, fmt.Errorf(format, args...)) }
	if k.Back > 0 {
		wrong("%d reads of something older than what was read before", k.Back)
	}
	if k.LateMS > lateMS {
		wrong("something was read %d ms after a newer value had been acknowledged", k.LateMS)
	}
	if k.Wrong > 0 {
		wrong("the last value of %d keys was not read in the end", k.Wrong)
	}
	if m == modeGateway && k.Failed > 0 {
		wrong("%d failed through a gateway", k.Failed)
	}
	if k.Writes < 100 || k.FromMemory < k.Reads/2 {
		wrong("%d writes, %d of %d reads from memory: too little for a verdict", k.Writes, k.FromMemory, k.Reads)
	}
	return err
}

// tryCaches has node-redis read from its memory through a gateway and through a node, and
// rueidis in all modes, while all nodes are killed.
func tryCaches(o options, binary, dir string) error {
	for _, x := range []special{
		{library: "node-redis", file: "cache.js", run: "caches", modes: []mode{modeNode, modeGateway}},
		{library: "rueidis", file: "cache", run: "caches", modes: modes},
	} {
		if err := x.try(o, binary, filepath.Join(dir, x.library), alone, judgeCaches); err != nil {
			return err
		}
	}
	return nil
}

func judgeCaches(l *load) error {
	var told caches
	if err := l.end(&told); err != nil {
		return err
	}
	if wrong := told.judge(l.subject.mode); wrong != nil {
		return fmt.Errorf("%w; it was told %s", wrong, strings.Join(slices.Sorted(maps.Keys(told.Errors)), "; "))
	}
	say("HELD: %s %s with its client-side cache (%s), %d nodes killed: %d of %d reads from memory, none older than one before, none more than %d ms older than an acknowledged write of %d; %d commands failed",
		l.subject.lib.name, l.subject.version, l.subject.mode, storageNodes, told.FromMemory, told.Reads, told.LateMS, told.Writes, told.Failed)
	return nil
}
