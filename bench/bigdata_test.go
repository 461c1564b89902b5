package main

import (
	"slices"
	"strings"
	"testing"
)

func TestDataSet(t *testing.T) {
	keys, wrote := map[string]bool{}, map[string]bool{}
	for n := range 1000 {
		u := unitOf(n)
		keys[u.key()] = true
		if got := keysIn(n + 1); got != len(keys) {
			t.Fatalf("keysIn(%d) = %d, but there are %d keys", n+1, got, len(keys))
		}
		write := string(u.appendWrite(nil))
		if wrote[write] {
			t.Fatalf("unit %d repeats another", n)
		}
		wrote[write] = true
		if len(write) < unitBytes {
			t.Fatalf("unit %d writes %d bytes", n, len(write))
		}
		for i := range unitParts {
			command, want := u.read(i)
			if !strings.Contains(write, want) || !slices.Contains(command, u.key()) || !strings.Contains(write, command[len(command)-1]) {
				t.Fatalf("unit %d does not write what %.40q reads", n, command)
			}
		}
	}
}
