// Package sim runs whole clusters on virtual time: the real code of a node,
// from RESP to Pebble, over a network, disks and clocks that can be made to
// fail. It is meant for testing/synctest bubbles: everything in it blocks on
// conditions, channels and timers of the bubble, so minutes of a cluster's life
// pass in seconds.
//
// A Network carries bytes between hosts named n1, n2, … (nodes) and whatever
// clients are called; every direction can be cut, delayed and made lossy by
// itself. What befalls the frames of the nodes' links (lost, doubled, late, a
// bit flipped) is in frames.go. A disk is a vfs.MemFS that forgets what was not
// synced when the power goes, or tears the last write; its operations can fail,
// it can fill up, lie about fsyncs and rot (disk.go, diskfault.go, rot.go). Each
// node has a Clock of its own, which may jump, drift and stand still.
//
// All that is done to a cluster is lines of text (action.go). A Nemesis draws
// faults (fault.go) and changes of who belongs to the cluster (changes.go) from a
// seed and writes down what it does and when: a Schedule, which can be run again. Goroutines of a node run in an order of
// their own, so a schedule that failed is run several times. Clients work on
// keys (load.go, workload.go) that the checkers of package check judge.
//
// Not simulated: errors of a store's manifest and of the change to a new log, on
// which Pebble ends the process under its own locks; bits that rot behind a node's last vow, which GUARANTEES
// calls beyond detection.
package sim
