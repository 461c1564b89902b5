package command

// lightNames lists the commands that touch a few rows for each of their arguments
// and no more, whatever lies in the keys. Those of many clients may be evaluated
// together: none makes the others wait. What is not listed goes by itself.
var lightNames = [...]string{
	"get", "set", "setnx", "setex", "psetex", "getset", "getdel", "getex", "mget", "mset", "msetnx",
	"incr", "incrby", "incrbyfloat", "decr", "decrby", "strlen", "getbit",
	"del", "unlink", "exists", "touch", "type",
	"expire", "pexpire", "expireat", "pexpireat", "ttl", "pttl", "expiretime", "pexpiretime", "persist",
	"hset", "hmset", "hsetnx", "hget", "hmget", "hdel", "hlen", "hstrlen", "hexists", "hincrby", "hincrbyfloat",
	"lpush", "rpush", "lpushx", "rpushx", "lpop", "rpop", "llen",
	"sadd", "srem", "sismember", "smismember", "scard",
	"zadd", "zincrby", "zrem", "zcard", "zscore", "zmscore", "zpopmin", "zpopmax",
	"xadd", "xack", "xlen",
}

// Limits of a light command: it has no more arguments, nor bytes of them.
const (
	lightArgsMax  = 32
	lightBytesMax = 64 << 10
)

// Light reports whether a call of c with these arguments is light.
func (c *Command) Light(args [][]byte) bool {
	if !c.light || len(args) > lightArgsMax || c.counted && len(args) > 2 {
		return false
	}
	if c.trims && (len(args) < 3 || !startsID(args[2])) {
		return false
	}
	return isBrief(args)
}

func isBrief(args [][]byte) bool {
	size := 0
	for _, a := range args {
		size += len(a)
	}
	return size <= lightBytesMax
}

// Alone reports whether a call of c with these arguments is evaluated in its shard's loop,
// whatever it costs there, and all of it in one shard. So who sends it there need not wait
// for it, but for those of other clients it goes alone.
func (c *Command) Alone(args [][]byte) bool {
	if c.Where != OnShard || !c.Changes() || c.Flags&(WholeShard|Internal) != 0 || c.Keys.Split != nil {
		return false
	}
	if c.Waits != nil {
		if _, waits := c.Waits.Patience(args); waits {
			return false
		}
	}
	return isBrief(args)
}

// Blind reports whether c only needs to know of its keys whether they are there, as far as
// it writes: that a leader knows by itself, see keyspace.Known.
func (c *Command) Blind() bool { return c.blind }

// startsID reports whether an argument of XADD is the id, and not an option.
func startsID(arg []byte) bool {
	return len(arg) > 0 && (arg[0] == '*' || '0' <= arg[0] && arg[0] <= '9')
}

// weigh marks the light commands.
func (t *Table) weigh() {
	for _, name := range lightNames {
		c := t.byName[name]
		if c == nil || c.Where != OnShard || c.Waits != nil || c.Flags&(Blocking|WholeShard|Internal|MovableKeys) != 0 || c.Keys.First == 0 {
			panic("command: " + name + " can't be light")
		}
		c.light = true
	}
	for _, name := range []string{"lpop", "rpop", "zpopmin", "zpopmax"} {
		t.byName[name].counted = true // with a count they take as many as it says
	}
	for _, name := range []string{"set", "setnx", "setex", "psetex", "mset", "msetnx"} {
		t.byName[name].blind = true
	}
	t.byName["xadd"].trims = true // with an option before the id it removes what is too much
}
