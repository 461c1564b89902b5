package server

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
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
	"SLOTS <shard> <first> <end>", "    Have a shard that this node leads own the slots from first to before end. No data moves. It breaks a cluster that is not prepared for it.",
}

func debug(r *request, args [][]byte) {
	if !r.s.cfg.Debug {
		r.Error(errDebug)
		return
	}
	switch name := strings.ToUpper(string(args[1])); {
	case name == "HELP" && len(args) == 2:
		r.Help("DEBUG", debugHelp)
	case name == "SLEEP" && len(args) == 3:
		debugSleep(r, args[2])
	case name == "SLOTS" && len(args) == 5:
		debugSlots(r, args[2:])
	case name == "PROTOCOL" && len(args) == 3:
		debugProtocol(r, strings.ToLower(string(args[2])))
	case name == "OBJECT" && len(args) >= 3:
		debugObject(r, args[2])
	case name == "ERROR" && len(args) == 3:
		r.Error(string(args[2]))
	case name == "LOG" && len(args) == 3:
		r.s.cfg.Logger.Warn("DEBUG LOG", "message", string(args[2]))
		r.OK()
	case name == "SET-ACTIVE-EXPIRE" && len(args) == 3, name == "QUICKLIST-PACKED-THRESHOLD" && len(args) == 3,
		name == "CHANGE-REPL-ID" && len(args) == 2, name == "RELOAD", name == "LOADAOF" && len(args) == 2, name == "JMAP" && len(args) == 2:
		r.OK()
	default:
		r.Error("ERR unknown subcommand or wrong number of arguments for '" + string(args[1]) + "'. Try DEBUG HELP.")
	}
}

func debugSleep(r *request, arg []byte) {
	seconds, err := strconv.ParseFloat(string(arg), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 {
		seconds = 0
	}
	r.c.sleep(time.Duration(min(seconds, timeoutMax.Seconds())*float64(time.Second)), nil)
	r.OK()
}

// debugSlots changes what a shard owns, for tests: nothing else does yet.
func debugSlots(r *request, args [][]byte) {
	var n [3]int64
	for i, arg := range args {
		var ok bool
		if n[i], ok = resp.ParseInt(arg); !ok || n[i] < 0 {
			r.Error(command.TextNotInt)
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := r.s.cfg.Router.SetSlots(ctx, cluster.ShardID(n[0]), cluster.SlotRange{First: int(n[1]), End: int(n[2])}); err != nil {
		r.Error("ERR " + err.Error())
		return
	}
	r.OK()
}

func debugObject(r *request, key []byte) {
	line, found := "", false
	ok := r.view(keyspace.Slot(key), func(tx eval.Reads) {
		line, found = "", false
		if o := tx.Open(r.c.session.db, key); o != nil {
			line, found = "Value at:0x0 refcount:1 encoding:"+o.Type.String()+" serializedlength:0 lru:0 lru_seconds_idle:0", true
		}
	})
	switch {
	case !ok:
	case !found:
		r.Error("ERR no such key")
	default:
		r.Simple(line)
	}
}

// debugProtocol answers with one value of each type, as Redis does: tests of
// clients know the values.
func debugProtocol(r *request, kind string) {
	switch kind {
	case "string":
		r.BulkString("Hello World")
	case "integer":
		r.Int(12345)
	case "double":
		r.Double(3.141)
	case "bignum":
		r.Out = resp.AppendBigNumber(r.Out, r.Proto, "1234567999999999999999999999999999999")
	case "null":
		r.Null()
	case "array":
		r.Array(3)
		r.counted(3)
	case "set":
		r.Set(3)
		r.counted(3)
	case "map":
		r.Map(3)
		for i := range 3 {
			r.Int(int64(i))
			r.Out = resp.AppendBool(r.Out, r.Proto, i == 1)
		}
	case "attrib":
		if r.Proto >= 3 {
			r.Out = append(r.Out, "|1\r\n"...)
			r.BulkString("key-popularity")
			r.Array(2)
			r.BulkString("key:123")
			r.Int(90)
		}
		r.BulkString("Some real reply following the attribute")
	case "push":
		if r.Proto < 3 {
			r.Error("ERR RESP2 is not supported by this command")
			return
		}
		r.Out = resp.AppendPush(r.Out, r.Proto, 2)
		r.BulkString("server-cpu-usage")
		r.Int(42)
		r.BulkString("Some real reply following the push reply")
	case "true", "false":
		r.Out = resp.AppendBool(r.Out, r.Proto, kind == "true")
	case "verbatim":
		r.Verbatim("This is a verbatim\nstring")
	default:
		r.Error("ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false")
	}
}

func (r *request) counted(n int) {
	for i := range n {
		r.Int(int64(i))
	}
}
