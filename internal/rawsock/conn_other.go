//go:build !linux

package rawsock

import "net"

// Wrap returns c.
func Wrap(c net.Conn) net.Conn { return c }
