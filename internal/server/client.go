package server

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

func clientHandlers() map[string]handler {
	return map[string]handler{
		"client|id":      func(c *conn, _ [][]byte) { c.int(int64(c.id)) },
		"client|info":    func(c *conn, args [][]byte) { c.verbatim(c.line(args)) },
		"client|list":    clientList,
		"client|kill":    clientKill,
		"client|getname": clientGetname,
		"client|setname": clientSetname,
		"client|setinfo": clientSetinfo,
		"client|no-evict": func(c *conn, args [][]byte) {
			c.onOff(args[2], &c.noEvict)
		},
		"client|no-touch": func(c *conn, args [][]byte) {
			c.onOff(args[2], &c.noTouch)
		},
		"client|reply":        clientReply,
		"client|getredir":     func(c *conn, _ [][]byte) { c.int(-1) },
		"client|trackinginfo": clientTrackinginfo,
		"client|pause":        clientPause,
		"client|unpause":      clientUnpause,
		"client|unblock":      clientUnblock,
		"client|help":         help,
	}
}

func clientGetname(c *conn, _ [][]byte) {
	if name := *c.name.Load(); name != "" {
		c.bulk(name)
	} else {
		c.null()
	}
}

func clientSetname(c *conn, args [][]byte) {
	name := string(args[2])
	if !plainText(name) {
		c.error(errBadName)
		return
	}
	c.name.Store(&name)
	c.ok()
}

func clientSetinfo(c *conn, args [][]byte) {
	value := string(args[3])
	var field *atomic.Pointer[string]
	switch {
	case is(args[2], "LIB-NAME"):
		field = &c.libName
	case is(args[2], "LIB-VER"):
		field = &c.libVer
	default:
		c.error("ERR Unrecognized option '" + string(args[2]) + "'")
		return
	}
	if !plainText(value) {
		c.error("ERR " + strings.ToLower(string(args[2])) + " cannot contain spaces, newlines or special characters.")
		return
	}
	field.Store(&value)
	c.ok()
}

func (c *conn) onOff(arg []byte, to *atomic.Bool) {
	if !is(arg, "ON") && !is(arg, "OFF") {
		c.error(errSyntax)
		return
	}
	to.Store(is(arg, "ON"))
	c.ok()
}

// clientReply sets what hush does to this reply and those after it.
func clientReply(c *conn, args [][]byte) {
	switch {
	case is(args[2], "ON"):
		c.quiet = replyOn
	case is(args[2], "OFF"):
		c.quiet = replyOff
	case is(args[2], "SKIP"):
		if c.quiet != replyOff {
			c.quiet = replySkip
		}
	default:
		c.error(errSyntax)
		return
	}
	c.ok()
}

func clientTrackinginfo(c *conn, _ [][]byte) {
	c.pairs(3)
	c.bulk("flags")
	c.set(1)
	c.bulk("off")
	c.bulk("redirect")
	c.int(-1)
	c.bulk("prefixes")
	c.array(0)
}

// clientUnblock finds nobody to unblock: there are no blocking commands yet.
func clientUnblock(c *conn, args [][]byte) {
	if len(args) > 4 {
		c.error(errSyntax)
		return
	}
	if len(args) == 4 && !is(args[3], "TIMEOUT") && !is(args[3], "ERROR") {
		c.error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
		return
	}
	if _, ok := parseInt(args[2]); !ok {
		c.error(errNotInt)
		return
	}
	c.int(0)
}

// line describes a connection as CLIENT LIST does. args is the command being
// executed if the connection is the caller's own, else nil.
func (c *conn) line(args [][]byte) string {
	now := time.Now()
	flags := ""
	if c.blocked.Load() {
		flags += "b"
	}
	if c.seenMulti.Load() >= 0 {
		flags += "x"
	}
	if c.noEvict.Load() {
		flags += "e"
	}
	if c.noTouch.Load() {
		flags += "T"
	}
	if flags == "" {
		flags = "N"
	}
	idle := now.Sub(time.Unix(0, c.lastAt.Load()))
	query := encodedLen(args)
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=%d name=%s age=%d idle=%d flags=%s db=%d sub=0 psub=0 ssub=0 multi=%d "+
		"qbuf=%d qbuf-free=0 argv-mem=%d multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=%d events=r cmd=%s user=%s redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
		c.id, c.remote(), c.local(), c.id, *c.name.Load(), int64(now.Sub(c.born)/time.Second), int64(max(idle, 0)/time.Second), flags,
		c.seenDB.Load(), c.seenMulti.Load(), query, query, query, c.lastName(), defaultUser, c.seenProto.Load(), *c.libName.Load(), *c.libVer.Load())
}

func (c *conn) remote() string { return c.nc.RemoteAddr().String() }
func (c *conn) local() string  { return c.nc.LocalAddr().String() }

func (c *conn) lastName() string {
	if name := *c.lastCmd.Load(); name != "" {
		return name
	}
	return "NULL"
}

// encodedLen returns how many bytes args took on the wire.
func encodedLen(args [][]byte) int {
	if len(args) == 0 {
		return 0
	}
	header := func(n int) int { return 1 + len(strconv.Itoa(n)) + 2 }
	size := header(len(args))
	for _, a := range args {
		size += header(len(a)) + len(a) + 2
	}
	return size
}

func clientList(c *conn, args [][]byte) {
	wanted := func(*conn) bool { return true }
	switch {
	case len(args) == 2:
	case len(args) == 4 && is(args[2], "TYPE"):
		normal, ok := clientType(args[3])
		if !ok {
			c.error("ERR Unknown client type '" + string(args[3]) + "'")
			return
		}
		wanted = func(*conn) bool { return normal }
	case len(args) > 3 && is(args[2], "ID"):
		ids := make(map[uint64]bool)
		for _, a := range args[3:] {
			id, ok := clientID(a)
			if !ok {
				c.error("ERR Invalid client ID")
				return
			}
			ids[id] = true
		}
		wanted = func(o *conn) bool { return ids[o.id] }
	default:
		c.error(errSyntax)
		return
	}
	var text strings.Builder
	for _, o := range c.s.clients() {
		switch {
		case !wanted(o):
		case o == c:
			text.WriteString(o.line(args))
		default:
			text.WriteString(o.line(nil))
		}
	}
	c.verbatim(text.String())
}

// clientType parses a type of clients; all there are yet are normal.
func clientType(arg []byte) (normal, ok bool) {
	switch strings.ToLower(string(arg)) {
	case "normal":
		return true, true
	case "master", "slave", "replica", "pubsub":
		return false, true
	}
	return false, false
}

func clientID(arg []byte) (uint64, bool) {
	id, ok := parseInt(arg)
	return uint64(id), ok && id > 0
}

// clientKill closes connections: the one with an address, answering OK, or all
// that pass the filters, answering their number.
func clientKill(c *conn, args [][]byte) {
	if len(args) == 3 {
		addr := string(args[2])
		if c.killAll(func(o *conn) bool { return o.remote() == addr }) == 0 {
			c.error("ERR No such client")
			return
		}
		c.ok()
		return
	}
	filter, ok := c.killFilter(args[2:])
	if ok {
		n := c.killAll(filter)
		c.int(int64(n))
	}
}

func (c *conn) killFilter(options [][]byte) (passes func(o *conn) bool, ok bool) {
	if len(options)%2 != 0 {
		c.error(errSyntax)
		return nil, false
	}
	skipMe := true
	var tests []func(o *conn) bool
	for i := 0; i < len(options); i += 2 {
		value := options[i+1]
		test, text := (func(o *conn) bool)(nil), ""
		switch {
		case is(options[i], "ID"):
			id, valid := clientID(value)
			if !valid {
				text = "ERR client-id should be greater than 0"
			}
			test = func(o *conn) bool { return o.id == id }
		case is(options[i], "TYPE"):
			normal, valid := clientType(value)
			if !valid {
				text = "ERR Unknown client type '" + string(value) + "'"
			}
			test = func(*conn) bool { return normal }
		case is(options[i], "ADDR"):
			addr := string(value)
			test = func(o *conn) bool { return o.remote() == addr }
		case is(options[i], "LADDR"):
			addr := string(value)
			test = func(o *conn) bool { return o.local() == addr }
		case is(options[i], "USER"):
			if string(value) != defaultUser {
				text = "ERR No such user '" + string(value) + "'"
			}
			test = func(*conn) bool { return true }
		case is(options[i], "SKIPME") && (is(value, "YES") || is(value, "NO")):
			skipMe = is(value, "YES")
			continue
		default:
			text = errSyntax
		}
		if text != "" {
			c.error(text)
			return nil, false
		}
		tests = append(tests, test)
	}
	return func(o *conn) bool {
		if o == c && skipMe {
			return false
		}
		for _, test := range tests {
			if !test(o) {
				return false
			}
		}
		return true
	}, true
}

// killAll closes the connections that pass, this one after its replies, and
// returns how many.
func (c *conn) killAll(passes func(o *conn) bool) (n int) {
	for _, o := range c.s.clients() {
		if !passes(o) {
			continue
		}
		n++
		if o == c {
			c.closed = true
		} else {
			o.kill()
		}
	}
	return n
}

// kill closes the connection on behalf of another.
func (c *conn) kill() {
	c.goneOnce.Do(func() { close(c.gone) })
	c.nc.Close()
}
