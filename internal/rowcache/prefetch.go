//go:build amd64 || arm64

package rowcache

import "unsafe"

// prefetch has the processor fetch a line of memory, and does not wait for it. It is no
// access: p may be of memory that others write, or that is not there any more.
//
//go:noescape
func prefetch(p unsafe.Pointer)
