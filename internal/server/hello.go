package server

import (
	"tutti/internal/resp"
)

// redisVersion is the version of Redis whose commands these are. Clients decide
// by it what they may use.
const redisVersion = "7.2.4"

const (
	errNoPassword = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
	errWrongPass  = "WRONGPASS invalid username-password pair or user is disabled."
	errBadName    = "ERR Client names cannot contain spaces, newlines or special characters."
)

// hello chooses the protocol version, and may log in and name the connection.
// Nothing changes unless all of it can be done.
func hello(r *request, args [][]byte) {
	proto := r.Proto
	if len(args) > 1 {
		n, ok := resp.ParseInt(args[1])
		switch {
		case !ok:
			r.Error("ERR Protocol version is not an integer or out of range")
			return
		case n != 2 && n != 3:
			r.Error("NOPROTO unsupported protocol version")
			return
		}
		proto = int(n)
	}
	name, named := "", false
	var login [][]byte
	for i := 2; i < len(args); i++ {
		switch more := len(args) - 1 - i; {
		case resp.IsWord(args[i], "AUTH") && more >= 2:
			login = args[i+1 : i+3]
			i += 2
		case resp.IsWord(args[i], "SETNAME") && more >= 1:
			if name, named = string(args[i+1]), true; !plainText(name) {
				r.Error(errBadName)
				return
			}
			i++
		default:
			r.Error("ERR Syntax error in HELLO option '" + string(args[i]) + "'")
			return
		}
	}
	if login != nil {
		if text := r.login(args[0], string(login[0]), login[1]); text != "" {
			r.Error(text)
			return
		}
	}
	if !r.c.session.admitted() {
		r.Error(errHelloNoAuth)
		return
	}
	if named {
		r.c.face.name.Store(&name)
	}
	if proto != r.c.session.proto {
		r.Out = r.c.out.speak(proto, r.Out)
	}
	r.c.session.setProto(proto)
	r.Proto = proto
	r.describeServer()
}

func (r *request) describeServer() {
	r.Map(7)
	for _, pair := range [][2]string{{"server", "redis"}, {"version", redisVersion}} {
		r.Pair(pair[0], pair[1])
	}
	r.BulkString("proto")
	r.Int(int64(r.Proto))
	r.BulkString("id")
	r.Int(int64(r.c.id))
	for _, pair := range [][2]string{{"mode", "standalone"}, {"role", "master"}} {
		r.Pair(pair[0], pair[1])
	}
	r.BulkString("modules")
	r.Array(0)
}

// reset brings the connection back to how it began, but for its id and what it
// told of its client library.
func reset(r *request, _ [][]byte) {
	r.c.listening.end(r.s.cfg.Messages)
	r.s.logs.monitors.leave(r.c)
	r.Out = r.c.out.speak(2, r.Out)
	r.c.session.reset(r.s.cfg.Users.Set())
	r.Proto = r.c.session.proto
	r.Simple("RESET")
}

// plainText reports whether s can stand in a line of CLIENT LIST.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}
