package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// result is what became of one program in one fault: a row of the table.
type result struct {
	Client   string `json:"client"`
	Version  string `json:"version"`
	Mode     mode   `json:"mode"`
	TLS      bool   `json:"tls"`
	Fault    string `json:"fault"`
	Commands int    `json:"commands"`
	Failed   int    `json:"failed"` // of these, what the application was told
	GapMS    int64  `json:"gap_ms"` // the longest time in which one worker got no answer
	Lost     int    `json:"lost"`   // writes that were acknowledged and are not there
	Twice    int    `json:"twice"`  // increments more than the application has asked for: the library has sent them again
	Stale    int    `json:"stale"`  // reads that did not show what had been acknowledged

	errors map[string]int // what they said, how often
}

// judge compares what a program was told with what is there.
func (r *result) judge(in *redis.Client, keys string, reports []report) error {
	ctx := context.Background()
	for i, w := range reports {
		prefix := fmt.Sprintf("%s%d:", keys, i)
		members, err := in.SMembers(ctx, prefix+"set").Result()
		if err != nil {
			return fmt.Errorf("read the ledger of %s: %w", prefix, err)
		}
		counter, err := in.Get(ctx, prefix+"counter").Int()
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("read the counter of %s: %w", prefix, err)
		}
		r.add(w, members, counter)
	}
	return nil
}

// add counts one worker, whose set and counter have become these.
func (r *result) add(w report, members []string, counter int) {
	r.Commands += w.Commands
	r.Failed += w.Failed
	r.Stale += w.Stale
	r.GapMS = max(r.GapMS, w.GapMS)
	there := make(map[string]bool, len(members))
	for _, m := range members {
		there[m] = true
	}
	for n := 1; n <= w.Added; n++ {
		if !slices.Contains(w.NotAdded, n) && !there[strconv.Itoa(n)] {
			r.Lost++
		}
	}
	// Each round has sent one increment; those that failed may or may not be there.
	r.Lost += max(0, w.Incremented-counter)
	r.Twice += max(0, counter-w.Added)
	for text, n := range w.Errors {
		if r.errors == nil {
			r.errors = make(map[string]int)
		}
		r.errors[text] += n
	}
}

// broken reports whether something was promised and not kept.
func (r *result) broken() bool {
	return r.Lost > 0 || r.Stale > 0 || r.Mode == modeGateway && (r.Failed > 0 || r.Twice > 0) || r.Commands == r.Failed
}

func (r *result) String() string {
	security := ""
	if r.TLS {
		security = " TLS"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%-10s %-9s %-4s %-15s %6d commands %4d failed, longest gap %5d ms, %d lost, %d twice, %d stale",
		r.Client, r.Mode, security, r.Fault, r.Commands, r.Failed, r.GapMS, r.Lost, r.Twice, r.Stale)
	for _, e := range slices.Sorted(maps.Keys(r.errors)) {
		fmt.Fprintf(&text, "\n    %4d × %s", r.errors[e], e)
	}
	return text.String()
}
