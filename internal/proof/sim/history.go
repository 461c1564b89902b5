package sim

import (
	"encoding/json"
	"errors"
	"slices"

	"tutti/internal/proof/check"
	"tutti/internal/resp"
)

// History records what clients of a cluster do.
type History struct {
	*check.Recorder
	finalNodes []int // through which all keys of a load were read at the end
}

// NewHistory returns an empty history of what a Load does.
func NewHistory() *History {
	return &History{Recorder: check.NewRecorder(suite(), 0)}
}

// Do executes a command and records it. ok says that it was answered.
func (h *History) Do(client int, k *Client, args ...string) (out resp.Value, ok bool) {
	op := h.Call(client, k.at, check.Command(args...))
	v, err := k.Do(args...)
	if err != nil {
		h.lost(op, err)
		return v, false
	}
	return v, h.Answered(op, check.FromRESP(v))
}

func (h *History) lost(op check.Op, err error) {
	h.Lost(op, !errors.Is(err, errNotSent), "connection: "+err.Error())
}

// Pipe executes commands in one pipeline and records each.
func (h *History) Pipe(client int, k *Client, cmds ...[]string) (ok bool) {
	ops := make([]check.Op, len(cmds))
	for i, args := range cmds {
		ops[i] = h.Call(client, k.at, check.Command(args...))
	}
	values, err := k.Pipe(cmds...)
	ok = err == nil
	for i, op := range ops {
		if err != nil {
			h.lost(op, err)
		} else {
			ok = h.Answered(op, check.FromRESP(values[i])) && ok
		}
	}
	return ok
}

// Multi executes commands as one transaction, after the reads that were made
// under WATCH for it.
func (h *History) Multi(client int, k *Client, watched []check.Cmd, cmds ...[]string) (ok bool) {
	all := slices.Clone(watched)
	pipe := [][]string{{"MULTI"}}
	for _, args := range cmds {
		all = append(all, check.Command(args...))
		pipe = append(pipe, args)
	}
	op := h.Call(client, k.at, all...)
	values, err := k.Pipe(append(pipe, []string{"EXEC"})...)
	if err != nil {
		h.lost(op, err)
		return false
	}
	return h.Executed(op, check.FromRESP(values[len(values)-1]))
}

// transaction is a script that executes commands and returns their replies, as EXEC does.
const transaction = `local replies = {}
for i, args in ipairs(cjson.decode(ARGV[1])) do replies[i] = redis.call(unpack(args)) end
return replies`

// Script executes commands as one script, which finds their keys while it runs: what it
// must be is a transaction.
func (h *History) Script(client int, k *Client, cmds ...[]string) (ok bool) {
	all := make([]check.Cmd, len(cmds))
	for i, args := range cmds {
		all[i] = check.Command(args...)
	}
	list, err := json.Marshal(cmds)
	if err != nil {
		panic(err) // strings can be written
	}
	op := h.Call(client, k.at, all...)
	v, err := k.Do("EVAL", transaction, "1", cmds[0][1], string(list))
	if err != nil {
		h.lost(op, err)
		return false
	}
	return h.Executed(op, check.FromRESP(v))
}

// Swap sets key to value if nobody has changed it since it was read, by WATCH.
func (h *History) Swap(client int, k *Client, key, value string) (ok bool) {
	if v, err := k.Do("WATCH", key); err != nil || v.IsError() {
		return false
	}
	old, ok := h.Do(client, k, "GET", key)
	if !ok {
		return false
	}
	watched := []check.Cmd{check.Watched(check.FromRESP(old), "GET", key)}
	return h.Multi(client, k, watched, []string{"SET", key, value})
}
