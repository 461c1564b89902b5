package command

import (
	"bytes"

	"tutti/internal/acl"
)

// RunPrefix begins the names of the queues whose tasks are commands that nodes run.
const RunPrefix = "run-"

// guardName is the command in the category @exec: the right to it is the right to have
// commands run.
const guardName = "tutti.runners"

// Guard returns the command to which a user needs the right as well, because this one
// changes what nodes run: a queue of commands, or a task of one. Nil: there is none.
// Without it, who may add tasks could have any command run on every node, and who may
// finish them could say what a command has answered.
func (c *Command) Guard(args [][]byte) *Command {
	if c.guard == nil || c.Name == "task.queue" && len(args) == 2 { // it only looks
		return nil
	}
	names := c.Keys.KeyNames(args)
	var buf [8]int
	for _, at := range c.KeyArgs(buf[:0], args) {
		if bytes.HasPrefix(names[at], []byte(RunPrefix)) {
			return c.guard
		}
	}
	return nil
}

// Unguarded returns the command that guards this one from a user, see Guard; nil: there
// is none, or the user has the right to it.
func (c *Command) Unguarded(u *acl.User, args [][]byte) *Command {
	guard := c.Guard(args)
	if guard == nil || u.Check(guard.ID(), false, [][]byte{[]byte(guard.Name)}, nil, acl.Channels{}).Why == acl.Allowed {
		return nil
	}
	return guard
}
