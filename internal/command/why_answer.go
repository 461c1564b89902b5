package command

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/task"
)

// Why is what TUTTI.WHY answers. Times are the shard's, in milliseconds since 1970.
type Why struct {
	Name string `json:"name"`
	// Text is the answer in one sentence, and Do what frees it; empty: nothing need be
	// done.
	Text string `json:"text"`
	Do   string `json:"do,omitempty"`
	// Found says whether there is a task, a key or a queue of the name; nil: not known.
	Found *bool `json:"found,omitempty"`
	// Reasons are all of what it waits for, the one of Text first.
	Reasons []Reason `json:"reasons,omitempty"`

	Slot   uint16          `json:"slot"`
	Shard  cluster.ShardID `json:"shard"`
	Leader WhyLeader       `json:"leader"`
	Copies []WhyCopy       `json:"copies"`

	Task  *InspectedTask  `json:"task,omitempty"`
	Key   *InspectedKey   `json:"key,omitempty"`
	Queue *InspectedQueue `json:"queue,omitempty"`
}

// WhyLeader is who leads the shard; no node: nobody that answers.
type WhyLeader struct {
	Node  cluster.NodeID `json:"node,omitempty"`
	Name  string         `json:"name,omitempty"`
	Term  uint64         `json:"term,omitempty"`
	Since int64          `json:"since,omitempty"` // 0: not known
}

// WhyCopy is a replica of the shard.
type WhyCopy struct {
	Node     cluster.NodeID `json:"node"`
	Name     string         `json:"name,omitempty"`
	Role     string         `json:"role"`
	State    string         `json:"state"` // up, silent, or behind with what is committed
	SilentMS int64          `json:"silent_ms,omitempty"`
}

// What a shard waits for.
const (
	ForLeader   = "leader"
	ForMajority = "majority"
	ForShard    = "shard"
)

// Add adds reasons behind those that there are.
func (w *Why) Add(list ...Reason) { w.Reasons = append(w.Reasons, list...) }

// Sum makes one answer of all.
func (w *Why) Sum() {
	var texts []string
	if text := w.subject(); text != "" {
		texts = append(texts, text)
	}
	if len(w.Reasons) > 0 {
		texts = append(texts, w.Reasons[0].Text)
	}
	w.Text = strings.Join(texts, ": ")
	for _, r := range w.Reasons {
		w.Do = cmp.Or(w.Do, r.Do)
	}
}

// subject says what there is under the name; empty: that is not known.
func (w *Why) subject() (text string) {
	k, q := w.Key, w.Queue
	switch {
	case w.Task != nil:
		text = fmt.Sprintf("task %s of queue %.64q is %s", w.Name, w.Task.Queue, w.Task.State)
		if w.Task.Pending {
			text += ", added at " + time.UnixMilli(w.Task.Since).UTC().Format(time.RFC3339)
		}
		return text
	case k == nil:
		return ""
	case k.Type != "none":
		text = fmt.Sprintf("key %.200q is a %s", w.Name, k.Type)
		if k.Expires != 0 {
			text += " that expires at " + time.UnixMilli(k.Expires).UTC().Format(time.RFC3339)
		}
	case task.QueueOf([]byte(w.Name)) != nil:
		text = fmt.Sprintf("there is no task %.200s: it never was, or its record was kept long enough", w.Name)
	default:
		text = fmt.Sprintf("there is no key %.200q in this database", w.Name)
	}
	if k.Waiters > 0 {
		text += fmt.Sprintf(", and %d commands of clients wait for elements of it", k.Waiters)
	}
	if q != nil {
		text += fmt.Sprintf("; the queue of tasks of this name has %d that have not ended, of which %d run, and %d dead ones; %d claims wait for more", q.Open, q.Running, q.Dead, q.Workers)
	}
	return text
}
