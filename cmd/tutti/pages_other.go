//go:build !linux

package main

const hugeHeap = 0

// useHugePages does nothing: other systems don't leave it to the process.
func useHugePages(int64) {}
