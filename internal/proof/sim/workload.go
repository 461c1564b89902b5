package sim

import (
	"fmt"
	"strings"
	"time"

	"tutti/internal/proof/check"
)

// workload is what clients do with a kind of key, and what judges it.
type workload struct {
	name   string // also that of the checker, which has a blank for a hyphen
	prefix string // of its keys
	keys   int    // that one subject has, all of one shard; 0: one
	// setup makes the keys of a subject that lives as long as the load. Nil: a
	// subject begins empty, and is replaced after some operations.
	setup func(w worker, keys []string) (ok bool)
	// do executes some commands and returns how many, and whether all were
	// answered.
	do   func(w worker, keys []string, value int) (n int, ok bool)
	read func(key string) []string // all of a key
	// rest reads what read does not show. Nil: it shows all.
	rest func(key string) []string
	// timed says that the clocks must be right.
	timed bool
}

var workloads = []workload{
	{name: "register", prefix: "r:", do: worker.register, read: get},
	{name: "list", prefix: "l:", do: worker.list, read: lrange},
	{name: "hash", prefix: "h:", do: worker.hash, read: func(key string) []string { return []string{"HGETALL", key} }},
	{name: "set", prefix: "s:", do: worker.set, read: smembers},
	{name: "sorted-set", prefix: "z:", do: worker.sortedSet, read: func(key string) []string { return []string{"ZRANGE", key, "0", "-1"} }},
	{name: "append", prefix: "a:", keys: 3, do: worker.append, read: lrange},
	{name: "bank", prefix: "b:", keys: 5, setup: worker.openBank, do: worker.bank, read: get},
	{name: "adds", prefix: "u:", do: worker.adds, read: smembers},
	{name: "stream", prefix: "x:", do: worker.stream, read: xrange, rest: xpending},
	{name: "expiry", prefix: "e:", do: worker.expiry, read: get, timed: true},
	{name: "lock", prefix: "k:", do: worker.lock, read: get, timed: true},
}

const (
	bankAccounts = 5
	bankOpening  = 100 // in each account
)

// timeError is by how much deadlines are off while clocks are right. Early ends
// are bounded by what GUARANTEES says.
var timeError = check.TimeError{
	Early: check.Slack{Fixed: 10 * time.Millisecond, Share: 0.05},
	Late:  check.Slack{Fixed: 2 * time.Second, Share: 0.06},
}

// suite gives every workload its checker.
func suite() check.Suite {
	s := check.Suite{TimeError: timeError}
	for _, w := range workloads {
		r := check.Rule{Prefix: w.prefix, Check: strings.ReplaceAll(w.name, "-", " ")}
		if w.name == "bank" {
			r.Total, r.Negative = bankAccounts*bankOpening, true
		}
		s.Rules = append(s.Rules, r)
	}
	return s
}

func get(key string) []string      { return []string{"GET", key} }
func lrange(key string) []string   { return []string{"LRANGE", key, "0", "-1"} }
func xrange(key string) []string   { return []string{"XRANGE", key, "-", "+"} }
func xpending(key string) []string { return []string{"XPENDING", key, streamGroup} }
func smembers(key string) []string { return []string{"SMEMBERS", key} }

// one executes one command.
func (w worker) one(args ...string) (int, bool) {
	_, ok := w.Do(w.id, w.k, args...)
	return 1, ok
}

// some executes one command, or three of them in a pipeline.
func (w worker) some(command func(value int) []string, value int) (int, bool) {
	if w.r.IntN(10) == 0 {
		return 3, w.Pipe(w.id, w.k, command(value), command(value+1), command(value+2))
	}
	return w.one(command(value)...)
}

func (w worker) multi(cmds ...[]string) (int, bool) { return 1, w.Multi(w.id, w.k, nil, cmds...) }

// watch reads keys under WATCH; ok is false if it could not.
func (w worker) watch(reads ...[]string) (watched []check.Cmd, ok bool) {
	args := []string{"WATCH"}
	for _, r := range reads {
		args = append(args, r[1])
	}
	if v, err := w.k.Do(args...); err != nil || v.IsError() {
		return nil, false
	}
	for _, r := range reads {
		v, ok := w.Do(w.id, w.k, r...)
		if !ok {
			return nil, false
		}
		watched = append(watched, check.Watched(check.FromRESP(v), r...))
	}
	return watched, true
}

func (w worker) register(keys []string, value int) (int, bool) {
	key := keys[0]
	switch n := w.r.IntN(100); {
	case n < 5:
		return w.multi([]string{"INCR", key}, get(key))
	case n < 10:
		return w.multi(get(key), get(key))
	case n < 20:
		return 2, w.Swap(w.id, w.k, key, fmt.Sprint(value))
	}
	return w.some(func(value int) []string {
		switch n := w.r.IntN(100); {
		case n < 40:
			return get(key)
		case n < 55:
			return []string{"SET", key, fmt.Sprint(value)}
		case n < 80:
			return []string{"INCR", key}
		case n < 92:
			return []string{"SETNX", key, fmt.Sprint(value)}
		default:
			return []string{"DEL", key}
		}
	}, value)
}

func (w worker) list(keys []string, value int) (int, bool) {
	key := keys[0]
	return w.some(func(value int) []string {
		switch n := w.r.IntN(100); {
		case n < 30:
			return lrange(key)
		case n < 75:
			return []string{"RPUSH", key, fmt.Sprint(value)}
		default:
			return []string{"LPOP", key}
		}
	}, value)
}

// members are few, so that clients meet.
func (w worker) member() string { return fmt.Sprint("m", w.r.IntN(4)) }

func (w worker) hash(keys []string, value int) (int, bool) {
	key := keys[0]
	return w.some(func(value int) []string {
		switch n := w.r.IntN(100); {
		case n < 20:
			return []string{"HGETALL", key}
		case n < 35:
			return []string{"HGET", key, w.member()}
		case n < 60:
			return []string{"HSET", key, w.member(), fmt.Sprint(value)}
		case n < 75:
			return []string{"HINCRBY", key, w.member(), "1"}
		case n < 85:
			return []string{"HSETNX", key, w.member(), fmt.Sprint(value)}
		default:
			return []string{"HDEL", key, w.member()}
		}
	}, value)
}

func (w worker) set(keys []string, value int) (int, bool) {
	key := keys[0]
	return w.some(func(value int) []string {
		switch n := w.r.IntN(100); {
		case n < 25:
			return smembers(key)
		case n < 40:
			return []string{"SISMEMBER", key, w.member()}
		case n < 70:
			return []string{"SADD", key, w.member()}
		default:
			return []string{"SREM", key, w.member()}
		}
	}, value)
}

func (w worker) sortedSet(keys []string, value int) (int, bool) {
	key := keys[0]
	return w.some(func(value int) []string {
		switch n := w.r.IntN(100); {
		case n < 25:
			return []string{"ZRANGE", key, "0", "-1"}
		case n < 40:
			return []string{"ZSCORE", key, w.member()}
		case n < 65:
			return []string{"ZADD", key, fmt.Sprint(value), w.member()}
		case n < 85:
			return []string{"ZINCRBY", key, "1", w.member()}
		default:
			return []string{"ZPOPMIN", key}
		}
	}, value)
}

// append executes transactions that append to lists and read them, some of them
// after reads under WATCH.
func (w worker) append(keys []string, value int) (int, bool) {
	var watched []check.Cmd
	if w.r.IntN(4) == 0 {
		var ok bool
		if watched, ok = w.watch(lrange(keys[w.r.IntN(len(keys))])); !ok {
			return 1, false
		}
	}
	var cmds [][]string
	for i := range 1 + w.r.IntN(4) {
		key := keys[w.r.IntN(len(keys))]
		if w.r.IntN(2) == 0 {
			cmds = append(cmds, lrange(key))
		} else {
			cmds = append(cmds, []string{"RPUSH", key, fmt.Sprint(value + i)})
		}
	}
	return 1, w.Multi(w.id, w.k, watched, cmds...)
}

func (w worker) openBank(keys []string) bool {
	args := []string{"MSET"}
	for _, key := range keys {
		args = append(args, key, fmt.Sprint(bankOpening))
	}
	_, ok := w.one(args...)
	return ok
}

// bank moves money between accounts, by transactions and by scripts, and reads all of
// them.
func (w worker) bank(keys []string, _ int) (int, bool) {
	if w.r.IntN(3) == 0 {
		if w.r.IntN(2) == 0 {
			return w.one(append([]string{"MGET"}, keys...)...)
		}
		var cmds [][]string
		for _, key := range keys {
			cmds = append(cmds, get(key))
		}
		return w.multi(cmds...)
	}
	from, to, amount := w.r.IntN(len(keys)), w.r.IntN(len(keys)-1), 1+w.r.IntN(20)
	if to >= from {
		to++
	}
	cmds := [][]string{{"DECRBY", keys[from], fmt.Sprint(amount)}, {"INCRBY", keys[to], fmt.Sprint(amount)}}
	if amount%2 == 0 {
		return 1, w.Script(w.id, w.k, cmds...)
	}
	return w.multi(cmds...)
}

func (w worker) adds(keys []string, value int) (int, bool) {
	if w.r.IntN(20) == 0 {
		return w.one(smembers(keys[0])...)
	}
	return w.one("SADD", keys[0], fmt.Sprint(value))
}

// life is a time to live in milliseconds.
func (w worker) life() string { return fmt.Sprint(200 + w.r.IntN(6000)) }

func (w worker) expiry(keys []string, value int) (int, bool) {
	key := keys[0]
	switch n := w.r.IntN(100); {
	case n < 55:
		return w.one(get(key)...)
	case n < 80:
		return w.one("SET", key, fmt.Sprint(value), "PX", w.life())
	case n < 90:
		return w.one("PEXPIRE", key, w.life())
	default:
		return w.one("PTTL", key)
	}
}

// lock takes a lock, or releases it if it is still its own.
func (w worker) lock(keys []string, value int) (int, bool) {
	key := keys[0]
	v, ok := w.Do(w.id, w.k, "SET", key, fmt.Sprint(value), "NX", "PX", w.life())
	if !ok || v.Null {
		return 1, ok
	}
	if w.r.IntN(4) == 0 { // it is left to expire
		return 1, true
	}
	time.Sleep(time.Duration(w.r.IntN(1000)) * time.Millisecond)
	watched, ok := w.watch(get(key))
	if !ok {
		return 2, false
	}
	if watched[0].Reply.Str != fmt.Sprint(value) { // it has expired
		_, err := w.k.Do("UNWATCH")
		return 2, err == nil
	}
	return 3, w.Multi(w.id, w.k, watched, []string{"DEL", key})
}
