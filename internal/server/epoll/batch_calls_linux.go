//go:build linux && !race

package epoll

// batches says that a Batch asks the kernel for all at once.
const batches = true
