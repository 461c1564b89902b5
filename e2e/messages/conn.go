package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// answerTimeout is how long a command may take, of which none here takes more than some
// seconds, and a connection may be used.
const (
	answerTimeout = 60 * time.Second
	connMax       = time.Hour
)

// conn is a connection on which replies and what is pushed are told apart, in the order in
// which they came. It belongs to one goroutine.
type conn struct {
	c      *respclient.Conn
	values chan resp.Value // closed when the connection has ended
	// pushed is what was pushed and nobody has taken yet.
	pushed []resp.Value
}

// valuesMax is how many values may wait for whoever uses a connection.
const valuesMax = 1 << 12

// dial connects in a version of the protocol.
func dial(ctx context.Context, addr string, proto int) (*conn, error) {
	c, err := respclient.Dial(ctx, addr, time.Now().Add(connMax))
	if err != nil {
		return nil, err
	}
	x := &conn{c: c, values: make(chan resp.Value, valuesMax)}
	go x.read()
	if proto == 3 {
		if _, err := x.do("HELLO", "3"); err != nil {
			x.close()
			return nil, err
		}
	}
	return x, nil
}

func (x *conn) read() {
	defer close(x.values)
	for {
		v, err := x.c.Receive()
		if err != nil {
			return
		}
		x.values <- v
	}
}

func (x *conn) close() {
	_ = x.c.Close()
	go func() {
		for range x.values { // whoever reads may be waiting for room
		}
	}()
}

// ask sends a command and returns its reply, which may be an error.
func (x *conn) ask(args ...string) (resp.Value, error) {
	replies, err := x.pipe([][]string{args})
	if err != nil {
		return resp.Value{}, fmt.Errorf("%s: %w", args[0], err)
	}
	return replies[0], nil
}

// do is ask of a command whose reply must not be an error.
func (x *conn) do(args ...string) (resp.Value, error) {
	v, err := x.ask(args...)
	if err == nil {
		err = respclient.Err(v)
	}
	return v, err
}

// pipe sends commands at once and returns their replies.
func (x *conn) pipe(cmds [][]string) ([]resp.Value, error) {
	if err := x.c.Send(cmds...); err != nil {
		return nil, err
	}
	replies := make([]resp.Value, 0, len(cmds))
	for len(replies) < len(cmds) {
		v, err := x.next(answerTimeout)
		if err != nil {
			return nil, err
		}
		if v.Kind == resp.KindPush {
			x.pushed = append(x.pushed, v)
			continue
		}
		replies = append(replies, v)
	}
	return replies, nil
}

// next waits for the next value of whatever kind.
func (x *conn) next(within time.Duration) (resp.Value, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case v, ok := <-x.values:
		if !ok {
			return v, errEnded
		}
		return v, nil
	case <-timer.C:
		return resp.Value{}, fmt.Errorf("nothing came within %v", within)
	}
}

// pushes takes what was pushed until now.
func (x *conn) pushes() ([]resp.Value, error) {
	for {
		select {
		case v, ok := <-x.values:
			if !ok {
				return nil, errEnded
			}
			x.pushed = append(x.pushed, v)
			continue
		default:
		}
		all := x.pushed
		x.pushed = nil
		return all, nil
	}
}

// whole is a reply as text, which says also what is within.
func whole(v resp.Value) string {
	switch {
	case v.Null:
		return "nil"
	case len(v.Elems) > 0 || v.Kind == resp.KindArray || v.Kind == resp.KindMap || v.Kind == resp.KindSet:
		parts := make([]string, len(v.Elems))
		for i, e := range v.Elems {
			parts[i] = whole(e)
		}
		return "[" + strings.Join(parts, " ") + "]"
	case v.Kind == resp.KindBulk:
		return fmt.Sprintf("%q", v.Str)
	}
	return respclient.Text(v)
}

// sorted is whole of a reply whose elements have no order, in groups of so many.
func sorted(v resp.Value, group int) string {
	var parts []string
	for i := 0; i+group <= len(v.Elems); i += group {
		parts = append(parts, whole(resp.Value{Kind: resp.KindArray, Elems: v.Elems[i : i+group]}))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}
