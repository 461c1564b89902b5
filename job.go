package tutti

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/redis/go-redis/v9"
)

// Job is a task that was added.
type Job[Out any] struct {
	ID     string
	client *redis.Client
}

// Job returns the task of an id that another program may have added.
func (t *Task[In, Out]) Job(c *redis.Client, id string) Job[Out] { return Job[Out]{id, c} }

// Times of waiting.
const (
	waitRound = time.Second     // of one command: a context that ends is seen by then
	replyMax  = 8 * time.Second // beyond it: what a node takes to answer at the worst
)

// Wait waits until the task has ended, and returns its result. It fails with a
// *DeadError, ErrCancelled or ErrUnknown if there is none. It ends within a second of
// its context.
func (j Job[Out]) Wait(ctx context.Context) (out Out, err error) {
	f, err := j.wait(ctx)
	if err != nil {
		return out, fmt.Errorf("wait for task %s: %w", j.ID, err)
	}
	return outcome[Out](f)
}

// wait returns the fields of the task once it has ended.
func (j Job[Out]) wait(ctx context.Context) (fields, error) {
	patient := j.client.WithTimeout(waitRound + replyMax)
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		round := waitRound
		if end, ok := ctx.Deadline(); ok {
			round = min(round, max(time.Until(end), time.Millisecond))
		}
		f, err := parseTask(call(ctx, patient, false, "TASK.GET", j.ID, "WAIT", milliseconds(round)))
		if err != nil || f != nil {
			return f, err
		}
		// Null says that it has not ended, and that there is none.
		f, err = parseTask(call(ctx, patient, false, "TASK.GET", j.ID))
		switch {
		case err != nil || f.ended():
			return f, err
		case f == nil:
			return nil, ErrUnknown
		}
	}
}

// Cancel ends the task unless it has ended, and reports whether it did. A handler that
// runs learns it within a few seconds; its result is refused.
func (j Job[Out]) Cancel(ctx context.Context) (bool, error) {
	n, err := call(ctx, j.client, false, "TASK.CANCEL", j.ID).Int()
	if err != nil {
		return false, fmt.Errorf("cancel task %s: %w", j.ID, err)
	}
	return n == 1, nil
}

// resultsPage is how many results are asked for at once.
const resultsPage = 100

// Results waits for one job after the other, and yields what Wait returns of each. It
// asks for many at once of those that have ended. What fails one job does not end it,
// only the loop's own body or the end of the context do.
func Results[Out any](ctx context.Context, jobs []Job[Out]) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		for len(jobs) > 0 {
			if !yield(jobs[0].Wait(ctx)) || ctx.Err() != nil {
				return
			}
			jobs = jobs[1:]
			ready, err := endedOf(ctx, jobs[:min(len(jobs), resultsPage)])
			if err != nil {
				continue // the next Wait says it
			}
			for _, f := range ready {
				if !yield(outcome[Out](f)) {
					return
				}
			}
			jobs = jobs[len(ready):]
		}
	}
}

// endedOf returns the fields of the first jobs, up to one that has not ended.
func endedOf[Out any](ctx context.Context, jobs []Job[Out]) (ready []fields, err error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	cmds := make([]*redis.Cmd, len(jobs))
	_, err = jobs[0].client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, j := range jobs {
			cmds[i] = p.Do(ctx, "TASK.GET", j.ID)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, cmd := range cmds {
		f, err := parseTask(cmd)
		if err != nil || !f.ended() {
			return ready, err
		}
		ready = append(ready, f)
	}
	return ready, nil
}

// mapWindow is how many tasks of Map may be waiting or running.
const mapWindow = 1000

// Map adds a task for each input, not more than 1,000 before their results have been
// taken, and yields the results in the order of the inputs. An error of adding ends
// it; tasks that were added run all the same.
func (t *Task[In, Out]) Map(ctx context.Context, c *redis.Client, inputs iter.Seq[In], o Options) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		next, stop := iter.Pull(inputs)
		defer stop()
		var open []Job[Out]
		for more := true; more || len(open) > 0; {
			var page []In
			for more && len(page) < mapWindow-len(open) {
				var in In
				if in, more = next(); more {
					page = append(page, in)
				}
			}
			added, err := t.AddAll(ctx, c, page, o)
			if err != nil {
				var none Out
				yield(none, err)
				return
			}
			open = append(open, added...)
			n := min(len(open), resultsPage)
			for out, err := range Results(ctx, open[:n]) {
				if !yield(out, err) || ctx.Err() != nil {
					return
				}
			}
			open = open[n:]
		}
	}
}
