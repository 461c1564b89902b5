//go:build !invariants && !race

package keyspace

func poison(*scratch) {}
