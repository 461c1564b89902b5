package server

import (
	"strconv"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// handler executes a command that the connection answers by itself: it appends
// exactly one reply to c.out.
type handler func(c *conn, args [][]byte)

// handlers maps names as in the command table, subcommands as "client|id", to
// what executes them.
func handlers() map[string]handler {
	return map[string]handler{
		"multi": multiCmd, "exec": exec, "discard": discard, "watch": watch, "unwatch": unwatch,
		"ping": ping, "echo": echo, "select": selectDB, "quit": quit, "tutti.status": status,
	}
}

func ping(c *conn, args [][]byte) {
	switch len(args) {
	case 1:
		c.out = resp.AppendSimple(c.out, "PONG")
	case 2:
		c.out = resp.AppendBulk(c.out, args[1])
	default:
		c.error("ERR wrong number of arguments for 'ping' command")
	}
}

func echo(c *conn, args [][]byte) { c.out = resp.AppendBulk(c.out, args[1]) }

func quit(c *conn, _ [][]byte) {
	c.ok()
	c.closed = true
}

func selectDB(c *conn, args [][]byte) {
	if _, err := strconv.ParseInt(string(args[1]), 10, 64); err != nil {
		c.error("ERR value is not an integer or out of range")
		return
	}
	db, ok := parseDB(args[1])
	if !ok {
		c.error("ERR DB index is out of range")
		return
	}
	c.db = db
	c.seenDB.Store(int32(db))
	c.ok()
}

func parseDB(arg []byte) (uint8, bool) {
	n, err := strconv.Atoi(string(arg))
	if err != nil || n < 0 || n >= keyspace.LogicalDatabases {
		return 0, false
	}
	return uint8(n), true
}

func status(c *conn, _ [][]byte) {
	b, err := c.s.cfg.Status(c.s.ctx)
	if err != nil {
		c.error("ERR " + err.Error())
		return
	}
	c.out = resp.AppendBulk(c.out, b)
}
