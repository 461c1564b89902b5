// Package epoll tells which of many sockets have something to read, and reads and
// writes them without waiting: the way to serve thousands of clients from one
// goroutine.
//
// Go's own poller wakes a goroutine for each socket. Here the kernel gathers the
// sockets that are ready, and one goroutine is woken for all of them. It waits in
// Go's poller, too, in which the epoll descriptor is registered, so it costs no
// thread. The sockets stay what package net has made of them: whoever wants may
// wait for one with a goroutine, as ever, and closing one at any time is safe.
//
// Only Linux has it; elsewhere New returns errors.ErrUnsupported.
package epoll

import "errors"

// ErrAgain says that a socket has nothing to read now, or takes nothing.
var ErrAgain = errors.New("the socket is not ready")

// Event is what a Poller tells of one socket: there may be something to read, an
// end or an error included.
type Event struct {
	ID uint64 // as given to Add
	// HungUp says that the other side sends no more, or is gone: behind what there
	// is to read comes the end.
	HungUp bool
}
