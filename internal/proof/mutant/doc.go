// Package mutant breaks the product on purpose, one safeguard at a time, to
// show that the tests would notice if the code forgot it.
//
// The product knows nothing of it. A mutant is data: lines of a file, and what
// stands there instead when the safeguard is left out. They are laid over the
// sources when the test that must fail is built (go test -c -overlay), so no
// tree is changed and every mutant is of today's sources.
//
// A new safeguard gets an entry in the table of its kind (disk.go, answers.go,
// once.go, time.go, repair.go). The tests here check that all of them still
// apply to the sources and compile; command run in internal/proof/run tells
// whether they are killed.
package mutant
