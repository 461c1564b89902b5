package main

import "strings"

// Exit codes, the same for all subcommands.
const (
	exitFailed      = 1 // the cluster or this machine answered with an error
	exitUsage       = 2
	exitUnreachable = 3 // no node could be reached
	exitUnavailable = 5 // no majority: not applied, retry is safe
	exitUnknown     = 6 // sent, no answer: may have been applied
	exitInterrupted = 130
)

// exitError ends the program: what happened, whether anything was changed, what
// to do.
type exitError struct {
	code           int
	what, safe, do string
}

func (e *exitError) Error() string { return e.what }

func (e *exitError) text() string {
	var b strings.Builder
	b.WriteString("error  " + e.what + "\n")
	if e.safe != "" {
		b.WriteString("  safe   " + e.safe + "\n")
	}
	if e.do != "" {
		b.WriteString("  do     " + e.do + "\n")
	}
	return b.String()
}

func usageError(what string) *exitError {
	return &exitError{code: exitUsage, what: what, do: "tutti --help"}
}

// failed is an error of this machine or the cluster that left everything as it
// was.
func failed(err error, do string) *exitError {
	return &exitError{code: exitFailed, what: err.Error(), do: do}
}
