package check

import "strings"

// Meaning is the verdict of Classify.
type Meaning uint8

// What a reply says about whether its command was applied.
const (
	Answered    Meaning = iota // it was executed, and this is the result
	NotApplied                 // it did not happen and never will
	Perhaps                    // it may have happened
	Unexplained                // no fault leads to such a reply
)

// Classify says what a reply means. Errors that are a result of the command
// itself (WRONGTYPE) count as an answer: the model must agree with them. Errors
// of a node say by their text whether the command was applied; of the codes
// of Redis that do not, those stand here which are given before execution.
func Classify(r Reply) Meaning {
	if r.Kind != KindError {
		return Answered
	}
	code, _, _ := strings.Cut(r.Str, " ")
	switch {
	case code == "UNCERTAIN", strings.Contains(r.Str, "may or may not"), strings.Contains(r.Str, "may have been applied"):
		return Perhaps
	case strings.Contains(r.Str, "Not applied"), strings.Contains(r.Str, "Nothing was read"), refusals[code]:
		return NotApplied
	case results[r.Str], code == "WRONGTYPE", code == "NOGROUP":
		return Answered
	}
	return Unexplained
}

// refusals are codes of refusals ahead of any execution.
var refusals = set("EXECABORT", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "READONLY", "MISCONF", "OOM", "NOREPLICAS", "TRYAGAIN", "BUSY")

// results are errors that a command may end in.
var results = set(errNotInteger, errHashNotInteger, errOverflow, errBusyGroup)

const (
	errNotInteger     = "ERR value is not an integer or out of range"
	errHashNotInteger = "ERR hash value is not an integer"
	errOverflow       = "ERR increment or decrement would overflow"
)
