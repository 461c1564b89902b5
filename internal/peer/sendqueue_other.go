//go:build !linux

package peer

import "net"

// sendQueue can't tell here, so frames are always left to the sender goroutine.
func sendQueue(net.Conn) func() int { return func() int { return flushMax } }
