//go:build !invariants && !race

package resp

// poison does nothing in a normal build.
func poison([]byte) {}
