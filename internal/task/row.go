package task

import (
	"encoding/binary"

	"tutti/internal/keyspace"
)

// Kinds of rows below the prefix; doc.go draws them.
const (
	kindHead     = 'h'
	kindState    = 's'
	kindClaim    = 'c'
	kindTimer    = 'd'
	kindChild    = 'a'
	kindOutbox   = 'o'
	kindQueue    = 'q'
	kindReady    = 'r'
	kindNear     = 'n'
	kindUnique   = 'u'
	kindGroup    = 'k'
	kindTurn     = 'w'
	prefixLen    = 5
	refLen       = 10
	version      = 1
	timerRowLen  = prefixLen + 17
	numberRowLen = prefixLen + 8
)

// Kinds of timers.
const (
	timerRun     = 'r'
	timerTimeout = 't'
	timerExpiry  = 'x'
	timerKeep    = 'k'
)

var be = binary.BigEndian

func prefix(dst []byte, slot uint16, kind byte) []byte {
	return append(keyspace.TaskPrefix(dst, slot), kind)
}

func numberRow(dst []byte, kind byte, ref Ref) []byte {
	return be.AppendUint64(prefix(dst, ref.Slot, kind), ref.Number)
}

func timerRow(dst []byte, ref Ref, due int64, kind byte) []byte {
	dst = be.AppendUint64(prefix(dst, ref.Slot, kindTimer), uint64(due))
	return append(be.AppendUint64(dst, ref.Number), kind)
}

func childPrefix(dst []byte, parent Ref) []byte { return numberRow(dst, kindChild, parent) }

func childRow(dst []byte, parent, child Ref) []byte {
	return appendRef(childPrefix(dst, parent), child)
}

func appendRef(dst []byte, r Ref) []byte {
	return be.AppendUint64(be.AppendUint16(dst, r.Slot), r.Number)
}

func refOf(b []byte) Ref { return Ref{be.Uint16(b), be.Uint64(b[2:])} }

// homeSlot is the slot of a queue's own rows.
func homeSlot(queue []byte) uint16 { return keyspace.Slot(queue) }

func queueRow(dst, queue []byte) []byte {
	return append(prefix(dst, homeSlot(queue), kindQueue), queue...)
}

// QueueTopic is what is signalled when a task of the queue can be claimed.
func QueueTopic(queue []byte) []byte { return queueRow(nil, queue) }

// Topic is what is signalled when a task ends.
func Topic(ref Ref) []byte { return numberRow(nil, kindState, ref) }

// ofQueue begins a row of a queue that has more behind the queue's name.
func ofQueue(dst []byte, kind byte, queue []byte) []byte {
	dst = append(prefix(dst, homeSlot(queue), kind), byte(len(queue)))
	return append(dst, queue...)
}

func readyPrefix(dst, queue []byte, prio uint8) []byte {
	return append(ofQueue(dst, kindReady, queue), prioMax-prio)
}

func readyRow(dst, queue []byte, prio uint8, order uint64) []byte {
	return be.AppendUint64(readyPrefix(dst, queue, prio), order)
}

func nearRow(dst, queue []byte, ref Ref) []byte { return appendRef(ofQueue(dst, kindNear, queue), ref) }

func uniqueRow(dst, queue, key []byte) []byte {
	return append(ofQueue(dst, kindUnique, queue), key...)
}

func ofKey(dst []byte, kind byte, queue, key []byte) []byte {
	return append(be.AppendUint16(ofQueue(dst, kind, queue), uint16(len(key))), key...)
}

func groupRow(dst, queue, key []byte) []byte { return ofKey(dst, kindGroup, queue, key) }

func turnRow(dst, queue, key []byte, order uint64) []byte {
	return be.AppendUint64(ofKey(dst, kindTurn, queue, key), order)
}

// refValue is the value of rows that lead to a task.
func refValue(dst []byte, ref Ref) []byte { return appendRef(append(dst, version), ref) }

// timer is what a row of the timers says.
type timer struct {
	ref  Ref
	due  int64
	kind byte
}

func timerOf(row []byte) (t timer, ok bool) {
	slot, rest, ok := keyspace.TaskRow(row)
	if !ok || len(row) != timerRowLen || rest[0] != kindTimer {
		return timer{}, false
	}
	return timer{Ref{slot, be.Uint64(rest[9:])}, int64(be.Uint64(rest[1:])), rest[17]}, true
}
