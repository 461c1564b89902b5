//go:build !invariants && !race

package keyspace

func poison(*scratch) {}

func guarded(val []byte, h Held) ([]byte, Held) { return val, h }
