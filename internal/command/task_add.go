package command

import (
	"bytes"
	"fmt"

	"tutti/internal/resp"
	"tutti/internal/task"
)

// TASK.ADD queue payload options. With the word COUNT and a number behind the queue,
// so many payloads follow: no option begins with a number, so a payload "COUNT" is
// told apart from it.

// addPayloads returns where the payloads begin and how many there are; counted says
// that COUNT was given.
func addPayloads(args [][]byte) (at, n int, counted bool) {
	if len(args) > 3 && resp.IsWord(args[2], "COUNT") {
		if n, ok := resp.ParseInt(args[3]); ok {
			return 4, int(max(-1, min(n, task.PayloadsMax+1))), true
		}
	}
	return 2, 1, false
}

// addOptions calls f with the place of each option and how many arguments it has, as
// long as they can be told apart and f wants more. It returns the place where that
// ended, and whether it is the end of all.
func addOptions(args [][]byte, f func(at, n int) bool) (ended int, all bool) {
	at, n, _ := addPayloads(args)
	for i := at + max(n, 0); i < len(args); {
		more := 1
		switch {
		case resp.IsWord(args[i], "BACKOFF"):
			more = 2
		case resp.IsWord(args[i], "AFTER"):
			if i+1 < len(args) {
				n, ok := resp.ParseInt(args[i+1])
				if !ok || n < 1 || n > task.ParentsMax {
					return i, false
				}
				more = 1 + int(n)
			}
		}
		if i+more >= len(args) || !f(i, more) {
			return i, false
		}
		i += 1 + more
	}
	return len(args), true
}

// taskAddKeys finds the queue, the key of NEAR, and the tasks of AFTER.
func taskAddKeys(args [][]byte) []int {
	keys := []int{1}
	addOptions(args, func(at, n int) bool {
		switch {
		case resp.IsWord(args[at], "NEAR"):
			keys = append(keys, at+1)
		case resp.IsWord(args[at], "AFTER"):
			for i := at + 2; i <= at+n; i++ {
				keys = append(keys, i)
			}
		}
		return true
	})
	return keys
}

// isParent tells which of the keys of TASK.ADD are tasks.
func isParent(args [][]byte, key int) (is bool) {
	addOptions(args, func(at, n int) bool {
		is = is || resp.IsWord(args[at], "AFTER") && at+2 <= key && key <= at+n
		return true
	})
	return is
}

func taskAdd(c *Ctx) {
	a := task.Addition{Queue: c.Args[1], Options: task.DefaultOptions()}
	at, n, counted := addPayloads(c.Args)
	if !taskName(c, 1, errTaskQueue) || !addTakes(c, &a, at, n) {
		return
	}
	var given []int
	ended, all := addOptions(c.Args, func(at, _ int) bool {
		ok := isGivenOnce(c, given, at) && addOption(c, &a, at)
		given = append(given, at)
		return ok
	})
	if !all {
		addSyntax(c, ended)
		return
	}
	switch {
	case len(a.Unique) > 0 && counted && n > 1:
		c.Error("ERR UNIQUE is of one task: there can't be several payloads")
		return
	case len(a.After)*n > parentLinksMax:
		c.Error("ERR so many tasks can't wait for so many others at once. Not applied. Split it into smaller ones.")
		return
	}
	ch, ok := changeTasks(c)
	if !ok {
		return
	}
	refs, err := ch.Add(&a)
	ch.End()
	if err != nil {
		taskRefused(c, err)
		return
	}
	if counted {
		c.Array(len(refs))
	}
	for _, ref := range refs {
		c.Bulk(task.AppendID(nil, a.Queue, ref))
	}
}

// addSyntax answers what is wrong with the option at i, if nothing has yet.
func addSyntax(c *Ctx, i int) {
	switch {
	case c.failed:
	case i < len(c.Args) && c.is(i, "AFTER"):
		c.Error(fmt.Sprintf("%s at \"AFTER\": it takes a number from 1 to %d and so many ids of tasks", TextSyntax, task.ParentsMax))
	default:
		taskSyntax(c, i)
	}
}

// isGivenOnce looks whether the option at i stands apart from those given before, or
// answers the error: of two times or two keys one would be left out in silence.
func isGivenOnce(c *Ctx, given []int, i int) bool {
	for _, j := range given {
		if bytes.EqualFold(c.Args[i], c.Args[j]) || c.is(i, "AT") && c.is(j, "IN") || c.is(i, "IN") && c.is(j, "AT") {
			c.Error(fmt.Sprintf("%s at %.32q: there is %.32q already", TextSyntax, c.Args[i], c.Args[j]))
			return false
		}
	}
	return true
}

// parentLinksMax bounds the rows that one TASK.ADD writes for AFTER.
const parentLinksMax = 4096

// addTakes takes the payloads, or answers the error.
func addTakes(c *Ctx, a *task.Addition, at, n int) bool {
	switch {
	case n < 1 || n > task.PayloadsMax:
		c.Error("ERR COUNT must be from 1 to 1000")
		return false
	case at+n > len(c.Args):
		taskSyntax(c, at+n)
		return false
	}
	a.Payloads = c.Args[at : at+n]
	for _, p := range a.Payloads {
		if len(p) > task.PayloadMax {
			c.Error("ERR a payload has at most 1 MiB. Not applied. Put it into a key.")
			return false
		}
	}
	return true
}

// addOption takes one option, whose arguments are there, or answers the error.
func addOption(c *Ctx, a *task.Addition, i int) (ok bool) {
	ms := func(to *int64, low int64) bool {
		n, ok := taskNumber(c, i+1, low, durationMax)
		*to = n
		return ok
	}
	key := func(to *[]byte) bool {
		if *to = c.Args[i+1]; len(*to) == 0 || len(*to) > task.KeyMax {
			c.Error("ERR the key of UNIQUE or KEY has 1 to 1024 bytes")
			return false
		}
		return true
	}
	switch {
	case c.is(i, "IN"):
		ok = ms(&a.RunAt, 0)
		a.RunAt += c.Tx.Now
	case c.is(i, "AT"):
		ok = ms(&a.RunAt, 0)
	case c.is(i, "PRIO"):
		var n int64
		n, ok = taskNumber(c, i+1, 0, 9)
		a.Prio = uint8(n)
	case c.is(i, "RETRY"):
		var n int64
		n, ok = taskNumber(c, i+1, 0, 1_000_000)
		a.Retries = uint32(n)
	case c.is(i, "BACKOFF"):
		if a.BackoffMin, ok = taskNumber(c, i+1, 0, durationMax); !ok {
			return false
		}
		if a.BackoffMax, ok = resp.ParseInt(c.Args[i+2]); !ok || a.BackoffMax < a.BackoffMin || a.BackoffMax > durationMax {
			c.Error("ERR BACKOFF takes a minimum and a maximum in milliseconds")
			return false
		}
	case c.is(i, "TIMEOUT"):
		ok = ms(&a.Options.Timeout, 1)
	case c.is(i, "TTL"):
		ok = ms(&a.TTL, 1)
	case c.is(i, "KEEP"):
		ok = ms(&a.Keep, 0)
	case c.is(i, "KEEPFAILED"):
		ok = ms(&a.KeepFailed, 0)
	case c.is(i, "UNIQUE"):
		ok = key(&a.Unique)
	case c.is(i, "KEY"):
		ok = key(&a.Key)
	case c.is(i, "NEAR"):
		a.Near, ok = c.Args[i+1], true
	case c.is(i, "AFTER"):
		return addParents(c, a, i)
	default:
		taskSyntax(c, i)
	}
	return ok
}

func addParents(c *Ctx, a *task.Addition, i int) bool {
	n, _ := resp.ParseInt(c.Args[i+1])
	for j := range int(n) {
		queue, ref, ok := taskID(c, i+2+j)
		if !ok {
			return false
		}
		a.After = append(a.After, task.Parent{ID: c.Args[i+2+j], Queue: queue, Ref: ref})
	}
	return true
}
