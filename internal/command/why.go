package command

import (
	"encoding/json"
	"fmt"

	"tutti/internal/keyspace"
	"tutti/internal/task"
)

var whyCommands = []Command{
	{Name: "tutti.why", Arity: 2, Where: OnNode, Flags: ReadOnly | NoMulti | NoScript | Loading | Stale, Keys: Keys{First: 1, Last: 1, Step: 1, TaskIDs: allIDs}, Group: "server", Since: "7.2.0",
		Syntax: "<key | task-id>", Doc: "Says as JSON where a key or a task lives, who leads its shard since when, what it waits for, and what would free it."},
	{Name: "tutti.inspect", Arity: 2, Flags: ReadOnly | Admin | NoMulti | Internal, Keys: Keys{First: 1, Last: 1, Step: 1, TaskIDs: allIDs}, Group: "server", Since: "7.2.0",
		Syntax: "<key | task-id>", Doc: "Returns what the leader of a shard knows of a key or a task. Nodes send it.", Run: tuttiInspect},
}

// Reason is one thing that something waits for.
type Reason = task.Reason

// Inspection is what is known of a key or a task where its rows are.
type Inspection struct {
	// Time is the shard's, in milliseconds since 1970, as all times here.
	Time int64  `json:"time"`
	Term uint64 `json:"term,omitempty"`
	// Led is for how many milliseconds its leader has led.
	Led   int64           `json:"led,omitempty"`
	Task  *InspectedTask  `json:"task,omitempty"`
	Key   *InspectedKey   `json:"key,omitempty"`
	Queue *InspectedQueue `json:"queue,omitempty"`
}

// InspectedTask is a task that there is.
type InspectedTask struct {
	Queue   string   `json:"queue"`
	State   string   `json:"state"`
	Since   int64    `json:"since"`             // when it ended, was claimed, or else was added
	Pending bool     `json:"pending,omitempty"` // it has neither ended nor is it claimed
	Attempt uint32   `json:"attempt"`
	Ahead   uint64   `json:"ahead,omitempty"`
	Reasons []Reason `json:"reasons,omitempty"`
}

// InspectedKey is what there is under the name of a key, in the database it was asked
// for in.
type InspectedKey struct {
	Type    string `json:"type"`              // none if there is no such key
	Expires int64  `json:"expires,omitempty"` // 0: never
	// Waiters is how many commands wait for elements of it.
	Waiters int `json:"waiters"`
}

// InspectedQueue is a queue of tasks of the same name as the key.
type InspectedQueue struct {
	Paused  bool     `json:"paused"`
	Open    uint64   `json:"open"` // tasks that have not ended
	Running uint64   `json:"running"`
	Dead    uint64   `json:"dead"`
	Workers int      `json:"workers"` // claims that wait
	Reasons []Reason `json:"reasons,omitempty"`
}

func tuttiInspect(c *Ctx) {
	x := Inspection{Time: c.Tx.Now, Term: c.Term, Led: c.Led.Milliseconds()}
	if queue, ref, ok := task.ParseID(c.Args[1]); ok {
		if a := task.Why(c.Tx, c.Tasks, c.Waiters, queue, ref); a != nil {
			x.Task = &InspectedTask{Queue: string(a.Queue), State: a.State.String(), Since: a.Since(), Pending: a.State < task.Running, Attempt: a.Attempt, Ahead: a.Ahead, Reasons: a.Reasons}
		}
	}
	if x.Task == nil {
		x.Key = inspectKey(c)
		x.Queue = inspectQueue(c)
	}
	text, err := json.Marshal(x)
	if err != nil {
		c.Error(fmt.Sprintf("ERR %v", err))
		return
	}
	c.Bulk(text)
}

func inspectKey(c *Ctx) *InspectedKey {
	k := &InspectedKey{Type: "none"}
	if o := c.Tx.Open(c.DB, c.Args[1]); o != nil {
		k.Type, k.Expires = o.Type.String(), o.Expire
	}
	if c.Waiters != nil {
		k.Waiters = c.Waiters(keyspace.KeyTopic(c.DB, c.Args[1]))
	}
	return k
}

// inspectQueue looks whether a queue goes by the name of the key; nil: none does.
func inspectQueue(c *Ctx) *InspectedQueue {
	if n := len(c.Args[1]); n == 0 || n > task.QueueMax {
		return nil
	}
	q := task.LoadQueue(c.Tx, c.Args[1])
	if q == nil || q.Settings == (task.Settings{}) && q.Now == (task.Counts{}).Now {
		return nil
	}
	out := &InspectedQueue{Paused: q.Paused, Open: q.Open(), Running: q.Now[task.Running], Dead: q.Now[task.Dead], Reasons: q.Reasons(c.Tasks)}
	if c.Waiters != nil {
		out.Workers = c.Waiters(task.QueueTopic(c.Args[1]))
	}
	return out
}
