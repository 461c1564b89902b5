package main

import "testing"

// Memory in which no pointers can be has hardly any garbage allowed for it.
func TestCollectEvery(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		live, scanned uint64
		want          int
	}{
		{0, 0, 200},
		{20 << 20, 10 << 20, 200}, // a node that has just begun
		{42 << 20, 10 << 20, 200},
		{140 << 20, 10 << 20, 60}, // one that has worked: memtables and blocks of tables
		{560 << 20, 30 << 20, 25}, // one that is not small
		{300 << 20, 290 << 20, 200},
		{1 << 20, 10 << 20, 200},
	} {
		if got := collectEvery(tt.live, tt.scanned); got != tt.want {
			t.Errorf("%d MiB in use, of which %d are looked through: %d %%, want %d", tt.live>>20, tt.scanned>>20, got, tt.want)
		}
	}
}
