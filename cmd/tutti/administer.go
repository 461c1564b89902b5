package main

import (
	"encoding/json"
	"os"
	"strings"

	"tutti/internal/resp"
)

// What subcommands that look at or change a running cluster share.

// askCluster sends one command to a node and returns the answer; one
// that is an error is the error.
func askCluster(t target, args ...string) (resp.Value, error) {
	s := newSession(t, false)
	defer s.close()
	return s.ask(args...)
}

// ask is run, but an answer that is an error is the error.
func (s *session) ask(args ...string) (resp.Value, error) {
	v, err := s.run(args)
	if err != nil {
		return v, err
	}
	if v.IsError() {
		return v, answered(string(v.Str))
	}
	return v, nil
}

// answered is the answer of a node that is an error.
func answered(text string) *exitError {
	e := &exitError{code: answerCode(text), what: text}
	if strings.HasPrefix(text, "NOAUTH") {
		e.safe, e.do = "nothing was changed", doLogIn
	}
	return e
}

// administer is askCluster for commands whose answer says nothing but that they
// were done.
func administer(t target, args ...string) error {
	_, err := askCluster(t, args...)
	return err
}

func printJSON(v any) error {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(v); err != nil {
		return failed(err, "")
	}
	return nil
}
