package command

import (
	"slices"
	"strings"

	"tutti/internal/acl"
	"tutti/internal/resp"
)

// access says what commands do to their keys, in the words of COMMAND GETKEYS:
// to the first key and to the others. RO and RW are reading and changing what
// is there, OW is overwriting and RM removing it, whatever it was.
var access = []struct{ commands, first, rest string }{
	{"bitop geosearchstore sdiffstore sunionstore zdiffstore zinterstore zrangestore zunionstore", "OW update", "RO access"},
	{"sinterstore", "RW update", "RO access"},
	{"pfmerge", "RW access insert", "RO access"},
	{"pfdebug", "RW access update", "RW access update"},
	{"pfcount", "RW access", "RW access"}, // the words of Redis, where it changes the value
	{"hexpire hpexpire hexpireat hpexpireat hpersist", "RW update", "RW update"},
	{"httl hpttl hexpiretime hpexpiretime", "RO access", "RO access"},
	{"copy", "RO access", "OW update"},
	{"sort georadius georadiusbymember", "RO access", "OW update"},
	{"lmove blmove rpoplpush brpoplpush smove", "RW access delete", "RW insert"},
	{"rename", "RW access delete", "OW update"},
	{"renamenx", "RW access delete", "OW insert"},
	{"del unlink", "RM delete", "RM delete"},
	{"set mset setex psetex restore", "OW update", "OW update"},
	{"setnx msetnx", "OW insert", "OW insert"},
	{"append hsetnx linsert lpush lpushx pfadd rpush rpushx sadd", "RW insert", "RW insert"},
	{"hdel lrem ltrim srem zrem zremrangebylex zremrangebyrank zremrangebyscore", "RW delete", "RW delete"},
	{"getdel tutti.unlock lmpop lpop rpop spop zmpop zpopmax zpopmin blpop brpop blmpop bzmpop bzpopmax bzpopmin", "RW access delete", "RW access delete"},
	{"eval evalsha fcall tutti.extend tutti.lock", "RW access update", "RW access update"},
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
		if hasWord(row.commands, c.Name) {
			one, other = row.first, row.rest
		}
	}
	return strings.Fields(one), strings.Fields(other)
}

// hasWord reports whether one of the words of a list is that.
func hasWord(list, word string) bool {
	for list != "" {
		var w string
		if w, list, _ = strings.Cut(list, " "); w == word {
			return true
		}
	}
	return false
}

// KeyAccessOf is KeyAccess of a command with its arguments: options may make it
// read or write.
func (c *Command) KeyAccessOf(args [][]byte) (first, rest []string) {
	first, rest = c.KeyAccess()
	switch {
	case c.Name == "set" && setReads(args):
		first = strings.Fields("RW access update")
	case c.Name == "bitfield" && bitfieldReads(args):
		first = strings.Fields("RO access")
	}
	return first, rest
}

// setReads reports whether SET returns the old value.
func setReads(args [][]byte) bool {
	return len(args) > 3 && slices.ContainsFunc(args[3:], func(a []byte) bool { return resp.IsWord(a, "GET") })
}

// bitfieldReads reports whether BITFIELD does nothing but read.
func bitfieldReads(args [][]byte) bool {
	for i := 2; i < len(args); i++ {
		switch more := len(args) - 1 - i; {
		case resp.IsWord(args[i], "GET") && more >= 2:
			i += 2
		case resp.IsWord(args[i], "OVERFLOW") && more >= 1:
			i++
		default:
			return false
		}
	}
	return true
}

// rightOf says which right a user needs for a kind of access.
func rightOf(access []string) (r acl.Right) {
	for _, word := range access {
		switch word {
		case "access":
			r |= acl.Read
		case "insert", "delete", "update":
			r |= acl.Write
		}
	}
	return r
}

// KeyRights appends to dst the keys in args with the rights that they take.
func (c *Command) KeyRights(dst []acl.Key, args [][]byte) []acl.Key {
	rights := c.rights
	if c.Name == "set" || c.Name == "bitfield" {
		first, _ := c.KeyAccessOf(args)
		rights[0] = rightOf(first)
	}
	var buf [8]int
	for i, at := range c.KeyArgs(buf[:0], args) {
		dst = append(dst, acl.Key{At: at, Right: rights[min(i, 1)]})
	}
	return dst
}
