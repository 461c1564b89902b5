package runner

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"sync"

	"tutti/internal/resp"
)

// link is a connection of the node to itself, made anew when it is lost. It belongs
// to one goroutine, but for close.
type link struct {
	dial func() net.Conn

	mu     sync.Mutex // guards conn and closed, for close
	conn   net.Conn
	closed bool

	in  *bufio.Reader
	out []byte
}

var errClosed = errors.New("the link is closed")

// open returns the connection.
func (l *link) open() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	if l.conn == nil {
		l.conn = l.dial()
		l.in = bufio.NewReader(l.conn)
	}
	return l.conn, nil
}

// drop forgets a connection that is of no more use.
func (l *link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.Close()
	}
	l.conn = nil
}

// close ends the link, from any goroutine: who waits for an answer gets none.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.conn != nil {
		l.conn.Close()
	}
}

// replyError is an error that the cluster has answered.
type replyError struct{ text string }

func (e *replyError) Error() string { return e.text }

// passing reports whether it may be another answer after a while.
func (e *replyError) passing() bool {
	code, _, _ := strings.Cut(e.text, " ")
	switch code {
	case "TRYAGAIN", "CLUSTERDOWN", "BUSY", "UNCERTAIN", "LOADING", "OOM", "NOSPACE", "UNBLOCKED":
		return true
	}
	return false
}

// errorOf is the error that an answer is; nil: it is none.
func errorOf(v resp.Value) error {
	if v.IsError() {
		return &replyError{string(v.Str)}
	}
	return nil
}

// do sends a command and waits for the answer.
func (l *link) do(args ...string) (resp.Value, error) {
	replies, err := l.doAll(args)
	if err == nil {
		err = errorOf(replies[0])
	}
	if err != nil {
		return resp.Value{}, err
	}
	return replies[0], nil
}

// doAll sends commands at once and waits for all answers. An error is one of the
// connection: nobody knows which of them were executed.
func (l *link) doAll(commands ...[]string) ([]resp.Value, error) {
	conn, err := l.open()
	if err != nil {
		return nil, err
	}
	l.out = l.out[:0]
	for _, args := range commands {
		l.out = resp.AppendCommandStrings(l.out, args...)
	}
	if cap(l.out) > linkKeep {
		defer func() { l.out = nil }()
	}
	replies := make([]resp.Value, len(commands))
	_, err = conn.Write(l.out)
	for i := range replies {
		if err == nil {
			replies[i], err = resp.ReadValue(l.in)
		}
	}
	if err != nil {
		l.drop()
		return nil, err
	}
	return replies, nil
}

// linkKeep is the size of a buffer that is kept.
const linkKeep = 64 << 10
