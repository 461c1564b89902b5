//go:build !linux

package epoll

import (
	"errors"
	"net"
)

// Poller is of Linux.
type Poller struct{}

// New returns errors.ErrUnsupported.
func New() (*Poller, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (*Poller) Close() error { return nil }

// Add returns errors.ErrUnsupported.
func (*Poller) Add(*Socket, uint64) error { return errors.ErrUnsupported }

// Remove returns errors.ErrUnsupported.
func (*Poller) Remove(*Socket) error { return errors.ErrUnsupported }

// Wait returns errors.ErrUnsupported.
func (*Poller) Wait([]Event) (int, error) { return 0, errors.ErrUnsupported }

// Socket is of Linux.
type Socket struct{}

// NewSocket returns errors.ErrUnsupported.
func NewSocket(*net.TCPConn) (*Socket, error) { return nil, errors.ErrUnsupported }

// Read returns errors.ErrUnsupported.
func (*Socket) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// Write returns errors.ErrUnsupported.
func (*Socket) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }

// Unread returns nothing.
func (*Socket) Unread() int { return 0 }
