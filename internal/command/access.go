package command

import "strings"

// access says what commands do to their keys, in the words of COMMAND GETKEYS:
// to the first key and to the others. RO and RW are reading and changing what
// is there, OW is overwriting and RM removing it, whatever it was.
var access = []struct{ commands, first, rest string }{
	{"bitop geosearchstore sdiffstore sunionstore zdiffstore zinterstore zrangestore zunionstore", "OW update", "RO access"},
	{"sinterstore", "RW update", "RO access"},
	{"copy", "RO access", "OW update"},
	{"sort", "RO access", "OW update"},
	{"lmove blmove rpoplpush brpoplpush smove", "RW access delete", "RW insert"},
	{"rename", "RW access delete", "OW update"},
	{"renamenx", "RW access delete", "OW insert"},
	{"del unlink", "RM delete", "RM delete"},
	{"set mset setex psetex restore", "OW update", "OW update"},
	{"setnx msetnx", "OW insert", "OW insert"},
	{"append hsetnx linsert lpush lpushx pfadd rpush rpushx sadd", "RW insert", "RW insert"},
	{"hdel lrem ltrim srem zrem zremrangebylex zremrangebyrank zremrangebyscore", "RW delete", "RW delete"},
	{"getdel lmpop lpop rpop spop zmpop zpopmax zpopmin blpop brpop blmpop bzmpop bzpopmax bzpopmin", "RW access delete", "RW access delete"},
	{"bitfield decr decrby getex getset hincrby hincrbyfloat incr incrby incrbyfloat move setbit zincrby", "RW access update", "RW access update"},
	{"exists hexists hlen hstrlen llen memory|usage object|encoding object|freq object|idletime object|refcount scard sismember strlen touch type watch zcard",
		"RO", "RO"},
}

// KeyAccess says what c does to its first key and to its other keys.
func (c *Command) KeyAccess() (first, rest []string) {
	one, other := "RO access", "RO access"
	if c.Flags&Write != 0 {
		one, other = "RW update", "RW update"
	}
	for _, row := range access {
		if strings.Contains(" "+row.commands+" ", " "+c.Name+" ") {
			one, other = row.first, row.rest
		}
	}
	return strings.Fields(one), strings.Fields(other)
}
