package tutti

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Claim is what a handler may know of its task.
type Claim struct {
	ID      string
	Queue   string
	Attempt int // counts from 1
	// Token grows with each claim of a task. Other systems can refuse by it what comes
	// from a worker that was taken for dead.
	Token uint64
}

type runKey struct{}

// ClaimOf returns the claim that a handler's context is of; false: of none.
func ClaimOf(ctx context.Context) (Claim, bool) {
	r, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return Claim{}, false
	}
	return r.Claim, true
}

// Progress tells how far a handler has come, from 0 to 1, and what it does. TASK.GET shows it
// from the worker's next sign of life on. It needs the handler's context, and does
// nothing with another one.
func Progress(ctx context.Context, fraction float64, message string) {
	if r, ok := ctx.Value(runKey{}).(*run); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fraction, r.message, r.reported = min(max(fraction, 0), 1), message, false
	}
}

// Effects returns what gathers commands that are to be executed together with the
// recording of the result, or not at all. They need the handler's context; what they
// answer is not known before the handler has ended.
func Effects(ctx context.Context) redis.Pipeliner {
	r, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		panic("tutti.Effects needs the context of a handler")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.effects == nil {
		r.effects = r.client.Pipeline()
	}
	return r.effects
}

// run is a task in hand.
type run struct {
	Claim
	client  *redis.Client
	cancel  context.CancelCauseFunc
	release context.CancelFunc // of its deadline
	holder  *holder

	mu       sync.Mutex // guards what follows
	fraction float64
	message  string
	reported bool
	effects  redis.Pipeliner // nil: none

	result []byte // once the handler has returned
	err    error
}

// parseClaim reads one of the tasks that TASK.CLAIM answers with.
func parseClaim(reply any) (c Claim, payload []byte, err error) {
	list, _ := reply.([]any)
	if len(list) < 5 {
		return c, nil, fmt.Errorf("TASK.CLAIM answers with %T of %d", reply, len(list))
	}
	var text [5]string
	for i := range text {
		text[i] = fmt.Sprint(list[i])
	}
	if c.Token, err = strconv.ParseUint(text[1], 10, 64); err != nil {
		return c, nil, fmt.Errorf("token of task %s: %w", text[0], err)
	}
	if c.Attempt, err = strconv.Atoi(text[3]); err != nil {
		return c, nil, fmt.Errorf("attempt of task %s: %w", text[0], err)
	}
	c.ID, c.Queue = text[0], text[2]
	return c, []byte(text[4]), nil
}

// holder is a name by which tasks were claimed. Leases go by names: a sign of life
// renews all that its name holds. So a name that may hold what nobody knows of claims no
// more, and one whose lease can't be known to hold is never spoken for again:
// otherwise what it holds would never be handed out again.
type holder struct {
	name  string
	lease time.Duration

	mu      sync.Mutex // guards what follows
	runs    map[string]*run
	renewed time.Time // when the newest command was sent that was answered
	retired bool      // claims no more
	lost    bool      // its lease can't be known to hold
}

func (h *holder) add(r *run, sent time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.holder = h
	if old := h.runs[r.ID]; old != nil { // its time was over, and nobody has told yet
		old.cancel(ErrLost)
	}
	h.runs[r.ID] = r
	h.renew(sent)
}

func (h *holder) renew(sent time.Time) {
	if sent.After(h.renewed) {
		h.renewed = sent
	}
}

func (h *holder) remove(r *run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.runs[r.ID] == r {
		delete(h.runs, r.ID)
	}
}

func (h *holder) retire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retired = true
}

func (h *holder) gone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.retired || h.lost
}

func (h *holder) done() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return (h.retired || h.lost) && len(h.runs) == 0
}

func (h *holder) isLost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// ends is until when the lease is relied upon: a third of it is left for clocks that
// differ and handlers that take a moment to end.
func (h *holder) ends() time.Time { return h.renewed.Add(h.lease * 2 / 3) }

// cancel ends the contexts of all handlers.
func (h *holder) cancel(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.runs {
		r.cancel(why)
	}
}

// lose gives all up.
func (h *holder) lose() {
	h.mu.Lock()
	h.lost = true
	h.mu.Unlock()
	h.cancel(ErrLost)
}

// news is what a sign of life says: the progress that was not told yet.
func (h *holder) news() (args []any, told []*run, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.runs) == 0 || h.lost {
		return nil, nil, time.Time{}
	}
	args = []any{"TASK.BEAT", h.name}
	for _, r := range h.runs {
		r.mu.Lock()
		if !r.reported && (r.fraction != 0 || r.message != "") && len(told) < addedMax {
			args = append(args, r.ID, strconv.FormatFloat(r.fraction, 'g', -1, 64), r.message)
			told = append(told, r)
			r.reported = true
		}
		r.mu.Unlock()
	}
	return args, told, h.ends()
}

// beats sends signs of life until silent is closed.
func (w *worker) beats(silent <-chan struct{}) {
	interval := w.cfg.Lease / beatsPerLease
	t := time.NewTimer(interval)
	defer t.Stop()
	for {
		select {
		case <-silent:
			return
		case <-t.C:
		}
		next := interval
		for _, h := range w.holding() {
			if err := w.beat(h); err != nil {
				w.cfg.Log.Warn("sign of life failed", slog.String("worker", h.name), slog.Any("error", err))
				next = min(interval, 4*pauseMin)
			}
		}
		w.drop()
		t.Reset(next)
	}
}

// beat sends one sign of life, if the name holds anything.
func (w *worker) beat(h *holder) error {
	args, told, until := h.news()
	if args == nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	sent := time.Now()
	ids, err := call(ctx, w.client, true, args...).StringSlice()
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	h.mu.Lock()
	if err == nil {
		h.renew(sent)
		for _, id := range ids {
			if r := h.runs[id]; r != nil {
				r.cancel(ErrLost)
			}
		}
	}
	over := err != nil && !time.Now().Before(h.ends())
	h.mu.Unlock()
	if err == nil {
		return nil
	}
	for _, r := range told {
		r.mu.Lock()
		r.reported = false
		r.mu.Unlock()
	}
	if over {
		h.lose()
	}
	return err
}
