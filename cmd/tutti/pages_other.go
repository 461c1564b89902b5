//go:build !linux

package main

const hugeHeap = 0

type hugePages struct{}

// useHugePages does nothing: other systems don't leave it to the process.
func useHugePages(int64) hugePages { return hugePages{} }

func (hugePages) want(bool) {}
