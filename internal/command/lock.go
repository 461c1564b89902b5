package command

import (
	"bytes"
	"strconv"

	"tutti/internal/keyspace"
)

// Locks with tokens. A lock is a hash of two fields with deadlines:
//
//	owner   who has it; gone when its life has ended
//	token   of the newest owner; stays longer
//
// A token is greater than every one that was given for the key before, so whatever the
// lock protects can refuse an owner who has slept through the end of it. It is the
// milliseconds of shard time, or the last one and one more where that is greater; the
// last one is kept until shard time is beyond it by lockMemory, which also covers that
// another shard, to which the key moves, has a time of its own.
var lockCommands = []Command{
	{Name: "tutti.lock", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "7.2.0",
		Syntax: "key owner milliseconds", Doc: "Takes a lock for an owner and returns its token, greater than all before; null if another owner has it. Who has it already gets his token again, and the time anew.", Run: tuttiLock},
	{Name: "tutti.extend", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hash", Since: "7.2.0",
		Syntax: "key owner milliseconds", Doc: "Gives the owner of a lock the time anew and returns his token; null if it is not his any more.", Run: tuttiExtend},
	{Name: "tutti.unlock", Arity: 3, Flags: Write | Fast, Keys: oneKey, Group: "hash", Since: "7.2.0",
		Syntax: "key owner", Doc: "Gives a lock back: 1, or 0 if the owner does not have it.", Run: tuttiUnlock},
}

const (
	lockMemory   = 60_000 // milliseconds
	errLockToken = "ERR the key holds no lock: its field \"token\" is not a number"
)

// The fields.
var (
	lockOwner = []byte("owner")
	lockToken = []byte("token")
)

func tuttiLock(c *Ctx)   { holdLock(c, true) }
func tuttiExtend(c *Ctx) { holdLock(c, false) }

// holdLock gives the owner time, who has the lock, or takes it.
func holdLock(c *Ctx, take bool) {
	n, ok := c.int(3)
	if !ok {
		return
	}
	until, ok := c.absolute(n, inMilliseconds)
	if !ok {
		return
	}
	if n <= 0 || until > keyspace.FieldDeadlineMax-lockMemory {
		c.errExpireTime()
		return
	}
	if !keyspace.MayTimeFields(c.Tx) {
		c.Error(errTimedFields)
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeHash)
	if !ok {
		return
	}
	token, mine, free, ok := lockOf(c, o)
	switch {
	case !ok:
		return
	case !mine && (!free || !take):
		c.Null()
		return
	case !mine:
		token = max(token+1, c.Tx.Now)
		if o, ok = c.create(c.Args[1], keyspace.TypeHash); !ok {
			return
		}
	}
	o.PutField(lockOwner, c.Args[2])
	o.PutField(lockToken, strconv.AppendInt(nil, token, 10))
	keyspace.SetFieldDeadline(o, lockOwner, until)
	keyspace.SetFieldDeadline(o, lockToken, max(token, until)+lockMemory)
	o.Save()
	c.Int(token)
}

// lockOf returns the token of a lock, 0 for none, and whether the second argument is its
// owner or it has none. ok is false if an error was answered.
func lockOf(c *Ctx, o *keyspace.Object) (token int64, mine, free, ok bool) {
	if o == nil {
		return 0, false, true, true
	}
	if val, there := o.Field(lockToken, nil); there {
		var err error
		if token, err = strconv.ParseInt(string(val), 10, 64); err != nil || token < 0 || token > keyspace.FieldDeadlineMax-lockMemory-1 {
			c.Error(errLockToken)
			return 0, false, false, false
		}
	}
	owner, held := o.Field(lockOwner, nil)
	return token, held && bytes.Equal(owner, c.Args[2]), !held, true
}

func tuttiUnlock(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeHash)
	if !ok {
		return
	}
	_, mine, _, ok := lockOf(c, o)
	switch {
	case !ok:
		return
	case !mine:
		c.Int(0)
		return
	}
	o.DeleteField(lockOwner)
	o.Save()
	c.Int(1)
}
