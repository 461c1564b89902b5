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
	text []byte // of + and -; the digits of : ; the bytes of $
	null bool
}

var errIncomplete = errors.New("reply not complete yet")

// parseReply reads one reply and returns how many bytes it took. text aliases
// data. Arrays are refused: no command that is measured answers one.
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
	}
	return reply{}, 0, fmt.Errorf("unexpected reply type %q", r.kind)
}

const (
	keyLen   = len("key:000000000000")
	valueLen = 100
)

// appendKey appends the key of number n: "key:" and 12 digits, so that all
// keys have one length and sort by number.
func appendKey(dst []byte, n int) []byte {
	dst = append(dst, "key:000000000000"...)
	for i := len(dst) - 1; n > 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// appendSet and appendGet write the two measured commands without allocating.
func appendSet(dst []byte, key int, value []byte) []byte {
	dst = append(dst, "*3\r\n$3\r\nSET\r\n$16\r\n"...)
	dst = appendKey(dst, key)
	dst = append(dst, "\r\n$100\r\n"...)
	dst = append(dst, value[:valueLen]...)
	return append(dst, '\r', '\n')
}

func appendGet(dst []byte, key int) []byte {
	dst = append(dst, "*2\r\n$3\r\nGET\r\n$16\r\n"...)
	dst = appendKey(dst, key)
	return append(dst, '\r', '\n')
}

// appendWait asks Redis to hold its answer until one replica has everything
// before it, for at most a second.
func appendWait(dst []byte) []byte {
	return append(dst, "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n1000\r\n"...)
}
