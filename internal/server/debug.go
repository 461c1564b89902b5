package server

import (
	"math"
	"strconv"
	"strings"
	"time"

	"tutti/internal/eval"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

const errDebug = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."

// debugHelp pairs what is understood with what it does.
var debugHelp = []string{
	"CHANGE-REPL-ID", "    Accepted, without effect.",
	"ERROR <string>", "    Answer with an error.",
	"JMAP", "    Accepted, without effect.",
	"LOG <message>", "    Write a message to the log.",
	"OBJECT <key>", "    Show what is known of the object at a key.",
	"PROTOCOL <type>", "    Answer with a value of a type: string, integer, double, bignum, null, array, set, map, attrib, push, verbatim, true or false.",
	"QUICKLIST-PACKED-THRESHOLD <size>", "    Accepted, without effect.",
	"RELOAD", "    Accepted, without effect: what was acknowledged is on disk.",
	"SET-ACTIVE-EXPIRE <0|1>", "    Accepted, without effect.",
	"SLEEP <seconds>", "    Make this connection wait.",
}

func debug(c *conn, args [][]byte) {
	if !c.s.cfg.Debug {
		c.error(errDebug)
		return
	}
	switch name := strings.ToUpper(string(args[1])); {
	case name == "HELP" && len(args) == 2:
		c.helpText("DEBUG", debugHelp)
	case name == "SLEEP" && len(args) == 3:
		debugSleep(c, args[2])
	case name == "PROTOCOL" && len(args) == 3:
		debugProtocol(c, strings.ToLower(string(args[2])))
	case name == "OBJECT" && len(args) >= 3:
		debugObject(c, args[2])
	case name == "ERROR" && len(args) == 3:
		c.error(string(args[2]))
	case name == "LOG" && len(args) == 3:
		c.s.cfg.Logger.Warn("DEBUG LOG", "message", string(args[2]))
		c.ok()
	case name == "SET-ACTIVE-EXPIRE" && len(args) == 3, name == "QUICKLIST-PACKED-THRESHOLD" && len(args) == 3,
		name == "CHANGE-REPL-ID" && len(args) == 2, name == "RELOAD", name == "LOADAOF" && len(args) == 2, name == "JMAP" && len(args) == 2:
		c.ok()
	default:
		c.error("ERR unknown subcommand or wrong number of arguments for '" + string(args[1]) + "'. Try DEBUG HELP.")
	}
}

func debugSleep(c *conn, arg []byte) {
	seconds, err := strconv.ParseFloat(string(arg), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 {
		seconds = 0
	}
	c.sleep(time.Duration(min(seconds, timeoutMax.Seconds())*float64(time.Second)), nil)
	c.ok()
}

func debugObject(c *conn, key []byte) {
	line, found := "", false
	ok := true
	c.read(c.s.cfg.Router.Shard(keyspace.Slot(key)), 0, 0, func(tx *eval.Reads) {
		line, found = "", false
		if o := tx.Open(c.db, key); o != nil {
			line, found = "Value at:0x0 refcount:1 encoding:"+o.Type.String()+" serializedlength:0 lru:0 lru_seconds_idle:0", true
		}
	}, func(text string) {
		c.error(text)
		ok = false
	})
	switch {
	case !ok:
	case !found:
		c.error("ERR no such key")
	default:
		c.simple(line)
	}
}

// debugProtocol answers with one value of each type, as Redis does: tests of
// clients know the values.
func debugProtocol(c *conn, kind string) {
	switch kind {
	case "string":
		c.bulk("Hello World")
	case "integer":
		c.int(12345)
	case "double":
		c.out = resp.AppendDouble(c.out, c.proto, 3.141)
	case "bignum":
		c.out = resp.AppendBigNumber(c.out, c.proto, "1234567999999999999999999999999999999")
	case "null":
		c.null()
	case "array":
		c.array(3)
		c.counted(3)
	case "set":
		c.set(3)
		c.counted(3)
	case "map":
		c.pairs(3)
		for i := range 3 {
			c.int(int64(i))
			c.out = resp.AppendBool(c.out, c.proto, i == 1)
		}
	case "attrib":
		if c.proto >= 3 {
			c.out = append(c.out, "|1\r\n"...)
			c.bulk("key-popularity")
			c.array(2)
			c.bulk("key:123")
			c.int(90)
		}
		c.bulk("Some real reply following the attribute")
	case "push":
		if c.proto < 3 {
			c.error("ERR RESP2 is not supported by this command")
			return
		}
		c.out = resp.AppendPush(c.out, c.proto, 2)
		c.bulk("server-cpu-usage")
		c.int(42)
		c.bulk("Some real reply following the push reply")
	case "true", "false":
		c.out = resp.AppendBool(c.out, c.proto, kind == "true")
	case "verbatim":
		c.verbatim("This is a verbatim\nstring")
	default:
		c.error("ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false")
	}
}

func (c *conn) counted(n int) {
	for i := range n {
		c.int(int64(i))
	}
}
