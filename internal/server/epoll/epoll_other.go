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

// Batch is of Linux.
type Batch struct{}

// NewBatch returns a Batch for no sockets.
func NewBatch() *Batch { return &Batch{} }

// Close does nothing.
func (*Batch) Close() error { return nil }

// Read returns errors.ErrUnsupported in each op.
func (*Batch) Read(ops []Op) { unsupported(ops) }

// Write returns errors.ErrUnsupported in each op.
func (*Batch) Write(ops []Op) { unsupported(ops) }

func unsupported(ops []Op) {
	for i := range ops {
		ops[i].N, ops[i].Err = 0, errors.ErrUnsupported
	}
}
