package server

import (
	"net/netip"
	"sync"
	"time"

	"tutti/internal/command"
	"tutti/internal/resp"
)

// Who may be here at all: clients that have still to log in get little, and not
// for long; of too many clients, only those that administer the node are served.

const (
	// strangerTimeout is how long a client may take to log in, from when it
	// connected.
	strangerTimeout = 5 * time.Second
	// strangersMax is how many clients of one address may be about to log in.
	strangersMax = 64
	// reservedMax is how many clients more than the setting maxclients are let
	// in, to run commands of administration and no others: the node must be
	// reachable for whoever can mend that it is full.
	reservedMax = 16

	errExposed   = "DENIED this node serves other machines, but the default user needs no password, so only clients of the node's own machine are served. Give it one, or switch it off: ACL SETUSER default off"
	errStrangers = "ERR max number of clients reached that have not logged in from your address"
	errFull      = "ERR max number of clients reached"
)

// strangerLimits are those of Redis.
var strangerLimits = resp.Limits{ArgsMax: 10, BulkLenMax: 16 << 10, InlineLenMax: 16 << 10, CommandLenMax: 64 << 10, Unauthenticated: true}

// admission is on what terms a client is here. It belongs to the goroutine of the
// connection.
type admission struct {
	from     netip.Addr // of its network, see network
	stranger bool       // it has still to log in, and is counted
	reserved bool       // it is one too many
}

// strangers counts the clients that have still to log in.
type strangers struct {
	mu sync.Mutex // guards n
	n  map[netip.Addr]int
}

// take counts one more, if there may be one more.
func (s *strangers) take(from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[from] >= strangersMax {
		return false
	}
	if s.n == nil {
		s.n = make(map[netip.Addr]int)
	}
	s.n[from]++
	return true
}

func (s *strangers) leave(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[from]--; s.n[from] == 0 {
		delete(s.n, from)
	}
}

// network returns what is counted as one place that clients come from: an
// address of IPv4, or the 64 bits that one customer is given of IPv6.
func network(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{} // not of IP, as in a simulation: all are one
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is4() || addr.IsLoopback() {
		return addr
	}
	prefix, _ := addr.Prefix(64) // IPv6 has 128
	return prefix.Addr()
}

// recognize puts the client on the terms that its session gives it, and says why
// it may not stay, or nothing. It is asked at the beginning and whenever the session
// may have changed.
func (c *conn) recognize() (refusal string) {
	switch admitted := c.session.admitted(); {
	case admitted && c.s.cfg.Public && c.session.users.Open() && !c.from.IsLoopback():
		c.s.stats.rejected[rejectedExposed].Add(1)
		return errExposed
	case admitted == !c.stranger:
	case admitted:
		c.stranger = false
		c.s.gate.strangers.leave(c.from)
		c.in.setLimits(c.s.config.limits.Load())
		c.in.until = time.Time{}
	case !c.s.gate.strangers.take(c.from):
		c.s.stats.rejected[rejectedStranger].Add(1)
		return errStrangers
	default:
		c.stranger = true
		c.in.setLimits(&strangerLimits)
		c.in.until = time.Now().Add(strangerTimeout)
	}
	return ""
}

// surplus refuses cmd if there are too many clients and it is not of those for
// which the last places are kept. Once there is room the client is one like all
// others.
func (c *conn) surplus(cmd *command.Command) bool {
	if !c.reserved || cmd.Flags&(command.Admin|command.NoAuth) != 0 {
		return false
	}
	if c.s.hasRoom() {
		c.reserved = false
		return false
	}
	c.flush()
	c.s.stats.rejected[rejectedFull].Add(1)
	c.error(errFull)
	c.closed = true
	return true
}
