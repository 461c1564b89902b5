package main

import (
	"context"
	"fmt"
	"time"

	"tutti/internal/proof/check"
	"tutti/internal/proof/respclient"
)

// respSession takes down what it does through the nodes of a cluster.
type respSession struct {
	*respNodes
	// route, if not nil, says which node takes an operation instead of the one
	// that was chosen.
	route func(node int, writes bool) int
	// copies, if not 0, is how many replicas must have a write before it counts
	// as acknowledged, by WAIT.
	copies int
}

func newRESPSession(addrs []string) *respSession { return &respSession{respNodes: newRESPNodes(addrs)} }

// waitMax is how long Redis may look for a copy of a write, in milliseconds.
const waitMax = "1000"

func (s *respSession) do(r *check.Recorder, client, node int, deadline time.Duration, atomic bool, cmds ...check.Cmd) bool {
	writes := writesAny(cmds)
	if s.route != nil {
		node = s.route(node, writes)
	}
	op := r.Call(client, node+1, cmds...)
	conn, err := s.open(context.Background(), node, time.Now().Add(deadline))
	if err != nil {
		r.Lost(op, false, err.Error())
		return false
	}
	reply, err := s.exchange(conn, atomic, writes, cmds)
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
func (s *respSession) exchange(conn *respclient.Conn, atomic, writes bool, cmds []check.Cmd) (last check.Reply, err error) {
	var out [][]string
	if atomic {
		out = append(out, []string{"MULTI"})
	}
	for _, c := range cmds {
		out = append(out, c.Args)
	}
	if atomic {
		out = append(out, []string{"EXEC"})
	}
	wait := writes && s.copies > 0
	if wait {
		out = append(out, []string{"WAIT", fmt.Sprint(s.copies), waitMax})
	}
	replies, err := conn.Pipe(out...)
	if err != nil {
		return last, err
	}
	if wait {
		end := len(replies) - 1
		last = check.FromRESP(replies[end-1])
		if copies := replies[end].Int; last.Kind != check.KindError && copies < int64(s.copies) {
			err = fmt.Errorf("WAIT found %d copies", copies)
		}
		return last, err
	}
	return check.FromRESP(replies[len(replies)-1]), nil
}

func (s *respSession) swap(r *check.Recorder, client, node int, deadline time.Duration, key, value string) bool {
	if s.route != nil {
		node = s.route(node, true)
	}
	op := r.Call(client, node+1, check.Watched(check.Reply{}, "GET", key), check.Command("SET", key, value))
	conn, err := s.open(context.Background(), node, time.Now().Add(deadline))
	if err == nil {
		op.Cmds[0].Reply, err = watchKey(conn, key)
	}
	if err != nil {
		s.drop(node)
		r.Lost(op, false, err.Error())
		return false
	}
	reply, err := s.exchange(conn, true, true, op.Cmds[1:])
	if err != nil {
		s.drop(node)
		r.Lost(op, true, err.Error())
		return false
	}
	return r.Executed(op, reply)
}

// watchKey begins to watch a key and returns its value.
func watchKey(conn *respclient.Conn, key string) (seen check.Reply, err error) {
	replies, err := conn.Pipe([]string{"WATCH", key}, []string{"GET", key})
	if err != nil {
		return seen, err
	}
	for _, v := range replies {
		if err := respclient.Err(v); err != nil {
			return seen, err
		}
	}
	return check.FromRESP(replies[1]), nil
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
