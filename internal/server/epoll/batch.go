package epoll

// BatchMax is how many sockets a Batch reads or writes at once.
const BatchMax = 64

// Op is a read or a write of a Batch, and how it went.
type Op struct {
	Socket *Socket
	Buf    []byte // not on a stack
	N      int
	Err    error
}
