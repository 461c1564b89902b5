//go:build linux && race

package epoll

// batches: the race detector knows of what Socket.Read and Socket.Write have done, but
// not of what the kernel does by itself.
const batches = false
