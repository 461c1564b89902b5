package server

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tutti/internal/command"
	"tutti/internal/resp"
)

func clientHandlers() map[string]handler {
	return map[string]handler{
		"client|id":      func(r *request, _ [][]byte) { r.Int(int64(r.c.id)) },
		"client|info":    func(r *request, args [][]byte) { r.Verbatim(r.c.line(args)) },
		"client|list":    clientList,
		"client|kill":    clientKill,
		"client|getname": clientGetname,
		"client|setname": clientSetname,
		"client|setinfo": clientSetinfo,
		"client|no-evict": func(r *request, args [][]byte) {
			r.onOff(args[2], &r.c.face.noEvict)
		},
		"client|no-touch": func(r *request, args [][]byte) {
			r.onOff(args[2], &r.c.face.noTouch)
		},
		"client|reply":        clientReply,
		"client|caching":      clientCaching,
		"client|tracking":     clientTracking,
		"client|getredir":     func(r *request, _ [][]byte) { r.Int(r.c.face.tracked.Load().target()) },
		"client|trackinginfo": clientTrackinginfo,
		"client|pause":        clientPause,
		"client|unpause":      clientUnpause,
		"client|unblock":      clientUnblock,
		"client|help":         help,
	}
}

func clientGetname(r *request, _ [][]byte) {
	if name := *r.c.face.name.Load(); name != "" {
		r.BulkString(name)
	} else {
		r.Null()
	}
}

func clientSetname(r *request, args [][]byte) {
	name := string(args[2])
	if !plainText(name) {
		r.Error(errBadName)
		return
	}
	r.c.face.name.Store(&name)
	r.OK()
}

func clientSetinfo(r *request, args [][]byte) {
	value := string(args[3])
	var field *atomic.Pointer[string]
	switch {
	case resp.IsWord(args[2], "LIB-NAME"):
		field = &r.c.face.libName
	case resp.IsWord(args[2], "LIB-VER"):
		field = &r.c.face.libVer
	default:
		r.Error("ERR Unrecognized option '" + string(args[2]) + "'")
		return
	}
	if !plainText(value) {
		r.Error("ERR " + strings.ToLower(string(args[2])) + " cannot contain spaces, newlines or special characters.")
		return
	}
	field.Store(&value)
	r.OK()
}

func (r *request) onOff(arg []byte, to *atomic.Bool) {
	if !resp.IsWord(arg, "ON") && !resp.IsWord(arg, "OFF") {
		r.Error(command.TextSyntax)
		return
	}
	to.Store(resp.IsWord(arg, "ON"))
	r.OK()
}

// clientReply sets what hush does to this reply and those after it.
func clientReply(r *request, args [][]byte) {
	switch {
	case resp.IsWord(args[2], "ON"):
		r.c.session.quiet = replyOn
	case resp.IsWord(args[2], "OFF"):
		r.c.session.quiet = replyOff
	case resp.IsWord(args[2], "SKIP"):
		if r.c.session.quiet != replyOff {
			r.c.session.quiet = replySkip
		}
	default:
		r.Error(command.TextSyntax)
		return
	}
	r.OK()
}

// clientUnblock ends the waiting of a client's command.
func clientUnblock(r *request, args [][]byte) {
	if len(args) > 4 {
		r.Error(command.TextSyntax)
		return
	}
	why := timedOut
	if len(args) == 4 {
		switch {
		case resp.IsWord(args[3], "ERROR"):
			why = unblocked
		case !resp.IsWord(args[3], "TIMEOUT"):
			r.Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
			return
		}
	}
	id, ok := resp.ParseInt(args[2])
	if !ok {
		r.Error(command.TextNotInt)
		return
	}
	if c := r.s.client(uint64(id)); c != nil {
		if b := c.face.waiting.Load(); b != nil && b.end(why) {
			r.Int(1)
			return
		}
	}
	r.Int(0)
}

// line describes a connection as CLIENT LIST does. args is the command being
// executed if the connection is the caller's own, else nil.
func (c *conn) line(args [][]byte) string {
	now := time.Now()
	flags := ""
	if c.face.listens() {
		flags += "P"
	}
	if c.face.monitors.Load() {
		flags += "O"
	}
	if c.face.blocked.Load() {
		flags += "b"
	}
	if c.face.queued.Load() >= 0 {
		flags += "x"
	}
	flags += c.face.tracked.Load().letters()
	if c.face.noEvict.Load() {
		flags += "e"
	}
	if c.face.noTouch.Load() {
		flags += "T"
	}
	if flags == "" {
		flags = "N"
	}
	idle := now.Sub(time.Unix(0, c.face.lastAt.Load()))
	query := encodedLen(args)
	channels, patterns, shardChannels := c.face.subscriptions()
	pushes, pushBytes := c.out.waiting()
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=%d name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=%d "+
		"qbuf=%d qbuf-free=0 argv-mem=%d multi-mem=0 rbs=0 rbp=0 obl=0 oll=%d omem=%d tot-mem=%d events=r cmd=%s user=%s redir=%d resp=%d lib-name=%s lib-ver=%s\n",
		c.id, c.nc.RemoteAddr().String(), c.nc.LocalAddr().String(), c.id, *c.face.name.Load(), int64(now.Sub(c.born)/time.Second), int64(max(idle, 0)/time.Second), flags,
		c.face.db.Load(), channels, patterns, shardChannels, c.face.queued.Load(), query, query, pushes, pushBytes, int64(query)+pushBytes, c.lastName(), c.face.user.Load().Name, c.face.tracked.Load().target(), c.face.proto.Load(), *c.face.libName.Load(), *c.face.libVer.Load())
}

// remote returns the address of the client, local the one it called.

func (c *conn) lastName() string {
	if name := *c.face.lastCmd.Load(); name != "" {
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

func clientList(r *request, args [][]byte) {
	wanted := func(*conn) bool { return true }
	switch {
	case len(args) == 2:
	case len(args) == 4 && resp.IsWord(args[2], "TYPE"):
		ofType, ok := clientType(args[3])
		if !ok {
			r.Error("ERR Unknown client type '" + string(args[3]) + "'")
			return
		}
		wanted = ofType
	case len(args) > 3 && resp.IsWord(args[2], "ID"):
		ids := make(map[uint64]bool)
		for _, a := range args[3:] {
			id, ok := clientID(a)
			if !ok {
				r.Error("ERR Invalid client ID")
				return
			}
			ids[id] = true
		}
		wanted = func(o *conn) bool { return ids[o.id] }
	default:
		r.Error(command.TextSyntax)
		return
	}
	var text strings.Builder
	for _, o := range r.s.clients() {
		switch {
		case !wanted(o):
		case o == r.c:
			text.WriteString(o.line(args))
		default:
			text.WriteString(o.line(nil))
		}
	}
	r.Verbatim(text.String())
}

// clientType parses a type of clients; nodes are none.
func clientType(arg []byte) (is func(o *conn) bool, ok bool) {
	switch strings.ToLower(string(arg)) {
	case "normal":
		return func(o *conn) bool { return !o.face.listens() }, true
	case "pubsub":
		return func(o *conn) bool { return o.face.listens() }, true
	case "master", "slave", "replica":
		return func(*conn) bool { return false }, true
	}
	return nil, false
}

func clientID(arg []byte) (uint64, bool) {
	id, ok := resp.ParseInt(arg)
	return uint64(id), ok && id > 0
}

// clientKill closes connections: the one with an address, answering OK, or all
// that pass the filters, answering their number.
func clientKill(r *request, args [][]byte) {
	if len(args) == 3 {
		addr := string(args[2])
		if r.killAll(func(o *conn) bool { return o.nc.RemoteAddr().String() == addr }) == 0 {
			r.Error("ERR No such client")
			return
		}
		r.OK()
		return
	}
	filter, ok := r.killFilter(args[2:])
	if ok {
		n := r.killAll(filter)
		r.Int(int64(n))
	}
}

func (r *request) killFilter(options [][]byte) (passes func(o *conn) bool, ok bool) {
	if len(options)%2 != 0 {
		r.Error(command.TextSyntax)
		return nil, false
	}
	skipMe := true
	var tests []func(o *conn) bool
	for i := 0; i < len(options); i += 2 {
		value := options[i+1]
		test, text := (func(o *conn) bool)(nil), ""
		switch {
		case resp.IsWord(options[i], "ID"):
			id, valid := clientID(value)
			if !valid {
				text = "ERR client-id should be greater than 0"
			}
			test = func(o *conn) bool { return o.id == id }
		case resp.IsWord(options[i], "TYPE"):
			ofType, valid := clientType(value)
			if !valid {
				text = "ERR Unknown client type '" + string(value) + "'"
			}
			test = ofType
		case resp.IsWord(options[i], "ADDR"):
			addr := string(value)
			test = func(o *conn) bool { return o.nc.RemoteAddr().String() == addr }
		case resp.IsWord(options[i], "LADDR"):
			addr := string(value)
			test = func(o *conn) bool { return o.nc.LocalAddr().String() == addr }
		case resp.IsWord(options[i], "USER"):
			name := string(value)
			if r.s.cfg.Users.Set().User(name) == nil {
				text = "ERR No such user '" + name + "'"
			}
			test = func(o *conn) bool { return o.face.user.Load().Name == name }
		case resp.IsWord(options[i], "SKIPME") && (resp.IsWord(value, "YES") || resp.IsWord(value, "NO")):
			skipMe = resp.IsWord(value, "YES")
			continue
		default:
			text = command.TextSyntax
		}
		if text != "" {
			r.Error(text)
			return nil, false
		}
		tests = append(tests, test)
	}
	return func(o *conn) bool {
		if o == r.c && skipMe {
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
// returns how many. One that was cut off before and whose goroutine has not ended
// yet is none of them.
func (r *request) killAll(passes func(o *conn) bool) (n int) {
	for _, o := range r.s.clients() {
		if !passes(o) {
			continue
		}
		if o == r.c {
			r.c.closed = true
			n++
		} else if o.end(errKilled) {
			n++
		}
	}
	return n
}
