package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// reply is one RESP2 reply, as much of it as a load generator looks at.
type reply struct {
	kind byte   // + - : $ *
	text []byte // of + and -; the digits of : and of the length of *; the bytes of $
	null bool
}

var errIncomplete = errors.New("reply not complete yet")

// parseReply reads one reply and returns how many bytes it took. text aliases
// data.
func parseReply(data []byte) (reply, int, error) {
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		return reply{}, 0, errIncomplete
	}
	if end < 2 || data[end-1] != '\r' {
		return reply{}, 0, fmt.Errorf("not a RESP reply: %q", data[:min(len(data), 40)])
	}
	r := reply{kind: data[0], text: data[1 : end-1]}
	switch r.kind {
	case '+', '-', ':':
		return r, end + 1, nil
	case '$':
		n, err := strconv.Atoi(string(r.text))
		if err != nil || n < -1 {
			return reply{}, 0, fmt.Errorf("bulk length %q", r.text)
		}
		if n < 0 {
			return reply{kind: '$', null: true}, end + 1, nil
		}
		stop := end + 1 + n + 2
		if len(data) < stop {
			return reply{}, 0, errIncomplete
		}
		r.text = data[end+1 : stop-2]
		return r, stop, nil
	case '_':
		return reply{kind: '$', null: true}, end + 1, nil
	case '*':
		return parseArray(r, data, end+1)
	}
	return reply{}, 0, fmt.Errorf("unexpected reply type %q", r.kind)
}

// parseArray reads the elements of an array whose header is read, and lets them go.
func parseArray(r reply, data []byte, used int) (reply, int, error) {
	n, err := strconv.Atoi(string(r.text))
	if err != nil || n < -1 {
		return reply{}, 0, fmt.Errorf("array length %q", r.text)
	}
	r.null = n < 0
	for range max(n, 0) {
		_, took, err := parseReply(data[used:])
		if err != nil {
			return reply{}, 0, err
		}
		used += took
	}
	return r, used, nil
}

const valueLen = 100

// appendKey appends the key of number n: four bytes of what kind of key it is, and 12
// digits, so that all keys have one length and those of a kind sort by number.
func appendKey(dst []byte, kind string, n int) []byte {
	dst = append(append(dst, kind...), "000000000000"...)
	for i := len(dst) - 1; n > 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// appendSet and appendGet write the commands that are measured most without allocating.
func appendSet(dst []byte, key string, value []byte) []byte {
	dst = append(dst, "*3\r\n$3\r\nSET\r\n"...)
	dst = appendBulk(dst, key)
	dst = strconv.AppendInt(append(dst, '$'), int64(len(value)), 10)
	dst = append(append(dst, "\r\n"...), value...)
	return append(dst, '\r', '\n')
}

func appendGet(dst []byte, key string) []byte {
	return appendBulk(append(dst, "*2\r\n$3\r\nGET\r\n"...), key)
}

// appendCommand writes any command.
func appendCommand(dst []byte, args ...string) []byte {
	dst = strconv.AppendInt(append(dst, '*'), int64(len(args)), 10)
	dst = append(dst, '\r', '\n')
	for _, a := range args {
		dst = appendBulk(dst, a)
	}
	return dst
}

func appendBulk(dst []byte, s string) []byte {
	dst = strconv.AppendInt(append(dst, '$'), int64(len(s)), 10)
	dst = append(append(dst, "\r\n"...), s...)
	return append(dst, '\r', '\n')
}

// appendWait asks Redis to hold its answer until one replica has everything
// before it, for at most a second.
func appendWait(dst []byte) []byte {
	return append(dst, "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n1000\r\n"...)
}
