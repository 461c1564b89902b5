package command

import (
	"bufio"
	"bytes"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
	"tutti/internal/task"
)

// A worker may hold tasks of several shards, and only their leaders know which. So its
// beat goes to all of them, to each with the ids that are its own; each part begins with
// a name that lies there, of nothing, so that it is routed as any key.

// Split says how a command that is about several shards becomes one for each of them.
type Split struct {
	// Parts returns a command for each of the shards; nil: it can't be split, whoever
	// evaluates it says why.
	Parts func(args [][]byte, shards []cluster.Shard) [][][]byte
	// Join makes one reply of the replies to the parts. An error is one of all only if
	// there is nothing else.
	Join func(w *resp.Writer, args [][]byte, replies [][]byte)
}

// beatKeys finds the keys of TUTTI.BEAT: where it goes, and the ids.
func beatKeys(args [][]byte) []int {
	keys := []int{1}
	for i := 3; i < len(args); i += 3 {
		keys = append(keys, i)
	}
	return keys
}

// beatParts splits TASK.BEAT.
func beatParts(args [][]byte, shards []cluster.Shard) [][][]byte {
	if len(args)%3 != 2 {
		return nil
	}
	parts := make([][][]byte, len(shards))
	for i, s := range shards {
		place := task.AppendID(nil, []byte("beat"), task.Ref{Slot: uint16(s.Slots.First), Number: 1})
		parts[i] = [][]byte{[]byte("TUTTI.BEAT"), place, args[1]}
	}
	for i := 2; i+2 < len(args); i += 3 {
		slot := int(keyspace.Slot(args[i]))
		at := 0 // whoever is asked says that it is no id
		for j, s := range shards {
			if s.Slots.First <= slot && slot < s.Slots.End {
				at = j
			}
		}
		parts[at] = append(parts[at], args[i:i+3]...)
	}
	return parts
}

// beatJoin joins the lists of tasks that the worker need not go on with: those that it
// named in the order in which it did, then others. A shard that does not answer renews
// all leases when it has a leader again, so the worker need not end for it, unless it
// has said something of its tasks there, or none answers at all.
func beatJoin(w *resp.Writer, args [][]byte, replies [][]byte) {
	stop := make(map[string]bool)
	var others [][]byte
	var failed *resp.Value
	answers := 0
	for _, reply := range replies {
		v, err := resp.ReadValue(bufio.NewReader(bytes.NewReader(reply)))
		if err != nil || v.IsError() {
			failed = &v
			continue
		}
		answers++
		for _, e := range v.Elems {
			if !stop[string(e.Str)] {
				stop[string(e.Str)] = true
				others = append(others, e.Str)
			}
		}
	}
	if failed != nil && (answers == 0 || len(args) > 2) {
		w.Error(string(failed.Str))
		return
	}
	var list [][]byte
	for i := 2; i < len(args); i += 3 {
		if stop[string(args[i])] {
			list = append(list, args[i])
		}
	}
	list = withoutRepetitions(append(list, others...))
	w.Array(len(list))
	for _, id := range list {
		w.Bulk(id)
	}
}

// tuttiBeat is a part of TASK.BEAT.
func tuttiBeat(c *Ctx) {
	whole := c.Args
	c.Args = append([][]byte{whole[0]}, whole[2:]...)
	taskBeat(c)
	c.Args = whole
}
