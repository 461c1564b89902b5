package command

import (
	"bytes"
	"slices"
	"strings"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// event is what those who watch keys are told of a key that a command has changed.
type event struct {
	class keyspace.Classes
	name  string
}

// changeEvents says which commands tell what of the keys that they change, in the words
// of Redis. That a key is gone is told by all of them alike.
var changeEvents = []struct {
	event
	commands string
}{
	{event{keyspace.EventString, "set"}, "set setnx setex psetex getset mset msetnx bitop tutti.with|set tutti.with|setnx tutti.with|setex tutti.with|psetex tutti.with|getset"},
	{event{keyspace.EventString, "incrby"}, "incr incrby decr decrby"},
	{event{keyspace.EventString, "incrbyfloat"}, "incrbyfloat"},
	{event{keyspace.EventString, "append"}, "append"},
	{event{keyspace.EventString, "setrange"}, "setrange"},
	{event{keyspace.EventString, "setbit"}, "setbit bitfield"},
	{event{keyspace.EventString, "pfadd"}, "pfadd pfmerge"},
	{event{keyspace.EventGeneric, "expire"}, "expire pexpire expireat pexpireat"},
	{event{keyspace.EventGeneric, "persist"}, "persist"},
	{event{keyspace.EventGeneric, "restore"}, "restore"},
	{event{keyspace.EventGeneric, "copy_to"}, "copy"},
	{event{keyspace.EventList, "sortstore"}, "sort"},
	{event{keyspace.EventList, "lpush"}, "lpush lpushx"},
	{event{keyspace.EventList, "rpush"}, "rpush rpushx"},
	{event{keyspace.EventList, "lpop"}, "lpop blpop"},
	{event{keyspace.EventList, "rpop"}, "rpop brpop"},
	{event{keyspace.EventList, "linsert"}, "linsert"},
	{event{keyspace.EventList, "lset"}, "lset"},
	{event{keyspace.EventList, "lrem"}, "lrem"},
	{event{keyspace.EventList, "ltrim"}, "ltrim"},
	{event{keyspace.EventSet, "sadd"}, "sadd"},
	{event{keyspace.EventSet, "srem"}, "srem"},
	{event{keyspace.EventSet, "spop"}, "spop"},
	{event{keyspace.EventSet, "sinterstore"}, "sinterstore"},
	{event{keyspace.EventSet, "sunionstore"}, "sunionstore"},
	{event{keyspace.EventSet, "sdiffstore"}, "sdiffstore"},
	{event{keyspace.EventHash, "hset"}, "hset hmset hsetnx tutti.lock tutti.extend"},
	{event{keyspace.EventHash, "hincrby"}, "hincrby"},
	{event{keyspace.EventHash, "hincrbyfloat"}, "hincrbyfloat"},
	{event{keyspace.EventHash, "hdel"}, "hdel tutti.unlock"},
	{event{keyspace.EventHash, "hexpire"}, "hexpire hpexpire hexpireat hpexpireat"},
	{event{keyspace.EventHash, "hpersist"}, "hpersist"},
	{event{keyspace.EventZSet, "zadd"}, "zadd geoadd"},
	{event{keyspace.EventZSet, "zincr"}, "zincrby"},
	{event{keyspace.EventZSet, "zrem"}, "zrem"},
	{event{keyspace.EventZSet, "zpopmin"}, "zpopmin bzpopmin"},
	{event{keyspace.EventZSet, "zpopmax"}, "zpopmax bzpopmax"},
	{event{keyspace.EventZSet, "zremrangebyscore"}, "zremrangebyscore"},
	{event{keyspace.EventZSet, "zremrangebyrank"}, "zremrangebyrank"},
	{event{keyspace.EventZSet, "zremrangebylex"}, "zremrangebylex"},
	{event{keyspace.EventZSet, "zrangestore"}, "zrangestore"},
	{event{keyspace.EventZSet, "geosearchstore"}, "geosearchstore"},
	{event{keyspace.EventZSet, "georadiusstore"}, "georadius georadiusbymember"},
	{event{keyspace.EventZSet, "zunionstore"}, "zunionstore"},
	{event{keyspace.EventZSet, "zinterstore"}, "zinterstore"},
	{event{keyspace.EventZSet, "zdiffstore"}, "zdiffstore"},
	{event{keyspace.EventStream, "xadd"}, "xadd"},
	{event{keyspace.EventStream, "xdel"}, "xdel"},
	{event{keyspace.EventStream, "xtrim"}, "xtrim"},
	{event{keyspace.EventStream, "xsetid"}, "xsetid"},
	{event{keyspace.EventStream, "xgroup-create"}, "xgroup|create"},
	{event{keyspace.EventStream, "xgroup-setid"}, "xgroup|setid"},
	{event{keyspace.EventStream, "xgroup-destroy"}, "xgroup|destroy"},
	{event{keyspace.EventStream, "xgroup-createconsumer"}, "xgroup|createconsumer"},
	{event{keyspace.EventStream, "xgroup-delconsumer"}, "xgroup|delconsumer"},
}

// notify makes events of what the command has done to keys.
func notify(c *Ctx, cmd *Command) {
	changes := c.Tx.TakeChanges()
	if len(changes) == 0 {
		return
	}
	switch cmd.Name {
	case "rename", "renamenx", "move":
		notifyMoved(c, cmd, changes)
		return
	case "lmove", "blmove", "rpoplpush", "brpoplpush":
		notifyOfMove(c, cmd, changes)
		return
	}
	of := orderOf(changes)
	var e event
	for i, x := range changes {
		if i == 0 || cmd.Name == "getex" || cmd.Name == "smove" { // of the others it is the same for all keys
			e = eventOf(c, cmd, x)
		}
		switch x.What {
		case keyspace.Made:
			if !of.deletedBefore(i, x) || cmd.Name == "copy" || cmd.Name == "restore" {
				c.Tx.Notify(keyspace.EventNew, "new", x.DB, x.Key)
			}
		case keyspace.Changed:
			c.Tx.Notify(e.class, e.name, x.DB, x.Key)
			if c.trimmed {
				c.Tx.Notify(keyspace.EventStream, "xtrim", x.DB, x.Key)
			}
			if setsDeadline(c, cmd) {
				c.Tx.Notify(keyspace.EventGeneric, "expire", x.DB, x.Key)
			}
		case keyspace.Emptied:
			c.Tx.Notify(e.class, e.name, x.DB, x.Key)
			c.Tx.Notify(keyspace.EventGeneric, "del", x.DB, x.Key)
		case keyspace.Deleted:
			if cmd.takesAway() { // all that there was
				c.Tx.Notify(e.class, e.name, x.DB, x.Key)
			}
			if !of.changedBehind(i, x) {
				c.Tx.Notify(keyspace.EventGeneric, "del", x.DB, x.Key)
			}
		}
	}
}

// takesAway reports whether the command takes elements out of what is there.
func (c *Command) takesAway() bool {
	first, _ := c.KeyAccess()
	return slices.Contains(first, "RW") && slices.Contains(first, "delete")
}

// order is where among the changes of one command a key was deleted first, and changed last.
// A command has one key or 100,000, so nothing is looked for in all of them again for each.
type order struct {
	deleted, changed map[keyInDB]int // nil: the command did not do both
}

type keyInDB struct {
	db  uint8
	key string
}

func orderOf(changes []keyspace.KeyChange) (o order) {
	is := func(w keyspace.What) func(keyspace.KeyChange) bool {
		return func(x keyspace.KeyChange) bool { return x.What == w }
	}
	if !slices.ContainsFunc(changes, is(keyspace.Deleted)) || !slices.ContainsFunc(changes, is(keyspace.Changed)) {
		return o
	}
	o.deleted, o.changed = make(map[keyInDB]int), make(map[keyInDB]int)
	for i, x := range changes {
		id := keyInDB{x.DB, string(x.Key)}
		switch _, has := o.deleted[id]; {
		case x.What == keyspace.Deleted && !has:
			o.deleted[id] = i
		case x.What == keyspace.Changed:
			o.changed[id] = i
		}
	}
	return o
}

// deletedBefore reports whether the key of change i was deleted before it.
func (o order) deletedBefore(i int, x keyspace.KeyChange) bool {
	at, has := o.deleted[keyInDB{x.DB, string(x.Key)}]
	return has && at < i
}

// changedBehind reports whether the key of change i is changed behind it.
func (o order) changedBehind(i int, x keyspace.KeyChange) bool {
	at, has := o.changed[keyInDB{x.DB, string(x.Key)}]
	return has && at > i
}

// notifyMoved tells of a key that goes by another name, or to another database.
func notifyMoved(c *Ctx, cmd *Command, changes []keyspace.KeyChange) {
	for _, x := range changes {
		switch x.What {
		case keyspace.Made:
			c.Tx.Notify(keyspace.EventNew, "new", x.DB, x.Key)
		case keyspace.Changed:
			word := "rename"
			if cmd.Name == "move" {
				word = "move"
			}
			c.Tx.Notify(keyspace.EventGeneric, word+"_from", c.DB, c.Args[1])
			c.Tx.Notify(keyspace.EventGeneric, word+"_to", x.DB, x.Key)
		}
	}
}

// eventOf is what a command tells of a key that it has changed.
func eventOf(c *Ctx, cmd *Command, x keyspace.KeyChange) event {
	switch cmd.Name {
	case "getex":
		if x.Expire == 0 {
			return event{keyspace.EventGeneric, "persist"}
		}
		return event{keyspace.EventGeneric, "expire"}
	case "zadd":
		if increments(c) {
			return event{keyspace.EventZSet, "zincr"}
		}
	case "smove":
		if bytes.Equal(x.Key, c.Args[1]) {
			return event{keyspace.EventSet, "srem"}
		}
		return event{keyspace.EventSet, "sadd"}
	case "lmpop", "blmpop", "zmpop", "bzmpop":
		return eventOfPop(c, cmd)
	}
	for _, row := range changeEvents {
		if strings.Contains(" "+row.commands+" ", " "+cmd.Name+" ") {
			return row.event
		}
	}
	return event{}
}

// eventOfPop is eventOf for the commands that say from which end they pop.
func eventOfPop(c *Ctx, cmd *Command) event {
	for _, e := range []struct {
		word string
		event
	}{
		{"LEFT", event{keyspace.EventList, "lpop"}}, {"RIGHT", event{keyspace.EventList, "rpop"}},
		{"MIN", event{keyspace.EventZSet, "zpopmin"}}, {"MAX", event{keyspace.EventZSet, "zpopmax"}},
	} {
		keys := cmd.KeyArgs(nil, c.Args)
		if len(keys) > 0 && c.is(keys[len(keys)-1]+1, e.word) {
			return e.event
		}
	}
	return event{}
}

// notifyOfMove tells of an element that went from one list to another, or round the
// same: of the list that has got it first, as Redis does.
func notifyOfMove(c *Ctx, cmd *Command, changes []keyspace.KeyChange) {
	from, to := event{keyspace.EventList, "rpop"}, event{keyspace.EventList, "lpush"}
	if cmd.Name == "lmove" || cmd.Name == "blmove" {
		if c.is(3, "LEFT") {
			from.name = "lpop"
		}
		if c.is(4, "RIGHT") {
			to.name = "rpush"
		}
	}
	src, dst := c.Args[1], c.Args[2]
	for _, x := range changes {
		if x.What == keyspace.Made {
			c.Tx.Notify(keyspace.EventNew, "new", x.DB, x.Key)
		}
	}
	c.Tx.Notify(to.class, to.name, c.DB, dst)
	c.Tx.Notify(from.class, from.name, c.DB, src)
	if slices.ContainsFunc(changes, func(x keyspace.KeyChange) bool { return x.What == keyspace.Emptied }) {
		c.Tx.Notify(keyspace.EventGeneric, "del", c.DB, src)
	}
}

// increments reports whether ZADD adds to a score.
func increments(c *Ctx) bool {
	for i := 2; i < len(c.Args); i++ {
		switch {
		case c.is(i, "INCR"):
			return true
		case c.is(i, "NX"), c.is(i, "XX"), c.is(i, "GT"), c.is(i, "LT"), c.is(i, "CH"):
		default:
			return false
		}
	}
	return false
}

// setsDeadline reports whether a command that sets a string sets its deadline, too.
func setsDeadline(c *Ctx, cmd *Command) bool {
	switch cmd.Name {
	case "setex", "psetex", "tutti.with|setex", "tutti.with|psetex":
		return true
	case "set", "tutti.with|set":
		return slices.ContainsFunc(c.Args[3:], func(a []byte) bool {
			return resp.IsWord(a, "EX") || resp.IsWord(a, "PX") || resp.IsWord(a, "EXAT") || resp.IsWord(a, "PXAT")
		})
	}
	return false
}
