//go:build mutants

package mutant

import "os"

// chosen is set once, before anything runs.
var chosen = choose(os.Getenv(Env))

func choose(name string) Mutant {
	if name == "" {
		return None
	}
	m, err := Parse(name)
	if err != nil {
		panic(err)
	}
	return m
}

// On reports whether this process leaves out a safeguard.
func On(m Mutant) bool { return m == chosen }
