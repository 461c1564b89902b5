package command

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"tutti/internal/resp"
	"tutti/internal/task"
)

var taskCommands = []Command{
	{Name: "task.add", Arity: -3, Flags: Write | DenyOOM | Tasks | MovableKeys, Keys: Keys{First: 1, Last: 1, Step: 1, Find: taskAddKeys, TaskIDs: isParent}, Group: "task", Since: "7.2.0",
		Syntax: "queue [COUNT n] payload [payload ...] [IN milliseconds | AT unix-time-milliseconds] [PRIO 0-9] [RETRY n] [BACKOFF min max] [TIMEOUT milliseconds] [TTL milliseconds] " +
			"[UNIQUE key] [KEY key] [NEAR key] [AFTER n id [id ...]] [KEEP milliseconds] [KEEPFAILED milliseconds]",
		Doc: "Adds a task to a queue and returns its id; with COUNT, n tasks and an array of their ids. With a UNIQUE key that a task of the queue has which has not ended, returns that one's.", Run: taskAdd},
	{Name: "task.claim", Arity: -4, Flags: Write | Tasks | Blocking | MovableKeys, Waits: &Waits{Patience: claimPatience}, Keys: Keys{First: 3, Last: -1, Step: 1, Find: taskClaimKeys}, Group: "task", Since: "7.2.0",
		Syntax: "worker [COUNT n] [BLOCK milliseconds] [LEASE milliseconds] FROM queue [queue ...]",
		Doc:    "Gives a worker up to n tasks, each as id, token, queue, attempt and payload; null if there are none. They are its own until it finishes them, or is silent for its lease.", Run: taskClaim},
	{Name: "task.done", Arity: -3, Flags: Write | Tasks, Keys: Keys{First: 1, Last: -1, Step: 3, TaskIDs: allIDs}, Group: "task", Since: "7.2.0",
		Syntax: "id token [result] [id token result ...]",
		Doc:    "Records the result of a task: 1, also if it is said again; 0 if the token is not that of its last claim, or the task has ended otherwise. In MULTI that undoes the transaction.", Run: taskDone},
	{Name: "task.fail", Arity: -4, Flags: Write | Tasks, Keys: Keys{First: 1, Last: 1, Step: 1, TaskIDs: allIDs}, Group: "task", Since: "7.2.0",
		Syntax: "id token error [IN milliseconds | DEAD | AGAIN] [RESULT result]",
		Doc:    "Records that an attempt failed: \"scheduled\" for the next one, \"dead\" if it was the last one, whose result is kept, or 0 as TASK.DONE. AGAIN gives a task back that was not tried: it does not count.", Run: taskFail},
	{Name: "task.beat", Arity: -2, Flags: Write | Tasks, Keys: Keys{First: 2, Last: -1, Step: 3, TaskIDs: allIDs, Split: &Split{Parts: beatParts, Join: beatJoin}}, Group: "task", Since: "7.2.0",
		Syntax: "worker [id fraction message ...]",
		Doc:    "A sign of life of a worker, which renews the leases of all of its tasks, with how far it is; returns the ids of those it need not go on with.", Run: taskBeat},
	{Name: "tutti.beat", Arity: -3, Flags: Write | Tasks | Admin | NoMulti | NoScript | Internal | MovableKeys, Keys: Keys{First: 1, Last: 1, Step: 1, Find: beatKeys, TaskIDs: allIDs}, Group: "server", Since: "7.2.0",
		Syntax: "place worker [id fraction message ...]", Doc: "The part of TASK.BEAT that is one shard's. Nodes send it.", Run: tuttiBeat},
	{Name: "task.get", Arity: -2, Flags: ReadOnly | Blocking, Waits: &Waits{Patience: getPatience}, Keys: Keys{First: 1, Last: 1, Step: 1, TaskIDs: allIDs}, Group: "task", Since: "7.2.0",
		Syntax: "id [WAIT milliseconds]", Doc: "Returns the fields of a task; null if there is none. With WAIT, once it has ended; null if it has not by then.", Run: taskGet},
	{Name: "task.cancel", Arity: -2, Flags: Write | Tasks, Keys: Keys{First: 1, Last: -1, Step: 1, TaskIDs: allIDs}, Group: "task", Since: "7.2.0",
		Syntax: "id [id ...]", Doc: "Ends tasks that have not ended, and returns how many. Who runs one learns it from TASK.BEAT; its result is refused.", Run: taskCancel},
	{Name: "task.retry", Arity: -2, Flags: Write | Tasks, Keys: Keys{First: 1, Last: -1, Step: 1, TaskIDs: allIDs}, Group: "task", Since: "7.2.0",
		Syntax: "id [id ...]", Doc: "Takes tasks up again that ended dead or cancelled, with all their attempts, and returns how many. They wait for no AFTER again.", Run: taskRetry},
	{Name: "task.list", Arity: -2, Flags: ReadOnly, Keys: oneKey, Group: "task", Since: "7.2.0",
		Syntax: "queue [STATE waiting | scheduled | ready | running | done | dead | cancelled] [CURSOR cursor] [COUNT n]",
		Doc:    "Returns a cursor, as SCAN, and tasks of a queue, each as id, state, attempt, when it ended, was claimed or else was added, and worker.", Run: taskList},
	{Name: "task.queue", Arity: -2, Flags: Write | Tasks, Keys: oneKey, Group: "task", Since: "7.2.0",
		Syntax: "queue [LIMIT n] [KEYLIMIT n] [RATE n] [MAXLEN n] [MAXBYTES n] [PAUSE | RESUME]",
		Doc:    "Changes how many tasks of a queue, and of each KEY, may run at once, how many may be claimed a second, and how many may be in it; 0 is the default. Returns its settings and counts.", Run: taskQueue},
	{Name: "task.queues", Arity: -1, Flags: ReadOnly | WholeShard, Group: "task", Since: "7.2.0",
		Syntax: "[pattern]", Doc: "Returns the names of the queues that match a pattern. A queue without tasks and settings is none.", Run: taskQueues},
}

const (
	errTaskID     = "ERR %.128q is not the id of a task"
	errTaskHere   = "ERR tasks can't be changed by a command or transaction that touches so many rows. Not applied. Split it into smaller ones."
	errTaskQueue  = "ERR the name of a queue has 1 to 128 bytes"
	errTaskWorker = "ERR the name of a worker has 1 to 128 bytes"
	errTaskToken  = "ERR the token must be the one that TASK.CLAIM gave"
)

// durationMax is about 100 years in milliseconds: sums of some stay in range.
const durationMax = 100 * 365 * 24 * 3_600_000

func allIDs([][]byte, int) bool { return true }

// KeyNames returns args with the queues in place of ids of tasks: what key patterns of
// users are matched with.
func (k *Keys) KeyNames(args [][]byte) [][]byte {
	if k.TaskIDs == nil {
		return args
	}
	names := slices.Clone(args)
	for i := range args {
		if queue := task.QueueOf(args[i]); queue != nil && k.TaskIDs(args, i) {
			names[i] = queue
		}
	}
	return names
}

// changeTasks begins a change, or answers why there is none.
func changeTasks(c *Ctx) (*task.Change, bool) {
	if c.Tasks == nil || !c.Tx.Writable() {
		c.Error(errTaskHere)
		return nil, false
	}
	return task.Begin(c.Tx, c.Tasks), true
}

// taskID parses argument i as the id of a task, or answers the error.
func taskID(c *Ctx, i int) (queue []byte, ref task.Ref, ok bool) {
	if queue, ref, ok = task.ParseID(c.Args[i]); !ok {
		c.Error(fmt.Sprintf(errTaskID, c.Args[i]))
	}
	return queue, ref, ok
}

// taskName looks whether argument i can be the name of a queue or a worker, or
// answers the error.
func taskName(c *Ctx, i int, text string) bool {
	ok := len(c.Args[i]) > 0 && len(c.Args[i]) <= task.QueueMax
	if !ok {
		c.Error(text)
	}
	return ok
}

// taskToken parses argument i, or answers the error.
func taskToken(c *Ctx, i int) (token uint64, ok bool) {
	n, ok := resp.ParseInt(c.Args[i])
	if !ok || n <= 0 {
		c.Error(errTaskToken)
		return 0, false
	}
	return uint64(n), true
}

// taskSyntax answers that argument i is none that may stand there, or that there should
// be one behind the last.
func taskSyntax(c *Ctx, i int) {
	i = min(i, len(c.Args)-1)
	c.Error(fmt.Sprintf("%s at %.32q: it is no option of %.16s, or lacks what belongs behind it", TextSyntax, c.Args[i], bytes.ToUpper(c.Args[0])))
}

// taskNumber parses argument i as an integer from low to high, or answers the error.
func taskNumber(c *Ctx, i int, low, high int64) (n int64, ok bool) {
	if i >= len(c.Args) {
		taskSyntax(c, i)
		return 0, false
	}
	if n, ok = resp.ParseInt(c.Args[i]); !ok || n < low || n > high {
		c.Error(fmt.Sprintf("ERR the number after %.32s must be an integer from %d to %d", c.Args[i-1], low, high))
		return 0, false
	}
	return n, true
}

// taskRefused answers that a change is not to be, which undoes it.
func taskRefused(c *Ctx, err error) {
	if busy, ok := errors.AsType[*task.BusyError](err); ok {
		c.Error(busy.Error())
	}
}

// claimArgs are the arguments of TASK.CLAIM.
type claimArgs struct {
	count  int
	block  int64 // negative: not at all
	lease  time.Duration
	queues [][]byte
}

func parseClaim(c *Ctx) (a claimArgs, ok bool) {
	a = claimArgs{count: 1, block: -1, lease: task.LeaseDefault}
	for i := 2; i < len(c.Args); i += 2 {
		var n int64
		switch {
		case c.is(i, "COUNT"):
			n, ok = taskNumber(c, i+1, 1, task.PayloadsMax)
			a.count = int(n)
		case c.is(i, "BLOCK"):
			a.block, ok = taskNumber(c, i+1, 0, durationMax)
		case c.is(i, "LEASE"):
			n, ok = taskNumber(c, i+1, task.LeaseMin.Milliseconds(), task.LeaseMax.Milliseconds())
			a.lease = time.Duration(n) * time.Millisecond
		case c.is(i, "FROM"):
			a.queues = c.Args[i+1:]
			for j := range a.queues {
				if !taskName(c, i+1+j, errTaskQueue) {
					return a, false
				}
			}
			if len(a.queues) == 0 || len(a.queues) > queuesOfClaimMax {
				c.Error(fmt.Sprintf("ERR TASK.CLAIM takes 1 to %d queues behind FROM", queuesOfClaimMax))
				return a, false
			}
			return a, true
		default:
			taskSyntax(c, i)
			return a, false
		}
		if !ok {
			return a, false
		}
	}
	c.Error("ERR TASK.CLAIM needs FROM and the names of queues")
	return a, false
}

// claimPatience is how long TASK.CLAIM waits.
func claimPatience(args [][]byte) (time.Duration, bool) {
	for i := 2; i+1 < len(args) && !resp.IsWord(args[i], "FROM"); i += 2 {
		if resp.IsWord(args[i], "BLOCK") {
			return patienceOf(args[i+1])
		}
	}
	return 0, false
}

// getPatience is how long TASK.GET waits.
func getPatience(args [][]byte) (time.Duration, bool) {
	if len(args) != 4 || !resp.IsWord(args[2], "WAIT") {
		return 0, false
	}
	return patienceOf(args[3])
}

// patienceOf parses milliseconds; what is wrong with them the command says.
func patienceOf(ms []byte) (time.Duration, bool) {
	n, ok := resp.ParseInt(ms)
	return time.Duration(n) * time.Millisecond, ok && n >= 0 && n <= durationMax
}

// queuesOfClaimMax bounds where one claim looks.
const queuesOfClaimMax = 64

func taskClaimKeys(args [][]byte) (keys []int) {
	for i := 2; i < len(args); i += 2 {
		if resp.IsWord(args[i], "FROM") {
			for j := i + 1; j < len(args); j++ {
				keys = append(keys, j)
			}
			break
		}
	}
	return keys
}

func taskClaim(c *Ctx) {
	a, ok := parseClaim(c)
	if !ok || !taskName(c, 1, errTaskWorker) {
		return
	}
	ch, ok := changeTasks(c)
	if !ok {
		return
	}
	claims := ch.Claim(c.Args[1], a.lease, a.count, a.queues)
	ch.End()
	if len(claims) == 0 {
		c.NullArray()
		if a.block >= 0 {
			topics := make([][]byte, len(a.queues))
			for i, q := range a.queues {
				topics[i] = task.QueueTopic(q)
			}
			c.Wait(topics...)
		}
		return
	}
	c.Array(len(claims))
	for _, cl := range claims {
		c.Array(5)
		c.Bulk(task.AppendID(nil, cl.Queue, cl.Ref))
		c.Bulk(strconv.AppendUint(nil, cl.Token, 10))
		c.Bulk(cl.Queue)
		c.Int(int64(cl.Attempt))
		c.Bulk(cl.Payload)
	}
}

func taskDone(c *Ctx) {
	n := len(c.Args) - 1
	if n > 3 && n%3 != 0 {
		c.wrongArity()
		return
	}
	ch, ok := changeTasks(c)
	if !ok {
		return
	}
	if n > 3 {
		c.Array(n / 3)
	}
	for i := 1; i < len(c.Args); i += 3 {
		queue, ref, ok := taskID(c, i)
		if !ok {
			return
		}
		token, ok := taskToken(c, i+1)
		if !ok {
			return
		}
		var result []byte
		if i+2 < len(c.Args) {
			result = c.Args[i+2]
		}
		if !isResult(c, result) {
			return
		}
		done := ch.Done(queue, ref, token, result)
		if !done && fencedInside(c, c.Args[i]) {
			return
		}
		c.Bool(done)
	}
	ch.End()
}

// fencedInside undoes a transaction with a finish that came too late.
func fencedInside(c *Ctx, id []byte) bool {
	if !c.atomic {
		return false
	}
	c.Error(fmt.Sprintf("FENCED task %.200s has ended, or somebody else has claimed it. Your writes were not applied.", id))
	return true
}

// parseFailure parses what follows the token of TASK.FAIL, or answers the error.
func parseFailure(c *Ctx) (f task.Failure, ok bool) {
	f = task.Failure{Text: c.Args[3], Wait: -1}
	for i := 4; i < len(c.Args); i++ {
		switch last := i+1 == len(c.Args); {
		case c.is(i, "DEAD") && i == 4:
			f.Final = true
		case c.is(i, "AGAIN") && i == 4:
			f.Free = true
		case c.is(i, "IN") && i == 4:
			i++
			if f.Wait, ok = taskNumber(c, i, 0, durationMax); !ok {
				return f, false
			}
		case c.is(i, "RESULT") && !last:
			i++
			if f.Result = c.Args[i]; !isResult(c, f.Result) {
				return f, false
			}
		default:
			taskSyntax(c, i)
			return f, false
		}
	}
	return f, true
}

// isResult looks whether a result may be recorded, or answers the error.
func isResult(c *Ctx, result []byte) bool {
	if len(result) > task.ResultMax {
		c.Error("ERR a result has at most 1 MiB. Not applied. Put it into a key.")
		return false
	}
	return true
}

func taskFail(c *Ctx) {
	queue, ref, ok := taskID(c, 1)
	if !ok {
		return
	}
	token, ok := taskToken(c, 2)
	if !ok {
		return
	}
	f, ok := parseFailure(c)
	if !ok {
		return
	}
	ch, ok := changeTasks(c)
	if !ok {
		return
	}
	state := ch.Fail(queue, ref, token, f)
	ch.End()
	switch {
	case state != 0:
		c.BulkString(state.String())
	case !fencedInside(c, c.Args[1]):
		c.Int(0)
	}
}

func taskBeat(c *Ctx) {
	if (len(c.Args)-2)%3 != 0 {
		c.wrongArity()
		return
	}
	if !taskName(c, 1, errTaskWorker) {
		return
	}
	ch, ok := changeTasks(c)
	if !ok {
		return
	}
	var lost [][]byte
	for i := 2; i < len(c.Args); i += 3 {
		queue, ref, ok := taskID(c, i)
		if !ok {
			return
		}
		fraction, ok := c.float(i + 1)
		if !ok {
			return
		}
		if fraction < 0 || fraction > 1 || math.IsNaN(fraction) {
			c.Error("ERR the fraction must be from 0 to 1")
			return
		}
		message := c.Args[i+2]
		p := task.Progress{Fraction: fraction, Message: message[:min(len(message), task.MessageMax)]}
		if !ch.Report(queue, ref, c.Args[1], p) {
			lost = append(lost, c.Args[i])
		}
	}
	for _, s := range ch.Beat(c.Args[1]) {
		lost = append(lost, task.AppendID(nil, s.Queue, s.Ref))
	}
	ch.End()
	lost = withoutRepetitions(lost)
	c.Array(len(lost))
	for _, id := range lost {
		c.Bulk(id)
	}
}

func withoutRepetitions(list [][]byte) (out [][]byte) {
	seen := make(map[string]bool, len(list))
	for _, b := range list {
		if !seen[string(b)] {
			seen[string(b)] = true
			out = append(out, b)
		}
	}
	return out
}

func taskCancel(c *Ctx) {
	eachTask(c, func(ch *task.Change, queue []byte, ref task.Ref) (bool, error) { return ch.Cancel(queue, ref), nil })
}

func taskRetry(c *Ctx) { eachTask(c, (*task.Change).Retry) }

// eachTask changes tasks and answers how many it changed.
func eachTask(c *Ctx, change func(ch *task.Change, queue []byte, ref task.Ref) (bool, error)) {
	ch, ok := changeTasks(c)
	if !ok {
		return
	}
	var n int64
	for i := range c.Args[1:] {
		queue, ref, ok := taskID(c, i+1)
		if !ok {
			return
		}
		changed, err := change(ch, queue, ref)
		if err != nil {
			taskRefused(c, err)
			return
		}
		if changed {
			n++
		}
	}
	ch.End()
	c.Int(n)
}
