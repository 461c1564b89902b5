// Package aio has the kernel do several things with one call: Linux' io_submit(2).
//
// What is asked of a descriptor that does not block, and of sockets, is done when
// Submit returns; a sync of a file is done later, by a thread of the kernel. Calls are
// not told to Go's scheduler, see package rawsock.
//
// Some sandboxes forbid it, and other systems don't have it: New fails there.
package aio
