// Package house holds the tests of the house rules: which package may import
// which, and that none may without need; which dependencies stay out; that docs
// name only what exists; that goroutines are listed, types small, and tests do
// not sleep. It has no code of its own.
package house
