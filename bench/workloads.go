package main

import (
	"cmp"
	"slices"
	"strconv"
)

// workload is what the clients of a case do, again and again.
type workload struct {
	name  string
	write bool   // Redis is asked after each pipeline whether a second copy has it
	kind  string // of the keys, four bytes: workloads that share them share what fill wrote
	// most is how many keys there are at most, so that the data of large values fits a
	// small machine. Zero: as many as the run says.
	most int
	// size is how long values are.
	size int
	// send appends one operation on a key.
	send func(dst []byte, key string, o *operation) []byte
	// good reports whether a reply acknowledges it.
	good func(r reply) bool
	// fill appends what makes a key before the first case. Nil: as send.
	fill func(dst []byte, key string, o *operation) []byte
	// fresh takes a key that was never there for each operation.
	fresh bool
}

// operation is one of many: which it is, and where its values come from.
type operation struct {
	n      int
	values *values
}

const (
	keyKind    = "key:"
	fieldsOf   = 10    // fields of a hash
	membersOf  = 100   // members of a sorted set, elements of a list
	setsOf     = 1_000 // sorted sets, lists
	atOnce     = 10    // keys of an MGET, members of a ZRANGE
	laterMs    = "600000"
	scriptText = `local n = redis.call('INCR', KEYS[1])
redis.call('HSET', KEYS[2], 'n', n, 'v', ARGV[1])
redis.call('ZADD', KEYS[3], n, ARGV[2])
local v = redis.call('HGET', KEYS[2], 'v')
redis.call('PEXPIRE', KEYS[2], 600000)
return v`
)

// workloads that Redis and tutti have; etcd has the first two.
func workloads() []workload {
	return []workload{
		setOf("set", keyKind, valueLen, 0),
		getOf("get", keyKind, valueLen, 0),
		{name: "setex", write: true, kind: keyKind, size: valueLen, good: isStatus, send: func(dst []byte, key string, o *operation) []byte {
			return appendCommand(dst, "SET", key, o.value(valueLen), "PX", laterMs)
		}},
		{name: "incrnew", write: true, kind: "new:", good: isNumber, fresh: true, send: incr},
		{name: "incr", write: true, kind: "cnt:", good: isNumber, send: incr},
		{name: "hset", write: true, kind: "hsh:", most: 100_000, size: valueLen, good: isNumber, send: func(dst []byte, key string, o *operation) []byte {
			return appendCommand(dst, "HSET", key, "f"+strconv.Itoa(o.n%fieldsOf), o.value(valueLen))
		}},
		{name: "pushpop", write: true, kind: "lst:", most: setsOf, size: valueLen, send: pushOrPop,
			good: func(r reply) bool { return r.kind == ':' || r.kind == '$' }, // null: a list that chance has emptied
			fill: func(dst []byte, key string, o *operation) []byte {
				return appendCommand(dst, append([]string{"LPUSH", key}, o.several(membersOf)...)...)
			}},
		{name: "zadd", write: true, kind: "zst:", most: setsOf, good: isNumber, fill: fillSorted, send: func(dst []byte, key string, o *operation) []byte {
			return appendCommand(dst, "ZADD", key, strconv.Itoa(o.values.rand.IntN(1_000_000)), member(o.values.rand.IntN(membersOf)))
		}},
		{name: "zrange", kind: "zst:", most: setsOf, fill: fillSorted, good: isArrayOf(atOnce), send: func(dst []byte, key string, _ *operation) []byte {
			return appendCommand(dst, "ZRANGE", key, "0", strconv.Itoa(atOnce-1))
		}},
		{name: "mget", kind: keyKind, good: isArrayOf(atOnce), fill: setOf("", keyKind, valueLen, 0).send, send: mget},
		{name: "eval", write: true, kind: "scr:", most: setsOf, size: valueLen, good: isValueOf(valueLen), send: func(dst []byte, key string, o *operation) []byte {
			return appendCommand(dst, "EVAL", scriptText, "3", key, key+":h", key+":z", o.value(valueLen), member(o.n%membersOf))
		}},
		{name: "xadd", write: true, kind: "str:", most: setsOf, size: valueLen, fill: makeGroup, good: func(r reply) bool { return r.kind == '$' },
			send: func(dst []byte, key string, o *operation) []byte {
				return appendCommand(dst, "XADD", key, "*", "v", o.value(valueLen))
			}},
		{name: "xgroup", write: true, kind: "str:", most: setsOf, size: valueLen, fill: makeGroup, send: addOrTakeEntry,
			good: func(r reply) bool { return r.kind == '$' || r.kind == '*' }},
		setOf("set1k", "1k::", 1<<10, 100_000), getOf("get1k", "1k::", 1<<10, 100_000),
		setOf("set64k", "64k:", 64<<10, 2_000), getOf("get64k", "64k:", 64<<10, 2_000),
		setOf("set1m", "1m::", 1<<20, 100), getOf("get1m", "1m::", 1<<20, 100),
	}
}

// workloadOf returns the workload of that name, which must be one of workloads.
func workloadOf(name string) workload {
	all := workloads()
	return all[slices.IndexFunc(all, func(w workload) bool { return w.name == name })]
}

func setOf(name, kind string, size, most int) workload {
	return workload{name: name, write: true, kind: kind, size: size, most: most, good: isStatus, send: func(dst []byte, key string, o *operation) []byte {
		return appendSet(dst, key, o.values.take(size))
	}}
}

func getOf(name, kind string, size, most int) workload {
	return workload{name: name, kind: kind, size: size, most: most, good: isValueOf(size), fill: setOf("", kind, size, most).send, send: func(dst []byte, key string, _ *operation) []byte {
		return appendGet(dst, key)
	}}
}

func incr(dst []byte, key string, _ *operation) []byte { return appendCommand(dst, "INCR", key) }

// pushOrPop adds to a list and, the next time, takes from one: on the average they stay as
// long.
func pushOrPop(dst []byte, key string, o *operation) []byte {
	if o.n%2 == 0 {
		return appendCommand(dst, "LPUSH", key, o.value(valueLen))
	}
	return appendCommand(dst, "RPOP", key)
}

// makeGroup makes the group of a key, which may be there: filling begins anew at its end.
func makeGroup(dst []byte, key string, _ *operation) []byte {
	return appendCommand(dst, "EVAL", "redis.pcall('XGROUP', 'CREATE', KEYS[1], 'group', '0', 'MKSTREAM') return 1", "1", key)
}

// addEntry adds to a stream that keeps about as many as there are members of a set.
func addEntry(dst []byte, key string, o *operation) []byte {
	return appendCommand(dst, "XADD", key, "MAXLEN", "~", strconv.Itoa(membersOf), "*", "v", o.value(valueLen))
}

// addOrTakeEntry adds an entry and, the next time, has the group deliver one and count it
// as acknowledged.
func addOrTakeEntry(dst []byte, key string, o *operation) []byte {
	if o.n%2 == 0 {
		return addEntry(dst, key, o)
	}
	return appendCommand(dst, "XREADGROUP", "GROUP", "group", "consumer", "COUNT", "1", "NOACK", "STREAMS", key, ">")
}

func mget(dst []byte, key string, o *operation) []byte {
	keys := []string{"MGET", key}
	for range atOnce - 1 {
		keys = append(keys, string(appendKey(nil, keyKind, o.values.rand.IntN(o.values.keys))))
	}
	return appendCommand(dst, keys...)
}

func fillSorted(dst []byte, key string, o *operation) []byte {
	args := []string{"ZADD", key}
	for i := range membersOf {
		args = append(args, strconv.Itoa(o.values.rand.IntN(1_000_000)), member(i))
	}
	return appendCommand(dst, args...)
}

func member(n int) string { return "member:" + strconv.Itoa(n) }

func (o *operation) value(size int) string { return string(o.values.take(size)) }

func (o *operation) several(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = o.value(valueLen)
	}
	return all
}

// keysOf is how many keys a workload has where the run says so many.
func (w *workload) keysOf(keys int) int { return min(keys, cmp.Or(w.most, keys)) }

// filling is the workload that makes the keys of w. Keys that are fresh each time need
// none: it then is nil.
func (w workload) filling() *workload {
	if w.fresh {
		return nil
	}
	w.write = true
	w.good = func(r reply) bool { return r.kind != '-' }
	if w.fill != nil {
		w.send = w.fill
	}
	return &w
}

func isStatus(r reply) bool { return r.kind == '+' }
func isNumber(r reply) bool { return r.kind == ':' }

func isValueOf(size int) func(r reply) bool {
	return func(r reply) bool { return r.kind == '$' && !r.null && len(r.text) == size }
}

func isArrayOf(n int) func(r reply) bool {
	want := strconv.Itoa(n)
	return func(r reply) bool { return r.kind == '*' && string(r.text) == want }
}
