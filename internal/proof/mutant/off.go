//go:build !mutants

package mutant

// On reports whether this process leaves out a safeguard: never.
func On(Mutant) bool { return false }
