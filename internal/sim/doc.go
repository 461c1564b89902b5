// Package sim runs whole clusters on virtual time: the real code of a node,
// from RESP to Pebble, over a network, disks and clocks that can be made to
// fail. It is meant for testing/synctest bubbles: everything in it blocks on
// conditions, channels and timers of the bubble, so minutes of a cluster's life
// pass in seconds.
//
// A Network carries bytes between hosts named n1, n2, … (nodes) and whatever
// clients are called; every direction can be cut, delayed and made lossy by
// itself. A disk is a vfs.MemFS that forgets what was not synced when the power
// goes. Each node has a Clock of its own, which may jump and drift.
//
// The schedule of faults comes from a seed. Goroutines of a node still run in
// an order of their own, so a seed that failed is run again several times.
package sim
