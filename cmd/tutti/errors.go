package main

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
)

// Exit codes, the same for all subcommands.
const (
	exitFailed      = 1 // the cluster or this machine answered with an error
	exitUsage       = 2
	exitUnreachable = 3  // no node could be reached
	exitNoLogin     = 4  // not logged in, or not allowed
	exitUnavailable = 5  // no majority: not applied, retry is safe
	exitUnknown     = 6  // sent, no answer: may have been applied
	exitWarnings    = 20 // of doctor: it works, and something will hurt
	exitFailures    = 21 // of doctor: something does not work
	exitInterrupted = 130
)

// errorPrefix begins the first line of an error on stderr.
const errorPrefix = "error  "

const safeNothingStarted = "nothing was started, no data was changed"

// exitError ends the program: what happened, whether anything was changed, what
// to do.
type exitError struct {
	code           int
	what, safe, do string
}

func (e *exitError) Error() string { return e.what }

func (e *exitError) text() string {
	var b strings.Builder
	b.WriteString(errorPrefix + e.what + "\n")
	if e.safe != "" {
		b.WriteString("  safe   " + e.safe + "\n")
	}
	if e.do != "" {
		b.WriteString("  do     " + e.do + "\n")
	}
	return b.String()
}

// usageError is about how command was called.
func usageError(what, command string) *exitError {
	return &exitError{code: exitUsage, what: what, do: command + " --help"}
}

// failed is an error of this machine or the cluster that left everything as it
// was.
func failed(err error, do string) *exitError {
	return &exitError{code: exitFailed, what: err.Error(), do: do}
}

// cause is what went wrong with the network, without the repeated addresses.
func cause(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		err = e.Err
	}
	if errors.Is(err, io.EOF) {
		return errors.New("it was closed by the other side")
	}
	return err
}
