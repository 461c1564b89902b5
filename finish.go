package tutti

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// Dead makes an error by which a handler says that further attempts are of no use.
func Dead(err error) error { return &ending{err: err, dead: true} }

// RetryIn makes an error by which a handler says when the next attempt is to be.
func RetryIn(err error, wait time.Duration) error { return &ending{err: err, wait: max(wait, 0)} }

// ending is an error with what is to follow of it.
type ending struct {
	err  error
	dead bool
	wait time.Duration
}

func (e *ending) Error() string { return e.err.Error() }
func (e *ending) Unwrap() error { return e.err }

// Bounds of one TASK.DONE, and of what is in it.
const (
	batchMax       = 256
	batchBytesMax  = 4 << 20
	batchWait      = time.Millisecond // for handlers that are about to end
	resultBytesMax = 1 << 20
	errorBytesMax  = 4 << 10
)

// finishes records how tasks have ended, until there are no more, while others run. It
// has few of them at a time: who can't record results soon takes no more work.
func (w *worker) finishes() {
	for {
		batch := w.gather()
		if len(batch) == 0 {
			return
		}
		w.record(batch)
		for _, r := range batch {
			r.release()
			r.cancel(nil)
			r.holder.remove(r)
		}
		w.drop()
	}
}

// gather waits for a handler to return, and a moment for others; nil: there are none
// any more.
func (w *worker) gather() (batch []*run) {
	r, ok := <-w.ended
	if !ok {
		return nil
	}
	batch = append(batch, r)
	size := len(r.result)
	over := time.NewTimer(batchWait)
	defer over.Stop()
	for len(batch) < batchMax && size < batchBytesMax {
		select {
		case r, ok := <-w.ended:
			if !ok {
				return batch
			}
			batch = append(batch, r)
			size += len(r.result)
			continue
		default:
		}
		if w.handling.Load() == 0 && len(w.ended) == 0 {
			return batch // nobody can come
		}
		select {
		case r, ok := <-w.ended:
			if !ok {
				return batch
			}
			batch = append(batch, r)
			size += len(r.result)
		case <-over.C:
			return batch
		}
	}
	return batch
}

// record tells the cluster how tasks have ended, again and again until it has
// answered, or their lease is over.
func (w *worker) record(batch []*run) {
	var together []*run
	for _, r := range batch {
		if r.err == nil && len(r.result) > resultBytesMax {
			r.err = Dead(fmt.Errorf("the result has %d bytes, of at most %d", len(r.result), resultBytesMax))
		}
		switch {
		case r.err == nil && r.effects != nil && r.effects.Len() > 0:
			w.insist([]*run{r}, w.commit)
		default:
			together = append(together, r)
		}
	}
	if len(together) == 0 || w.insist(together, w.tell) {
		return
	}
	for _, r := range together { // one of them may be why
		w.insist([]*run{r}, w.tell)
	}
}

// insist calls how until it works, fails for good (false), or is of no use any more.
func (w *worker) insist(batch []*run, how func(context.Context, []*run) error) bool {
	pause := pauseMin
	for {
		ctx, cancel := context.WithTimeout(context.Background(), w.cfg.Lease)
		err := how(ctx, batch)
		cancel()
		switch {
		case err == nil:
			return true
		case code(err) == "CROSSSHARD" || refused(err):
			if len(batch) == 1 {
				w.cfg.Log.Error("finish refused", slog.String("task", batch[0].ID), slog.Any("error", err))
				batch[0].holder.lose() // else signs of life would keep it for ever
			}
			return false
		}
		w.cfg.Log.Warn("finish failed", slog.Int("tasks", len(batch)), slog.Any("error", err), slog.Duration("again_in", pause))
		if !anyHeld(batch) {
			return true
		}
		time.Sleep(pause)
		pause = min(2*pause, pauseMax)
	}
}

func anyHeld(batch []*run) bool {
	for _, r := range batch {
		if !r.holder.isLost() {
			return true
		}
	}
	return false
}

// tell records results and failures, with one round trip. It may be repeated.
func (w *worker) tell(ctx context.Context, batch []*run) error {
	done := []any{"TASK.DONE"}
	p := w.client.Pipeline()
	for _, r := range batch {
		if r.err == nil {
			done = append(done, r.ID, r.Token, r.result)
			continue
		}
		_ = p.Do(ctx, r.failure()...)
	}
	if len(done) > 1 {
		_ = p.Do(ctx, done...)
	}
	_, err := p.Exec(ctx)
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

// failure is the command that says why the handler has failed.
func (r *run) failure() []any {
	text := r.err.Error()
	args := []any{"TASK.FAIL", r.ID, r.Token, text[:min(len(text), errorBytesMax)]}
	e, ok := errors.AsType[*ending](r.err)
	switch {
	case errors.Is(r.err, ErrStopped):
		args = append(args, "IN", 0)
	case ok && e.dead:
		args = append(args, "DEAD")
	case ok:
		args = append(args, "IN", milliseconds(e.wait))
	}
	return args
}

// commit executes the effects of a task and records its result, in one transaction. If
// nobody can say whether it was applied, the attempt is failed: either that is refused,
// as the task is done, or the transaction can't be applied any more.
func (w *worker) commit(ctx context.Context, batch []*run) error {
	r := batch[0]
	if r.err != nil { // an earlier call has failed it
		return w.tell(ctx, batch)
	}
	p := w.client.TxPipeline()
	for _, cmd := range r.effects.Cmds() {
		_ = p.Process(ctx, cmd)
	}
	done := p.Do(ctx, "TASK.DONE", r.ID, r.Token, r.result)
	_, err := p.Exec(ctx)
	switch {
	case done.Err() == nil:
		if err != nil && !errors.Is(err, redis.Nil) { // as everywhere in MULTI, the others were executed
			w.cfg.Log.Error("an effect failed", slog.String("task", r.ID), slog.Any("error", err))
		}
		return nil
	case code(done.Err()) == "FENCED":
		return nil
	case applied(err):
		r.err = RetryIn(fmt.Errorf("whether it was recorded is not known: %w", err), 0)
	default:
		r.err = fmt.Errorf("its effects were refused: %w", err)
	}
	return w.tell(ctx, batch)
}
