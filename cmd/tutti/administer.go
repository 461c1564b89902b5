package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

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
	switch {
	case strings.HasPrefix(text, "NOAUTH"):
		e.safe, e.do = "nothing was changed", doLogIn
	case strings.HasPrefix(text, "CLUSTERDOWN"):
		e.do = "tutti status says which nodes are missing"
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

// onlooker looks again and again at something that goes on by itself: the
// node that is asked may end and come back meanwhile, and a shard be without a leader.
type onlooker struct{ heard time.Time }

// deafMax is for how long it is looked without an answer.
const deafMax = 10 * time.Second

// waits reports whether to look again after err; nil is an answer.
func (p *onlooker) waits(err error) bool {
	e, ok := errors.AsType[*exitError](err)
	if p.heard.IsZero() || err == nil {
		p.heard = time.Now()
	}
	if !ok || e.code != exitUnreachable && e.code != exitUnavailable && e.code != exitUnknown {
		return false
	}
	return time.Since(p.heard) < deafMax
}
