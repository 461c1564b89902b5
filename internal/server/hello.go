package server

// redisVersion is the version of Redis whose commands these are. Clients decide
// by it what they may use.
const redisVersion = "7.2.4"

const (
	defaultUser = "default"

	errNoPassword = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
	errWrongPass  = "WRONGPASS invalid username-password pair or user is disabled."
	errBadName    = "ERR Client names cannot contain spaces, newlines or special characters."
)

// hello chooses the protocol version, and may log in and name the connection.
// Nothing changes unless all of it can be done.
func hello(c *conn, args [][]byte) {
	proto := c.proto
	if len(args) > 1 {
		n, ok := parseInt(args[1])
		switch {
		case !ok:
			c.error("ERR Protocol version is not an integer or out of range")
			return
		case n != 2 && n != 3:
			c.error("NOPROTO unsupported protocol version")
			return
		}
		proto = int(n)
	}
	name, named := "", false
	for i := 2; i < len(args); i++ {
		switch more := len(args) - 1 - i; {
		case is(args[i], "AUTH") && more >= 2:
			if string(args[i+1]) != defaultUser {
				c.error(errWrongPass)
				return
			}
			i += 2
		case is(args[i], "SETNAME") && more >= 1:
			if name, named = string(args[i+1]), true; !plainText(name) {
				c.error(errBadName)
				return
			}
			i++
		default:
			c.error("ERR Syntax error in HELLO option '" + string(args[i]) + "'")
			return
		}
	}
	if named {
		c.name.Store(&name)
	}
	c.setProto(proto)
	c.describeServer()
}

func (c *conn) setProto(proto int) {
	c.proto = proto
	c.seenProto.Store(int32(proto))
}

func (c *conn) describeServer() {
	c.pairs(7)
	for _, pair := range [][2]string{{"server", "redis"}, {"version", redisVersion}} {
		c.bulk(pair[0])
		c.bulk(pair[1])
	}
	c.bulk("proto")
	c.int(int64(c.proto))
	c.bulk("id")
	c.int(int64(c.id))
	for _, pair := range [][2]string{{"mode", "standalone"}, {"role", "master"}} {
		c.bulk(pair[0])
		c.bulk(pair[1])
	}
	c.bulk("modules")
	c.array(0)
}

// auth accepts any password of the default user if it is named, as Redis does
// for a user without a password.
func auth(c *conn, args [][]byte) {
	switch {
	case len(args) > 3:
		c.error(errSyntax)
	case len(args) == 2:
		c.error(errNoPassword)
	case string(args[1]) != defaultUser:
		c.error(errWrongPass)
	default:
		c.ok()
	}
}

// reset brings the connection back to how it began, but for its id and what it
// told of its client library.
func reset(c *conn, _ [][]byte) {
	c.endMulti()
	c.setDB(0)
	c.setProto(2)
	c.quiet = replyOn
	c.noEvict.Store(false)
	c.noTouch.Store(false)
	empty := ""
	c.name.Store(&empty)
	c.simple("RESET")
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
