package command

import (
	"errors"

	"tutti/internal/acl"
	"tutti/internal/keyspace"
	"tutti/internal/meta"
)

// Changes of users, as the meta shard evaluates them. The nodes send these for ACL
// SETUSER and ACL DELUSER: with hashes in the place of passwords, and to learn the
// epoch that has to hold everywhere before the client is answered.

const internalFlags = Write | Admin | NoMulti | NoScript | Internal

var userCommands = []Command{
	{Name: "tutti.user", Arity: -2, Group: "server", Since: "7.2.0", Syntax: "subcommand", Doc: "A container for what nodes say of users.",
		Subs: []*Command{
			{Name: "tutti.user|set", Arity: -3, Where: OnMeta, Flags: internalFlags, Group: "server", Since: "7.2.0",
				Syntax: "username [rule [rule ...]]", Doc: "Changes a user, without passwords that are not hashed; returns the epoch from which it holds. Nodes send it.", Run: tuttiUserSet},
			{Name: "tutti.user|remove", Arity: -3, Where: OnMeta, Flags: internalFlags, Group: "server", Since: "7.2.0",
				Syntax: "username [username ...]", Doc: "Removes users; returns how many, and the epoch from which they are gone. Nodes send it.", Run: tuttiUserRemove},
			{Name: "tutti.user|list", Arity: 2, Where: OnMeta, Flags: ReadOnly | Admin | NoMulti | Internal, Group: "server", Since: "7.2.0",
				Doc: "Returns the record of all users. Nodes send it.", Run: tuttiUserList},
		}},
	{Name: "tutti.fence", Arity: -1, Flags: internalFlags, Group: "server", Since: "7.2.0", Syntax: "[epoch]",
		Doc: "Has a shard refuse what was let in by the rights of users before an epoch; returns the epoch. Nodes send it.", Run: tuttiFence},
}

// beginUsers reads the users, or answers the error.
func (c *Ctx) beginUsers() *meta.UserChange {
	x, err := meta.BeginUsers(c.Tx, c.Users.Catalog)
	if err != nil {
		c.metaError(err)
		return nil
	}
	return x
}

// userError answers why a user can't be changed: Redis's words stand alone.
func (c *Ctx) userError(err error) {
	if errors.Is(err, meta.ErrNotAllowed) || errors.Is(err, acl.ErrTooLarge) {
		c.metaError(err)
		return
	}
	c.Error("ERR " + err.Error())
}

func texts(args [][]byte) []string {
	list := make([]string, len(args))
	for i, a := range args {
		list[i] = string(a)
	}
	return list
}

func tuttiUserSet(c *Ctx) {
	x := c.beginUsers()
	if x == nil {
		return
	}
	epoch, err := x.Put(string(c.Args[2]), texts(c.Args[3:]))
	if err != nil {
		c.userError(err)
		return
	}
	raiseUsers(c, epoch)
	c.Int(int64(epoch))
}

// raiseUsers has the shard refuse what was let in by the rights of users before an
// epoch, and returns the one that it goes by.
func raiseUsers(c *Ctx, epoch uint64) (now uint64) {
	if val, ok := c.Tx.Get(c.Users.Row, nil); ok {
		now, _ = keyspace.DecodeUsersEpoch(val) // what can't be read is written anew
	}
	if epoch > now {
		now = epoch
		c.Tx.Put(c.Users.Row, keyspace.EncodeUsersEpoch(epoch))
	}
	return now
}

func tuttiFence(c *Ctx) {
	epoch := uint64(0)
	if len(c.Args) > 1 {
		var ok bool
		if epoch, ok = c.number(1, 1<<62); !ok {
			return
		}
	}
	c.Int(int64(raiseUsers(c, epoch)))
}

func tuttiUserRemove(c *Ctx) {
	x := c.beginUsers()
	if x == nil {
		return
	}
	deleted, epoch, err := x.Delete(texts(c.Args[2:]))
	if err != nil {
		c.userError(err)
		return
	}
	raiseUsers(c, epoch)
	c.Array(2)
	c.Int(int64(deleted))
	c.Int(int64(epoch))
}

func tuttiUserList(c *Ctx) {
	if x := c.beginUsers(); x != nil {
		c.Bulk(meta.EncodeUsers(nil, x.Set))
	}
}
