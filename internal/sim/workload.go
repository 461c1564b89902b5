package sim

import (
	"fmt"

	"tutti/internal/check"
)

// workload is what clients do with a kind of key, and what judges it.
type workload struct {
	name   string // also that of the checker
	prefix string // of its keys
	keys   int    // that one subject has; 0: one
	// do executes some commands and returns how many, and whether all were
	// answered.
	do   func(w worker, keys []string, value int) (n int, ok bool)
	read func(key string) []string // all of a key
}

var workloads = []workload{
	{name: "register", prefix: "r:", do: worker.register, read: get},
	{name: "list", prefix: "l:", do: worker.list, read: lrange},
}

// suite gives every workload its checker.
func suite() check.Suite {
	var s check.Suite
	for _, w := range workloads {
		s.Rules = append(s.Rules, check.Rule{Prefix: w.prefix, Check: w.name})
	}
	return s
}

func get(key string) []string    { return []string{"GET", key} }
func lrange(key string) []string { return []string{"LRANGE", key, "0", "-1"} }

// one executes one command.
func (w worker) one(args ...string) (int, bool) {
	_, ok := w.Do(w.id, w.k, args...)
	return 1, ok
}

// pipeline executes three commands at once.
func (w worker) pipeline(command func(value int) []string, value int) (int, bool) {
	return 3, w.Pipe(w.id, w.k, command(value), command(value+1), command(value+2))
}

func (w worker) register(keys []string, value int) (int, bool) {
	key := keys[0]
	command := func(value int) []string {
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
	}
	switch n := w.r.IntN(100); {
	case n < 10:
		return w.pipeline(command, value)
	case n < 15:
		return 1, w.Multi(w.id, w.k, nil, []string{"INCR", key}, get(key))
	case n < 20:
		return 1, w.Multi(w.id, w.k, nil, get(key), get(key))
	case n < 30:
		return 2, w.Swap(w.id, w.k, key, fmt.Sprint(value))
	}
	return w.one(command(value)...)
}

func (w worker) list(keys []string, value int) (int, bool) {
	key := keys[0]
	command := func(value int) []string {
		switch n := w.r.IntN(100); {
		case n < 30:
			return lrange(key)
		case n < 75:
			return []string{"RPUSH", key, fmt.Sprint(value)}
		default:
			return []string{"LPOP", key}
		}
	}
	if w.r.IntN(10) == 0 {
		return w.pipeline(command, value)
	}
	return w.one(command(value)...)
}
