// Package script runs Lua as Redis does: scripts of EVAL and functions of FCALL.
//
// It knows nothing of shards and of keys. Whoever runs a script hands in what executes
// one command and what counts work, see Run; a script reaches nothing else. There is no
// clock here, no I/O and no randomness: a script with the same keys, arguments and
// answers does the same.
//
// An Engine has the scripts that it has compiled, by the SHA-1 of their text, and
// interpreters that wait for the next run. In an interpreter everything that outlives a
// run is frozen: its globals, its libraries and the metatable of strings.
//
// # Limits
//
// The interpreter asks its context before each instruction whether to go on; that
// context is the meter, which counts them and tells whoever runs the script. Functions
// of the libraries, which are one instruction however long they take, count their work
// themselves, and so does what makes strings: before a string is made its length is
// counted, and ".." is compiled to a call for that (guard.go). A pattern that would match
// for ever is ended in the same way (pattern.go).
//
// Memory is estimated from above: so much for each instruction, and strings by their
// length. When the estimate reaches what a run may have, everything that the script can
// still reach is counted (live.go), and only if that is too much the script is ended.
//
// Who is ended by a limit can't catch that with pcall: the next instruction fails again.
package script
