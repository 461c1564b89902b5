package task

import (
	"bytes"
	"strconv"
	"sync"

	"tutti/internal/keyspace"
)

// Ref is where a task lies. Numbers are never used twice.
type Ref struct {
	Slot   uint16
	Number uint64
}

// An id is "{tag}queue:number". The tag is three characters that hash to the task's
// slot, so an id is routed as any key with a hash tag; number is in base 36.

const (
	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	tagLen   = 3
	headLen  = tagLen + 2 // with its braces
	// QueueMax is how long the name of a queue may be.
	QueueMax = 128
)

// tags are the first three characters, in the order of alphabet, of each slot.
var tags = sync.OnceValue(func() *[keyspace.Slots][tagLen]byte {
	var t [keyspace.Slots][tagLen]byte
	for _, a := range []byte(alphabet) {
		for _, b := range []byte(alphabet) {
			for _, c := range []byte(alphabet) {
				tag := [tagLen]byte{a, b, c}
				if slot := keyspace.Slot(tag[:]); t[slot] == [tagLen]byte{} {
					t[slot] = tag
				}
			}
		}
	}
	return &t
})

// AppendID appends the id of a task of a queue to dst.
func AppendID(dst []byte, queue []byte, ref Ref) []byte {
	tag := tags()[ref.Slot]
	dst = append(append(append(dst, '{'), tag[:]...), '}')
	dst = append(append(dst, queue...), ':')
	return strconv.AppendUint(dst, ref.Number, 36)
}

// ParseID reads what AppendID wrote; every task has one spelling.
func ParseID(id []byte) (queue []byte, ref Ref, ok bool) {
	queue = QueueOf(id)
	if queue == nil {
		return nil, Ref{}, false
	}
	number, ok := parseNumber(id[headLen+len(queue)+1:])
	ref = Ref{Slot: keyspace.Slot(id), Number: number}
	tag := tags()[ref.Slot]
	return queue, ref, ok && string(tag[:]) == string(id[1:1+tagLen])
}

// QueueOf returns the queue that an id names, whose rights are those to the task;
// nil: it is no id.
func QueueOf(id []byte) []byte {
	colon := bytes.LastIndexByte(id, ':')
	if colon <= headLen || colon-headLen > QueueMax || id[0] != '{' || id[headLen-1] != '}' {
		return nil
	}
	return id[headLen:colon]
}

func parseNumber(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 13 || b[0] == '0' {
		return 0, false
	}
	for _, c := range b {
		d := uint64(c - '0')
		if c > '9' {
			d = uint64(c-'a') + 10
		}
		if c < '0' || c > '9' && c < 'a' || c > 'z' || n > (1<<64-1-d)/36 {
			return 0, false
		}
		n = 36*n + d
	}
	return n, true
}
