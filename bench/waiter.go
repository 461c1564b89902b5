package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// waiter stands before the primary of a Redis as a library would whose every call is
// followed by WAIT 1: programs that can't be told to wait are answered only when a second
// copy has what they wrote. What a client has sent at once is followed by one WAIT, and
// answered when that is.
type waiter struct {
	l  net.Listener
	to string
}

func startWaiter(to string) (*waiter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &waiter{l, to}
	go w.accept()
	return w, nil
}

func (w *waiter) addr() string { return w.l.Addr().String() }

func (w *waiter) accept() {
	for {
		client, err := w.l.Accept()
		if err != nil {
			return // it was closed
		}
		go w.serve(client)
	}
}

// serve ends with one of the connections, or when no second copy has something in time.
func (w *waiter) serve(client net.Conn) {
	defer client.Close()
	redis, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer redis.Close()
	in, answers := bufio.NewReaderSize(client, 64<<10), bufio.NewReaderSize(redis, 64<<10)
	inMulti := false
	for {
		sent, n, listens, err := batch(in, &inMulti)
		if err != nil {
			return
		}
		if listens {
			w.carry(client, redis, in, answers, sent)
			return
		}
		if !inMulti {
			sent = append(sent, "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n1000\r\n"...)
		}
		if _, err := redis.Write(sent); err != nil {
			return
		}
		var out []byte
		for range n {
			if out, err = appendReply(out, answers); err != nil {
				return
			}
		}
		if !inMulti {
			reply, err := appendReply(nil, answers)
			if err != nil || string(reply) == ":0\r\n" {
				return
			}
		}
		if _, err := client.Write(out); err != nil {
			return
		}
	}
}

// carry hands on everything as it comes, for one who has subscribed.
func (w *waiter) carry(client, redis net.Conn, in, answers io.Reader, sent []byte) {
	if _, err := redis.Write(sent); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(redis, in)
		redis.Close()
	}()
	_, _ = io.Copy(client, answers)
}

// togetherBytes is the most that goes together, unless one command is longer.
const togetherBytes = 1 << 20

// batch reads the commands that have arrived, one at least.
func batch(in *bufio.Reader, inMulti *bool) (sent []byte, n int, listens bool, err error) {
	for n == 0 || in.Buffered() > 0 && len(sent) < togetherBytes {
		at := len(sent)
		if sent, err = appendReply(sent, in); err != nil {
			return nil, 0, false, err
		}
		n++
		switch name := commandName(sent[at:]); name {
		case "MULTI":
			*inMulti = true
		case "EXEC", "DISCARD":
			*inMulti = false
		case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
			listens = true
		}
	}
	return sent, n, listens, nil
}

// commandName is the first word of a command, in capitals.
func commandName(cmd []byte) string {
	lines := bytes.SplitN(cmd, []byte("\r\n"), 4)
	if len(lines) < 4 {
		return ""
	}
	return string(bytes.ToUpper(lines[2]))
}

// appendReply appends the next value of RESP2 or RESP3, whole and as it is.
func appendReply(out []byte, from *bufio.Reader) ([]byte, error) {
	line, err := from.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	out = append(out, line...)
	if len(line) < 3 {
		return nil, errors.New("an empty line")
	}
	kind, parts := line[0], 1 // line is gone with the next read
	switch kind {
	case '+', '-', ':', '_', '#', ',', '(':
		return out, nil
	case '%', '|':
		parts = 2
	case '$', '=', '!', '*', '~', '>':
	default:
		return nil, fmt.Errorf("a line that begins with %q", kind)
	}
	n, err := strconv.Atoi(string(line[1 : len(line)-2]))
	if err != nil || n < 0 {
		return out, err // -1 is nothing
	}
	switch kind {
	case '$', '=', '!':
		at := len(out)
		out = append(out, make([]byte, n+2)...)
		_, err := io.ReadFull(from, out[at:])
		return out, err
	}
	for range parts * n {
		if out, err = appendReply(out, from); err != nil {
			return nil, err
		}
	}
	if kind == '|' { // an attribute: the value comes behind it
		return appendReply(out, from)
	}
	return out, nil
}
