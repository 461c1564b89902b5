// Package rawsock makes the system calls of connections without telling Go's scheduler.
//
// Go assumes of each call that it may block. If the process was idle, it wakes the
// thread that watches for such calls (sysmon), which then looks every 20 µs until
// nothing runs any more. A node is woken by some thousand messages a second, works on
// each for some ten µs and is idle again: that thread took 10 to 36 % of its processor
// time (measured by thread, Go 1.26, 50 clients that read or write). What is asked of a
// socket that never blocks needs no watching.
//
// Only Linux has such calls here; elsewhere connections stay what they are.
package rawsock
