package server

import (
	"bufio"
	"bytes"
	"fmt"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/resp"
)

// Libraries of functions. The shard with the lowest id gives their changes an order; this
// node then has all others keep what came of one before the client is answered.

// firstShard is the one with the lowest id, and false if there is none.
func firstShard(r *request) (id cluster.ShardID, ok bool) {
	for _, s := range r.s.cfg.Router.Shards() {
		if !ok || s.ID < id {
			id, ok = s.ID, true
		}
	}
	return id, ok
}

// askFirst has the first shard evaluate a command, whose reply it returns; nil if it has
// answered the error.
func askFirst(r *request, proto int, args ...string) []byte {
	id, ok := firstShard(r)
	if !ok {
		r.Error(errMoving)
		return nil
	}
	result := r.c.lanes.send(id, &group.Group{Proto: uint8(proto), Room: group.RepliesMax}, internal(args))
	switch {
	case result.Err != "":
		r.Error(result.Err)
		return nil
	case len(result.Reply.Replies) != 1:
		r.Error(errMoving)
		return nil
	}
	return result.Reply.Replies[0]
}

// asInternal is a command FUNCTION … as nodes send it.
func asInternal(args [][]byte) []string {
	words := []string{"TUTTI.FUNCTION"}
	for _, a := range args[1:] {
		words = append(words, string(a))
	}
	return words
}

// functionLook answers with what the first shard says.
func functionLook(r *request, args [][]byte) {
	r.Out = append(r.Out, askFirst(r, r.Proto, asInternal(args)...)...)
}

func functionFlush(r *request, args [][]byte) {
	if len(args) > 3 {
		unknownSubcommand(r, args)
		return
	}
	if len(args) == 3 && !resp.IsWord(args[2], "SYNC") && !resp.IsWord(args[2], "ASYNC") {
		r.Error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
		return
	}
	functionChange(r, args[:2])
}

func functionRestore(r *request, args [][]byte) {
	if len(args) > 4 {
		unknownSubcommand(r, args)
		return
	}
	functionChange(r, args)
}

// functionChange changes the libraries, and has every shard know them.
func functionChange(r *request, args [][]byte) {
	reply := askFirst(r, r.Proto, asInternal(args)...)
	if len(reply) == 0 || reply[0] == '-' {
		r.Out = append(r.Out, reply...)
		return
	}
	if spreadFunctions(r) {
		r.Out = append(r.Out, reply...)
	}
}

// spreadFunctions has all other shards keep the libraries of the first one, or answers the
// error.
func spreadFunctions(r *request) bool {
	if len(r.s.cfg.Router.Shards()) <= 1 {
		return true
	}
	record := askFirst(r, 2, "TUTTI.FUNCTION", "RECORD")
	if record == nil {
		return false
	}
	v, err := resp.ReadValue(bufio.NewReader(bytes.NewReader(record)))
	if err != nil || len(v.Elems) < 2 {
		r.Out = append(r.Out, record...)
		return false
	}
	words := []string{"TUTTI.FUNCTION", "KEEP"}
	for _, e := range v.Elems {
		words = append(words, string(e.Str))
	}
	first, _ := firstShard(r)
	for _, s := range r.s.cfg.Router.Shards() {
		if s.ID == first {
			continue
		}
		result := r.c.lanes.send(s.ID, &group.Group{Proto: 2, Room: group.RepliesMax}, internal(words))
		if len(result.Reply.Replies) != 1 || bytes.HasPrefix(result.Reply.Replies[0], []byte("-")) {
			r.Error(fmt.Sprintf("UNCERTAIN the libraries were changed, but shard %d has not confirmed that it knows them. Repeat the command to be sure.", s.ID))
			return false
		}
	}
	return true
}
