package metrics

import (
	"context"
	"maps"
	"slices"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/meta"
	"tutti/internal/shard"
	"tutti/internal/task"
)

// queueSum is the tasks of a queue, or of several.
type queueSum struct {
	counts  task.Counts
	workers int
	oldest  time.Duration // since the task that is ready for longest became so
}

func (sum *queueSum) add(q *task.Queue, workers int, oldest time.Duration) {
	for state := range q.Now {
		sum.counts.Now[state] += q.Now[state]
	}
	sum.counts.Added += q.Added
	sum.counts.Totals.Done += q.Totals.Done
	sum.counts.Totals.Dead += q.Totals.Dead
	sum.counts.Totals.Cancelled += q.Totals.Cancelled
	sum.counts.Failed += q.Failed
	sum.counts.Crashed += q.Crashed
	sum.counts.Fenced += q.Fenced
	sum.workers += workers
	sum.oldest = max(sum.oldest, oldest)
}

// led tells what the leaders on this node know of their queues, so the sum over the
// nodes is the cluster's, and of the tokens if meta is among them.
func (c *collector) led(s sink) {
	ctx, cancel := context.WithTimeout(context.Background(), loopPatience)
	defer cancel()
	led := c.node.Host.Tallies(ctx)
	var names []string
	for _, x := range led {
		defer x.View.Release()
		if x.Shard == cluster.Meta {
			tokens(s, x)
		}
		for _, q := range x.Queues {
			names = append(names, q.Name)
		}
	}
	slices.Sort(names)
	times := c.node.Host.TaskTimes()
	times.Keep(names)
	sums := make(map[string]*queueSum)
	for _, x := range led {
		sumQueues(sums, x, times)
	}
	for _, label := range slices.Sorted(maps.Keys(sums)) {
		sums[label].tell(s, label)
		spans := times.Metered(label)
		if label == task.OtherQueues {
			spans = times.Rest()
		}
		if spans != nil {
			s.durations("tutti_task_wait_seconds", spans.Wait(), label)
			s.durations("tutti_task_run_seconds", spans.Run(), label)
		}
	}
}

// tokens tells how many tokens are good, by the state of meta.
func tokens(s sink, x shard.Tallies) {
	list, err := meta.LoadTokens(x.View)
	if err != nil {
		return // a later version's
	}
	active := 0
	for _, t := range list {
		if t.Uses > 0 && t.Expires > x.Now {
			active++
		}
	}
	s.gauge("tutti_join_tokens_active", float64(active))
}

// sumQueues adds the queues of a shard to those that have their label.
func sumQueues(sums map[string]*queueSum, x shard.Tallies, times *task.Meter) {
	for _, t := range x.Queues {
		q := t.Queue()
		if q == nil {
			continue // a later version's: it tells by itself
		}
		label := t.Name
		if times.Metered(label) == nil {
			label = task.OtherQueues
		}
		if sums[label] == nil {
			sums[label] = &queueSum{}
		}
		oldest := time.Duration(0)
		if since, ok, err := t.Oldest(q, x.View); err == nil && ok {
			oldest = max(0, time.Duration(x.Now-since)*time.Millisecond)
		}
		sums[label].add(q, t.Workers, oldest)
	}
}

func (sum *queueSum) tell(s sink, label string) {
	for state := task.Waiting; state <= task.Cancelled; state++ {
		s.gauge("tutti_tasks", float64(sum.counts.Now[state]), label, state.String())
	}
	s.gauge("tutti_task_oldest_waiting_seconds", sum.oldest.Seconds(), label)
	s.gauge("tutti_workers", float64(sum.workers), label, "waiting")
	s.count("tutti_tasks_added_total", sum.counts.Added, label)
	s.count("tutti_tasks_finished_total", sum.counts.Totals.Done, label, "done")
	s.count("tutti_tasks_finished_total", sum.counts.Totals.Dead, label, "dead")
	s.count("tutti_tasks_finished_total", sum.counts.Totals.Cancelled, label, "cancelled")
	s.count("tutti_task_attempts_total", sum.counts.Totals.Done, label, "done")
	s.count("tutti_task_attempts_total", sum.counts.Failed, label, "failed")
	s.count("tutti_task_attempts_total", sum.counts.Crashed, label, "lost")
	s.count("tutti_task_leases_expired_total", sum.counts.Crashed, label)
	s.count("tutti_task_fenced_total", sum.counts.Fenced, label)
}
