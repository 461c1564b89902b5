package server

import (
	"maps"
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
	all := map[string]handler{
		"multi": multiCmd, "exec": exec, "discard": discard, "watch": watch, "unwatch": unwatch,
		"ping": ping, "echo": echo, "select": selectDB, "quit": quit, "tutti.status": status,
		"hello": hello, "auth": auth, "reset": reset,
	}
	for _, family := range []map[string]handler{
		clientHandlers(), commandHandlers(), configHandlers(), clusterHandlers(), adminHandlers(),
		slowlogHandlers(), aclHandlers(), scriptHandlers(),
	} {
		maps.Copy(all, family)
	}
	return all
}

func ping(c *conn, args [][]byte) {
	switch len(args) {
	case 1:
		c.simple("PONG")
	case 2:
		c.out = resp.AppendBulk(c.out, args[1])
	default:
		c.wrongArity("ping")
	}
}

func echo(c *conn, args [][]byte) { c.out = resp.AppendBulk(c.out, args[1]) }

func quit(c *conn, _ [][]byte) {
	c.ok()
	c.closed = true
}

func selectDB(c *conn, args [][]byte) {
	if _, ok := parseInt(args[1]); !ok {
		c.error(errNotInt)
		return
	}
	db, ok := parseDB(args[1])
	if !ok {
		c.error("ERR DB index is out of range")
		return
	}
	c.setDB(db)
	c.ok()
}

func (c *conn) setDB(db uint8) {
	c.db = db
	c.seenDB.Store(int32(db))
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
