package command

import (
	"fmt"
	"strings"

	"tutti/internal/acl"
)

// What scripts may not call, because their user may not.

const scriptDenied = "ERR ACL failure in script: User "

// ends of what a script is told, behind the user and before and behind what was denied.
var scriptDenials = [...]struct {
	why           acl.Why
	before, after string
}{
	{acl.DeniedCommand, " has no permissions to run the '", "' command"},
	{acl.DeniedKey, " has no permissions to access the '", "' key"},
	{acl.DeniedChannel, " has no permissions to access the '", "' channel"},
}

// denied says why the user may not execute a command.
func (x *calls) denied(cmd *Command, args [][]byte) string {
	u := x.inner.Scripts.User
	if u == nil || u.Everything() {
		return ""
	}
	var buf [8]acl.Key
	keys := cmd.KeyRights(buf[:0], args)
	names := cmd.Keys.KeyNames(args)
	d := u.Check(cmd.ID(), cmd.Flags&NoAuth != 0, names, keys, cmd.ChannelRights(names))
	object := cmd.Name
	switch d.Why {
	case acl.DeniedKey, acl.DeniedChannel:
		object = oneLine(string(names[d.At]))
	case acl.Allowed:
		if cmd.Unguarded(u, args) == nil && (cmd.ReadsElsewhere(args) == "" || u.ReadsAll(cmd.ID(), names, keys)) {
			return ""
		}
		d.Why = acl.DeniedCommand
	case acl.DeniedCommand:
	}
	for _, t := range scriptDenials {
		if t.why == d.Why {
			return scriptDenied + u.Name + t.before + object + t.after
		}
	}
	panic(fmt.Sprintf("command: denied for reason %d", d.Why))
}

// ScriptDenied finds out of the reply to a script that called what its user may not, and
// did not catch the error, what that was.
func ScriptDenied(reply []byte) (why acl.Why, object string, ok bool) {
	text, ok := strings.CutPrefix(string(reply), "-"+scriptDenied)
	if !ok {
		return acl.Allowed, "", false
	}
	for _, t := range scriptDenials {
		if _, rest, found := strings.Cut(text, t.before); found {
			if end := strings.LastIndex(rest, t.after); end >= 0 {
				return t.why, rest[:end], true
			}
		}
	}
	return acl.Allowed, "", false
}
