package server

import (
	"tutti/internal/acl"
	"tutti/internal/command"
	"tutti/internal/histogram"
)

// class is what metrics tell commands apart by.
type class uint8

const (
	classRead class = iota
	classWrite
	classTransaction
	classScript
	classAdmin // all others: of the connection, the node, the cluster
	classes
)

var classNames = [classes]string{"read", "write", "txn", "script", "admin"}

func classOf(cmd *command.Command) class {
	switch {
	case cmd.Group == "transactions":
		return classTransaction
	case cmd.Group == "scripting":
		return classScript
	case cmd.Where != command.OnShard:
		return classAdmin
	case cmd.Flags&command.Write != 0:
		return classWrite
	}
	return classRead
}

// durations is how long commands took, by class: from being handed over to being
// answered. Commands that went together all took the time of all.
type durations [classes]histogram.Histogram

// Counts is what a server has counted since it began or since CONFIG RESETSTAT,
// and how things are.
type Counts struct {
	Commands  []CommandCount // those that anybody has called
	Durations []ClassDuration
	Errors    []ErrorCount
	Slow      int64 // commands that went into the slow log
	// Connections is how many there are.
	Connections, Blocked int
	TLS                  bool // what all of them speak
	Accepted             int64
	Rejected, Denied     []ReasonCount // clients that were not let in; what the rights of users forbade
	HandshakesFailed     int64         // of TLS
	LoginsFailed         int64
	Conflicts            int64 // EXEC that found a watched key changed
	BytesIn, BytesOut    int64
	// OutputBytes is what waits to be sent to clients as pushes.
	OutputBytes int64
}

// CommandCount is the calls of one command: those that were answered, those of
// them with an error, and those that were refused before they were executed.
type CommandCount struct {
	Command, Class          string
	Calls, Failed, Rejected int64
}

// ReasonCount is how often something happened for one reason.
type ReasonCount struct {
	Reason string
	N      int64
}

// ClassDuration is how long the commands of a class took.
type ClassDuration struct {
	Class string
	Took  histogram.Snapshot
}

// ErrorCount is how many errors with a code there were.
type ErrorCount struct {
	Code string
	N    int64
}

// Counts returns what has been counted. It takes no lock that a command waits
// for longer than it takes to copy a few numbers.
func (s *Server) Counts() Counts {
	st := &s.stats
	c := Counts{Slow: s.logs.slow.met.Load(), Blocked: int(st.blocked.Load()), Accepted: st.connections.Load(), HandshakesFailed: st.handshakesFailed.Load(), Conflicts: st.conflicts.Load(),
		LoginsFailed: s.logs.denied.count(deniedLogin),
		BytesIn:      st.bytesIn.Load(), BytesOut: st.bytesOut.Load()}
	for _, cmd := range everyCommand(s.cfg.Table) {
		n := st.calls[cmd]
		one := CommandCount{Command: cmd.Name, Class: classNames[n.class], Calls: n.calls.Load(), Failed: n.failed.Load(), Rejected: n.rejected.Load()}
		if one.Calls > 0 || one.Rejected > 0 {
			c.Commands = append(c.Commands, one)
		}
	}
	for i := range st.rejected {
		c.Rejected = append(c.Rejected, ReasonCount{rejectionNames[i], st.rejected[i].Load()})
	}
	for _, why := range []acl.Why{acl.DeniedCommand, acl.DeniedKey, acl.DeniedChannel} {
		c.Denied = append(c.Denied, ReasonCount{denial{why: why}.reason(), s.logs.denied.count(why)})
	}
	for i := range st.durations {
		c.Durations = append(c.Durations, ClassDuration{classNames[i], st.durations[i].Snapshot()})
	}
	for _, e := range st.errorCodes() {
		c.Errors = append(c.Errors, ErrorCount{e.code, e.n})
	}
	c.TLS = s.cfg.TLS != nil
	for _, conn := range s.clients() {
		c.Connections++
		_, waiting := conn.out.waiting()
		c.OutputBytes += waiting
	}
	return c
}
