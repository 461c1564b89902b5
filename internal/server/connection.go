package server

import (
	"slices"
	"strconv"

	"tutti/internal/command"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

func connectionHandlers() map[string]handler {
	return map[string]handler{
		"ping": ping, "echo": echo, "select": selectDB, "quit": quit, "hello": hello, "auth": auth, "reset": reset,
	}
}

func ping(r *request, args [][]byte) {
	switch n := len(args); {
	case n <= 2 && r.c.session.onlyListens(): // it looks like a message then
		r.Array(2)
		r.BulkString("pong")
		r.Bulk(slices.Concat(args[1:]...))
		return
	}
	switch len(args) {
	case 1:
		r.Simple("PONG")
	case 2:
		r.Bulk(args[1])
	default:
		r.wrongArity("ping")
	}
}

func echo(r *request, args [][]byte) { r.Bulk(args[1]) }

func quit(r *request, _ [][]byte) {
	r.OK()
	r.c.closed = true
	r.c.face.quits.Store(true)
}

func selectDB(r *request, args [][]byte) {
	if _, ok := resp.ParseInt(args[1]); !ok {
		r.Error(command.TextNotInt)
		return
	}
	db, ok := parseDB(args[1])
	if !ok {
		r.Error("ERR DB index is out of range")
		return
	}
	r.c.session.setDB(db)
	r.OK()
}

func parseDB(arg []byte) (uint8, bool) {
	n, err := strconv.Atoi(string(arg))
	if err != nil || n < 0 || n >= keyspace.LogicalDatabases {
		return 0, false
	}
	return uint8(n), true
}
