// Package modes is the list of what the tests are to show: the failure modes
// that stores like this one were found broken by, each with its scenarios. What
// it writes tells of the mutants of package mutant, too.
//
//	go run ./internal/proof/run        all scenarios, all mutants
//	go run ./internal/proof/run -mutants -only lease
//
// The command keeps its results in results.json and writes docs/FAULTS.md from
// them and from the tables here.
package modes

// Test names a test of this module.
type Test struct {
	Dir  string // of its package, from the root
	Name string
}

// String is how documents and results name the test.
func (t Test) String() string { return t.Dir + "." + t.Name }

func sim(name string) Test   { return Test{"internal/proof/sim", name} }
func shard(name string) Test { return Test{"internal/shard", name} }
func store(name string) Test { return Test{"internal/store", name} }
