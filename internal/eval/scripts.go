package eval

import (
	"fmt"
	"slices"
	"strings"

	"tutti/internal/acl"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/store"
)

// What scripts depend on. By whose rights they call commands comes with their group: the
// evaluation is to be the same whatever this node knows of the users by now.

func (c *Core) scripting() command.Scripting {
	return command.Scripting{Table: c.cfg.Table, Row: store.ScriptRows(c.cfg.Shard), Libraries: store.LibraryRows(c.cfg.Shard)}
}

// scriptBudget is what a group that runs a script, and was too much for a batch, may do in
// the loop. Other groups may do all they want there once nothing else has helped, but a
// script need not come to an end.
type scriptBudget uint8

const (
	noScript      scriptBudget = iota // or none that was too much
	scriptInLoop                      // tasksStepsMax
	scriptRefused                     // that was too much, too
)

var errScriptLong = fmt.Sprintf("ERR the script was ended, and all that it did taken back: it takes more than %d steps, a few seconds. Not applied.", heavyStepsMax)

var errScriptTime = fmt.Sprintf("ERR the script was ended, and all that it did taken back: it takes more than %v. Not applied.", command.ScriptTimeMax)

const errScriptLater = "TRYAGAIN the script takes long, and keys that it reads have changed meanwhile each time. Not applied, safe to retry."

// rescript takes note of a group that was too much, and reports whether it is to be
// evaluated again at once, with another outcome.
func (g *Waiting) rescript(table *command.Table) bool {
	if g.script == noScript && runsScript(table, g.Group) {
		g.script = scriptInLoop
	}
	if g.script == scriptInLoop && g.last() {
		g.script = scriptRefused
	}
	return g.script == scriptRefused
}

// RunsScript reports whether a group runs a script, which has command.ScriptTimeMax.
func (c *Core) RunsScript(g *group.Group) bool { return runsScript(c.cfg.Table, g) }

func runsScript(table *command.Table, g *group.Group) bool {
	return hasCommand(table, g, func(c *command.Command) bool { return c.RunsScript() || c.Loads() })
}

func hasCommand(table *command.Table, g *group.Group, is func(c *command.Command) bool) bool {
	return slices.ContainsFunc(g.Cmds, func(cmd group.Command) bool {
		row, _ := table.Lookup(cmd.Args)
		return row != nil && is(row)
	})
}

// tooHeavy is the error for a group that was too much beside the loop, too.
func (c *Core) tooHeavy(g *group.Group) string {
	if runsScript(c.cfg.Table, g) {
		return errScriptLong
	}
	return errTooHeavy
}

// tooLate is the error for a group that took too long beside the loop.
func (c *Core) tooLate(g *group.Group, end *Ending) string {
	switch {
	case end.waited.Load():
		return errHeavyTime
	case hasCommand(c.cfg.Table, g, (*command.Command).Loads):
		return command.TextLoadLong
	case runsScript(c.cfg.Table, g):
		return errScriptTime
	}
	return errHeavyTime
}

// refuses says why a command can't be executed with so little room, or "".
func (s Shortage) refuses(cmd *command.Command) string {
	switch {
	case s.Full && cmd.Flags&command.DenyOOM != 0:
		return group.TextNoSpace
	case s.Tight && cmd.Flags&command.Write != 0:
		return errTight
	}
	return ""
}

// rightsMax bounds how many users are remembered.
const rightsMax = 64

// rights are the users that came with groups, read. They belong to the loop.
type rights struct{ users map[string]*acl.User }

// user returns the user of a group; nil: one who may do everything. A user with a rule
// that this node does not know may do nothing.
func (r *rights) user(c *acl.Catalog, u *group.User) *acl.User {
	if u == nil {
		return nil
	}
	key := u.Name + "\x00" + strings.Join(u.Rules, "\x00")
	if user := r.users[key]; user != nil {
		return user
	}
	user, err := acl.Restore(c, u.Name, 0, u.Rules)
	if err != nil {
		user, _ = acl.Restore(c, u.Name, 0, nil)
	}
	if r.users == nil || len(r.users) >= rightsMax {
		r.users = make(map[string]*acl.User)
	}
	r.users[key] = user
	return user
}
