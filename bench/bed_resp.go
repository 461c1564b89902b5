package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"tutti/internal/proof/check"
	"tutti/internal/resp"
)

// respSession speaks RESP with every node: one connection each, dropped after
// any error, since a late reply would answer the next command.
type respSession struct {
	addrs []string
	conns []net.Conn
	ins   []*bufio.Reader
	// route, if not nil, says which node takes an operation instead of the one
	// that was chosen.
	route func(node int, writes bool) int
	// copies, if not 0, is how many replicas must have a write before it counts
	// as acknowledged, by WAIT.
	copies int
}

func newRESPSession(addrs []string) *respSession {
	return &respSession{addrs: addrs, conns: make([]net.Conn, len(addrs)), ins: make([]*bufio.Reader, len(addrs))}
}

// waitMax is how long Redis may look for a copy of a write, in milliseconds.
const waitMax = "1000"

func (s *respSession) do(r *check.Recorder, client, node int, deadline time.Duration, atomic bool, cmds ...check.Cmd) bool {
	writes := writesAny(cmds)
	if s.route != nil {
		node = s.route(node, writes)
	}
	op := r.Call(client, node+1, cmds...)
	if err := s.open(node, deadline); err != nil {
		r.Lost(op, false, err.Error())
		return false
	}
	reply, err := s.exchange(node, atomic, writes, cmds)
	switch {
	case err != nil:
		s.drop(node)
		r.Lost(op, true, err.Error())
		return false
	case atomic:
		return r.Executed(op, reply)
	}
	return r.Answered(op, reply)
}

// exchange sends cmds and returns the reply to the command or to EXEC.
func (s *respSession) exchange(node int, atomic, writes bool, cmds []check.Cmd) (check.Reply, error) {
	var out []byte
	answers := len(cmds)
	if atomic {
		out = resp.AppendCommandStrings(out, "MULTI")
		answers += 2
	}
	for _, c := range cmds {
		out = resp.AppendCommandStrings(out, c.Args...)
	}
	if atomic {
		out = resp.AppendCommandStrings(out, "EXEC")
	}
	wait := writes && s.copies > 0
	if wait {
		out = resp.AppendCommandStrings(out, "WAIT", fmt.Sprint(s.copies), waitMax)
	}
	if _, err := s.conns[node].Write(out); err != nil {
		return check.Reply{}, err
	}
	var last check.Reply
	for range answers {
		v, err := resp.ReadValue(s.ins[node])
		if err != nil {
			return last, err
		}
		last = check.FromRESP(v)
	}
	if !wait || last.Kind == check.KindError {
		return last, s.skip(node, wait)
	}
	v, err := resp.ReadValue(s.ins[node])
	if err == nil && v.Int < int64(s.copies) {
		err = fmt.Errorf("WAIT found %d copies", v.Int)
	}
	return last, err
}

// skip reads the answer to the WAIT behind a command that was refused.
func (s *respSession) skip(node int, wait bool) error {
	if !wait {
		return nil
	}
	_, err := resp.ReadValue(s.ins[node])
	return err
}

func (s *respSession) swap(r *check.Recorder, client, node int, deadline time.Duration, key, value string) bool {
	if s.route != nil {
		node = s.route(node, true)
	}
	op := r.Call(client, node+1, check.Watched(check.Reply{}, "GET", key), check.Command("SET", key, value))
	seen, err := s.watch(node, deadline, key)
	if err != nil {
		s.drop(node)
		r.Lost(op, false, err.Error())
		return false
	}
	op.Cmds[0].Reply = seen
	reply, err := s.exchange(node, true, true, op.Cmds[1:])
	if err != nil {
		s.drop(node)
		r.Lost(op, true, err.Error())
		return false
	}
	return r.Executed(op, reply)
}

func (s *respSession) watch(node int, deadline time.Duration, key string) (seen check.Reply, err error) {
	if err := s.open(node, deadline); err != nil {
		return seen, err
	}
	out := resp.AppendCommandStrings(resp.AppendCommandStrings(nil, "WATCH", key), "GET", key)
	if _, err := s.conns[node].Write(out); err != nil {
		return seen, err
	}
	for range 2 {
		v, err := resp.ReadValue(s.ins[node])
		if err != nil {
			return seen, err
		}
		if seen = check.FromRESP(v); seen.Kind == check.KindError {
			return seen, errors.New(seen.Str)
		}
	}
	return seen, nil
}

func (s *respSession) put(ctx context.Context, node int, key string, value []byte) error {
	_, err := s.ask(ctx, node, "SET", key, string(value))
	return err
}

func (s *respSession) has(ctx context.Context, node int, key string) (bool, error) {
	v, err := s.ask(ctx, node, "EXISTS", key)
	return v.Int == 1, err
}

// ask is one command outside of any history; an error reply is an error.
func (s *respSession) ask(ctx context.Context, node int, args ...string) (v resp.Value, err error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	if err := s.open(node, time.Until(deadline)); err != nil {
		return v, err
	}
	if _, err = s.conns[node].Write(resp.AppendCommandStrings(nil, args...)); err == nil {
		v, err = resp.ReadValue(s.ins[node])
	}
	if err != nil {
		s.drop(node)
	} else if v.IsError() {
		err = errors.New(string(v.Str))
	}
	return v, err
}

// open makes sure of a connection and bounds what happens on it next. A new one
// is used only when the node behind it has answered: the switch takes
// connections also for nodes that are down, and what is sent on those would
// count as perhaps applied.
func (s *respSession) open(node int, deadline time.Duration) error {
	end := time.Now().Add(deadline)
	if s.conns[node] != nil {
		return s.conns[node].SetDeadline(end)
	}
	conn, err := net.DialTimeout("tcp", s.addrs[node], deadline)
	if err != nil {
		return err
	}
	s.conns[node], s.ins[node] = conn, bufio.NewReader(conn)
	err = conn.SetDeadline(end)
	if err == nil {
		_, err = conn.Write(resp.AppendCommandStrings(nil, "PING"))
	}
	if err == nil {
		_, err = resp.ReadValue(s.ins[node])
	}
	if err != nil {
		s.drop(node)
	}
	return err
}

func (s *respSession) drop(node int) {
	if conn := s.conns[node]; conn != nil {
		_ = conn.Close()
		s.conns[node] = nil
	}
}

func (s *respSession) close() {
	for i := range s.conns {
		s.drop(i)
	}
}

// writesAny reports whether one of the commands of our workloads writes.
func writesAny(cmds []check.Cmd) bool {
	for _, c := range cmds {
		if c.Args[0] != "GET" && c.Args[0] != "LRANGE" {
			return true
		}
	}
	return false
}

// askRESP is one command on a connection of its own, within probeTimeout.
func askRESP(ctx context.Context, addr string, args ...string) (resp.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	s := newRESPSession([]string{addr})
	defer s.close()
	return s.ask(ctx, 0, args...)
}

// askJSON is askRESP for a command that answers JSON.
func askJSON(ctx context.Context, addr string, into any, args ...string) error {
	v, err := askRESP(ctx, addr, args...)
	if err != nil {
		return err
	}
	return json.Unmarshal(v.Str, into)
}
