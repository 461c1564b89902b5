// Package house holds the tests of the house rules: which package may import
// which, which dependencies stay out, and that documents name files that exist.
// It has no code of its own.
package house
