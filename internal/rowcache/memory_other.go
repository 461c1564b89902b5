//go:build !linux

package rowcache

func allocate(n int) []byte { return make([]byte, n) }

func discard([]byte) {}

func release([]byte) {}
