package server

import (
	"fmt"
	"strings"

	"tutti/internal/acl"
	"tutti/internal/cluster"
	"tutti/internal/command"
)

// Who runs commands, and who may have them run.

// Runner is a node that runs commands, and how many at once.
type Runner struct {
	Node cluster.NodeID
	Name string
	Addr string // where it serves clients
	Max  int
}

// runners lists the nodes that run commands.
func runners(r *request, _ [][]byte) {
	var list []Runner
	if f := r.s.cfg.Node.Runners; f != nil {
		list = f()
	}
	r.Array(len(list))
	for _, x := range list {
		r.Array(4)
		r.Int(int64(x.Node))
		r.BulkString(x.Name)
		r.BulkString(x.Addr)
		r.Int(int64(x.Max))
	}
}

// unguardedText says what a user may not do.
func unguardedText(u *acl.User, guard *command.Command) string {
	return fmt.Sprintf("User %s has no right to have commands run: the queues %s… take the right to %s, which is in the category @exec",
		u.Name, command.RunPrefix, strings.ToUpper(guard.Name))
}
