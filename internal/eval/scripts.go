package eval

import (
	"strings"

	"tutti/internal/acl"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/store"
)

// What scripts depend on. By whose rights they call commands comes with their group: the
// evaluation is to be the same whatever this node knows of the users by now.

func (c *Core) scripting() command.Scripting {
	return command.Scripting{Table: c.cfg.Table, Row: store.ScriptRows(c.cfg.Shard)}
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
