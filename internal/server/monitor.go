package server

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"tutti/internal/acl"
	"tutti/internal/command"
)

// MONITOR: who asks for it is told of each command that the clients of this node
// have executed, before they have their replies.

// shownBytesMax is how much of a command's arguments is shown: whoever executes it
// writes the line, and is not to take long over it.
const shownBytesMax = 64 << 10

var errMonitorGone = errors.New("the user may not monitor any more")

// monitors are the clients that are told of commands. While there are none, each
// command costs a look at n.
type monitors struct {
	n atomic.Int32

	mu      sync.Mutex // guards clients; held while all of them are told, so that none hears anything once it has left
	clients map[*conn]struct{}
}

func (m *monitors) join(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clients == nil {
		m.clients = make(map[*conn]struct{})
	}
	m.clients[c] = struct{}{}
	m.n.Store(int32(len(m.clients)))
	c.face.monitors.Store(true)
}

func (m *monitors) leave(c *conn) {
	if !c.face.monitors.Load() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.clients, c)
	m.n.Store(int32(len(m.clients)))
	c.face.monitors.Store(false)
}

// tell pushes a line to all of them, to each in the same order. One that does not
// take its lines is cut off: nobody waits for it.
func (m *monitors) tell(line monitorLine) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.clients {
		c.out.push(line)
	}
}

// monitorLine is a command as MONITOR shows it.
type monitorLine []byte

// Encode returns the line, which is the same in both protocols.
func (l monitorLine) Encode(int) []byte { return l }

// show tells those who monitor of a command that the client has had executed.
func show(c *conn, cmd *command.Command, db uint8, args [][]byte) {
	if m := &c.s.logs.monitors; m.n.Load() > 0 && cmd.Flags&command.Admin == 0 && !c.session.inside {
		m.tell(newMonitorLine(c.s.cfg.Wall(), db, c.nc.RemoteAddr().String(), cmd, args))
	}
}

// showAll is show for commands that were executed together.
func showAll(c *conn, list []pending) {
	if c.s.logs.monitors.n.Load() > 0 {
		for i := range list {
			show(c, list[i].cmd, list[i].db, list[i].args)
		}
	}
}

// newMonitorLine writes a command as Redis does, without secrets, and of very long
// ones the beginning. now is in unix milliseconds.
func newMonitorLine(now int64, db uint8, from string, cmd *command.Command, args [][]byte) monitorLine {
	line := fmt.Appendf(nil, "+%d.%06d [%d %s]", now/1000, now%1000*1000, db, from)
	room := shownBytesMax
	for i, a := range args {
		if room <= 0 {
			line = fmt.Appendf(line, " \"... (%d more arguments)\"", len(args)-i)
			break
		}
		more := ""
		if secret(cmd, args, i) {
			a = []byte("(redacted)")
		}
		if len(a) > room {
			more = fmt.Sprintf("... (%d more bytes)", len(a)-room)
			a = a[:room]
		}
		room -= len(a)
		line = appendPrintable(append(line, ` "`...), a)
		line = append(append(line, more...), '"')
	}
	return append(line, "\r\n"...)
}

// appendPrintable appends what a terminal, and a line of the protocol, can hold: the
// rest is escaped.
func appendPrintable(to, arg []byte) []byte {
	const hex = "0123456789abcdef"
	for _, b := range arg {
		switch {
		case b == '"' || b == '\\':
			to = append(to, '\\', b)
		case b == '\n':
			to = append(to, `\n`...)
		case b == '\r':
			to = append(to, `\r`...)
		case b == '\t':
			to = append(to, `\t`...)
		case b == '\a':
			to = append(to, `\a`...)
		case b == '\b':
			to = append(to, `\b`...)
		case b < ' ' || b > '~':
			to = append(to, '\\', 'x', hex[b>>4], hex[b&15])
		default:
			to = append(to, b)
		}
	}
	return to
}

func monitor(r *request, _ [][]byte) {
	if r.inExec {
		r.Error("ERR MONITOR isn't allowed for DENY BLOCKING client")
		return
	}
	r.loud = true
	r.s.logs.monitors.join(r.c)
	if now := r.s.cfg.Users.Set(); spies(r.c, now.User(r.c.session.user.Name)) { // it was forbidden at this moment
		r.s.logs.monitors.leave(r.c)
		r.Error("NOPERM " + deniedText(r.c.session.user, r.cmd, nil, acl.Denial{Why: acl.DeniedCommand}))
		return
	}
	r.OK()
}

// spies reports whether the client monitors and its user, as it is now, may not.
func spies(c *conn, now *acl.User) bool {
	return c.face.monitors.Load() && now != nil && !now.Everything() && now.Check(c.s.cfg.Table.Find([]byte("monitor")).ID(), false, nil, nil, acl.Channels{}).Why != acl.Allowed
}
