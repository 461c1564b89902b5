package eval

import (
	"tutti/internal/command"
	"tutti/internal/group"
)

// IsPart reports whether a group brings a part of a value, see keyspace.Upload.
func IsPart(g *group.Group) bool { return len(g.Cmds) == 1 && command.IsPart(g.Cmds[0].Args) }
