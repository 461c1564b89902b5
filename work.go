package tutti

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// WorkConfig says how a worker works. The zero value is good for most.
type WorkConfig struct {
	// Concurrency is how many handlers run at once; zero: as many as there are cores.
	Concurrency int
	// Ahead is how many tasks may be claimed beyond those that run. It is worth
	// while where a task takes no longer than the way to the cluster and back; other
	// workers can't have these tasks meanwhile.
	Ahead int
	// Lease is how long the tasks of a worker that is silent stay its own, of at least
	// a second; zero: 30 s. Signs of life are sent six times as often.
	Lease time.Duration
	// Drain is how long handlers may go on once the worker is to end. Then their
	// contexts end with ErrStopped, and what they leave undone is given back at once.
	// Zero: as long as they take.
	Drain time.Duration
	// Name begins the name of the worker, which TASK.GET tells; "": host and process.
	Name string
	// Log is told what goes wrong between the worker and the cluster; nil:
	// slog.Default().
	Log *slog.Logger
}

// Defaults and bounds of workers.
const (
	leaseDefault  = 30 * time.Second
	leaseMin      = time.Second
	beatsPerLease = 6
	nameMax       = 64 // of the part before the random one
	pauseMin      = 50 * time.Millisecond
	pauseMax      = 2 * time.Second
	connsOfWorker = 3 + roundsAhead // for claims, signs of life, finishes, and one to spare
)

func (cfg *WorkConfig) validate() error {
	if cfg.Concurrency == 0 {
		cfg.Concurrency = runtime.GOMAXPROCS(0)
	}
	if cfg.Lease == 0 {
		cfg.Lease = leaseDefault
	}
	if cfg.Name == "" {
		host, _ := os.Hostname() // for people only
		cfg.Name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	cfg.Name = cfg.Name[:min(len(cfg.Name), nameMax)]
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	switch {
	case cfg.Concurrency < 0:
		return fmt.Errorf("work: a concurrency of %d", cfg.Concurrency)
	case cfg.Ahead < 0:
		return fmt.Errorf("work: %d tasks ahead", cfg.Ahead)
	case cfg.Lease < leaseMin:
		return fmt.Errorf("work: a lease of %v, of at least %v", cfg.Lease, leaseMin)
	case cfg.Drain < 0:
		return fmt.Errorf("work: %v to drain", cfg.Drain)
	}
	return nil
}

// Handler is a Task of whatever types.
type Handler interface {
	queue() string
	timeout() time.Duration
	run(ctx context.Context, payload []byte) (result []byte, err error)
}

func (t *Task[In, Out]) queue() string          { return t.Queue }
func (t *Task[In, Out]) timeout() time.Duration { return t.Defaults.Timeout }

func (t *Task[In, Out]) run(ctx context.Context, payload []byte) ([]byte, error) {
	if t.handle == nil {
		return nil, errors.New("this worker has no handler for it")
	}
	in, err := decode[In](payload)
	if err != nil {
		return nil, Dead(fmt.Errorf("the payload: %w", err))
	}
	out, err := t.handle(ctx, in)
	if err != nil {
		return nil, err
	}
	result, err := encode(out)
	if err != nil {
		return nil, Dead(fmt.Errorf("the result: %w", err))
	}
	return result, nil
}

// Work handles tasks until ctx is done. Then it claims no more, lets those go on that
// it has, and returns nil once all of them are recorded as ended: that is how a worker
// stops on SIGTERM without anything being done twice. It goes on through failures of
// the network and of nodes, and returns an error only of what does not mend itself:
// wrong settings, or a user without the rights.
//
// Signs of life do not depend on handlers: one may block for hours and keeps its task.
// The worker has connections of its own, made with the options of c.
//
// A claim whose answer was lost may have given tasks that nobody knows of. So the worker goes
// on under a new name then, and they are handed out again a lease after the last
// handler that began under the old one has ended.
func Work(ctx context.Context, c *redis.Client, cfg WorkConfig, tasks ...Handler) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	most := cfg.Concurrency + cfg.Ahead
	w := &worker{cfg: cfg, handlers: make(map[string]Handler), slots: make(chan struct{}, most), hands: make(chan struct{}, cfg.Concurrency), ended: make(chan *run, most)}
	for _, t := range tasks {
		if w.handlers[t.queue()] != nil {
			return fmt.Errorf("work: two tasks of queue %s", t.queue())
		}
		w.handlers[t.queue()] = t
		w.queues = append(w.queues, t.queue())
	}
	if len(tasks) == 0 {
		return errors.New("work: no task is given")
	}
	w.client = ownClient(c, cfg.Lease)
	defer w.client.Close()
	return w.work(ctx)
}

// ownClient returns a client whose connections nobody else waits for, and which sends
// nothing twice.
func ownClient(c *redis.Client, lease time.Duration) *redis.Client {
	o := *c.Options()
	o.PoolSize, o.MinIdleConns, o.MaxActiveConns, o.MaxConcurrentDials = connsOfWorker, 0, 0, 0
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DialTimeout = min(o.DialTimeout, lease/beatsPerLease)
	o.ReadTimeout = waitRound + replyMax
	o.ContextTimeoutEnabled = true
	// What c is pushed is its own; and nodes of a tutti cluster tell of no maintenance.
	o.PushNotificationProcessor, o.MaintNotificationsConfig = nil, &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(&o)
}

// worker is one call of Work. Each round of claims has a goroutine, each handler, the
// signs of life, and the finishes.
type worker struct {
	cfg      WorkConfig
	client   *redis.Client
	handlers map[string]Handler
	queues   []string
	slots    chan struct{} // one value a task that has not run, or is asked for
	hands    chan struct{} // one value a handler that runs
	ended    chan *run     // what handlers have left to be recorded; full: they keep their slots
	running  sync.WaitGroup
	handling atomic.Int32 // handlers that have not returned

	mu      sync.Mutex // guards holders
	holders []*holder
}

func (w *worker) work(ctx context.Context) error {
	var beats, finishes sync.WaitGroup
	silent := make(chan struct{})
	beats.Go(func() { w.beats(silent) })
	finishes.Go(w.finishes)
	err := w.claim(ctx)
	if w.cfg.Drain > 0 {
		over := time.AfterFunc(w.cfg.Drain, func() { w.cancel(ErrStopped) })
		defer over.Stop()
	}
	w.running.Wait()
	close(w.ended)
	finishes.Wait() // and until then the leases must hold
	close(silent)
	beats.Wait()
	return err
}

// roundsAhead is how many claims of a worker that claims ahead are under way: while the
// answer of one travels, what is added meanwhile finds the other one waiting.
const roundsAhead = 2

func (w *worker) rounds() int {
	if w.cfg.Ahead > 0 {
		return roundsAhead
	}
	return 1
}

// claim claims tasks until ctx is done, or a claim is refused. Each round claims by a
// name of its own: that of a lost claim is given up, and the others go on.
func (w *worker) claim(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var rounds sync.WaitGroup
	errs := make([]error, w.rounds())
	for i := range errs {
		rounds.Go(func() {
			if errs[i] = w.round(ctx); errs[i] != nil {
				stop()
			}
		})
	}
	rounds.Wait()
	return cmp.Or(errs...)
}

// round claims tasks and starts their handlers until ctx is done.
func (w *worker) round(ctx context.Context) error {
	var h *holder
	var pause time.Duration
	for {
		if pause > 0 && !sleep(ctx, pause) {
			return nil
		}
		n := w.take(ctx)
		if n == 0 {
			return nil
		}
		if h = w.current(h); h == nil {
			h = w.newHolder()
		}
		got, err := w.ask(context.WithoutCancel(ctx), h, n)
		w.give(n - got)
		switch {
		case err == nil:
			pause = 0
			continue
		case refused(err):
			return fmt.Errorf("claim tasks of %s: %w", strings.Join(w.queues, ", "), err)
		case applied(err):
			w.retire(h)
		}
		pause = min(max(2*pause, pauseMin), pauseMax)
		w.cfg.Log.Warn("claim failed", slog.Any("error", err), slog.Duration("again_in", pause))
	}
}

// take takes a slot, and more of those that are free, its round's share; 0: ctx is done.
// A round that claims ahead waits a moment for those that are about to be free: just after an
// answer its tasks still have their slots, and a claim of the few others would be under
// way, with next to nothing to bring, when more is added.
func (w *worker) take(ctx context.Context) (n int) {
	if ctx.Err() != nil {
		return 0
	}
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	most := min(addedMax, (cap(w.slots)+w.rounds()-1)/w.rounds())
	over := time.NewTimer(batchWait)
	defer over.Stop()
	for n = 1; n < most; n++ {
		select {
		case w.slots <- struct{}{}:
			continue
		default:
		}
		if w.rounds() == 1 || w.handling.Load() == 0 {
			return n
		}
		select { // those that an answer has just brought may end at once
		case w.slots <- struct{}{}:
		case <-over.C:
			return n
		}
	}
	return n
}

func (w *worker) give(n int) {
	for range n {
		<-w.slots
	}
}

// ask asks for up to n tasks, waits a moment for them, and starts what it gets.
func (w *worker) ask(ctx context.Context, h *holder, n int) (got int, err error) {
	sent := time.Now()
	args := []any{"TASK.CLAIM", h.name, "COUNT", n, "BLOCK", milliseconds(min(waitRound, w.cfg.Lease/3)), "LEASE", milliseconds(w.cfg.Lease), "FROM"}
	for _, q := range w.queues {
		args = append(args, q)
	}
	list, err := call(ctx, w.client, true, args...).Slice()
	switch {
	case errors.Is(err, redis.Nil):
		return 0, nil
	case err != nil:
		return 0, err
	}
	for _, e := range list {
		c, payload, err := parseClaim(e)
		if err != nil { // it can't be finished either
			return got, err
		}
		w.start(ctx, h, c, payload, sent)
		got++
	}
	return got, nil
}

// start runs the handler of a task.
func (w *worker) start(ctx context.Context, h *holder, c Claim, payload []byte, sent time.Time) {
	handler := w.handlers[c.Queue]
	r := &run{Claim: c, client: w.client}
	ctx, r.cancel = context.WithCancelCause(context.WithValue(ctx, runKey{}, r))
	r.release = func() {}
	if d := handler.timeout(); d > 0 {
		ctx, r.release = context.WithTimeout(ctx, d)
	}
	h.add(r, sent)
	w.handling.Add(1)
	w.running.Go(func() {
		r.result, r.err = w.handle(ctx, handler, payload)
		if r.err != nil && ctx.Err() != nil {
			r.err = fmt.Errorf("%w (%w)", r.err, context.Cause(ctx))
		}
		w.handling.Add(-1)
		w.ended <- r
		w.give(1)
	})
}

// handle runs a handler when there is a hand for it. What was claimed ahead and is lost
// meanwhile is not begun.
func (w *worker) handle(ctx context.Context, handler Handler, payload []byte) (result []byte, err error) {
	select {
	case w.hands <- struct{}{}:
	case <-ctx.Done():
		return nil, errors.New("not begun")
	}
	defer func() { <-w.hands }()
	return safely(ctx, handler, payload)
}

// safely turns a panic into an error: it is the task's, not the worker's.
func safely(ctx context.Context, handler Handler, payload []byte) (result []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			stack := make([]byte, 2<<10)
			err = fmt.Errorf("panic: %v\n%s", p, stack[:runtime.Stack(stack, false)])
		}
	}()
	return handler.run(ctx, payload)
}

// newHolder makes a name to claim by. No other worker has it, nor had.
func (w *worker) newHolder() *holder {
	h := &holder{name: w.cfg.Name + "-" + rand.Text()[:12], lease: w.cfg.Lease, runs: make(map[string]*run)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holders = append(w.holders, h)
	return h
}

// current returns h, or nil if nothing more is to be claimed by its name.
func (w *worker) current(h *holder) *holder {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.holders {
		if one == h && !h.gone() {
			return h
		}
	}
	return nil
}

// retire ends claims by a name; its tasks go on.
func (w *worker) retire(h *holder) {
	h.retire()
	w.drop()
}

// drop forgets the names that hold nothing and claim nothing any more.
func (w *worker) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.holders[:0]
	for _, h := range w.holders {
		if !h.done() {
			kept = append(kept, h)
		}
	}
	clear(w.holders[len(kept):])
	w.holders = kept
}

// holding returns the names that claims are held by.
func (w *worker) holding() []*holder {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*holder(nil), w.holders...)
}

// cancel ends the contexts of all handlers.
func (w *worker) cancel(why error) {
	for _, h := range w.holding() {
		h.cancel(why)
	}
}

// sleep waits, and reports false if ctx was done before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// code is the first word of an error that the cluster has answered; "": it comes from
// elsewhere.
func code(err error) string {
	if e, ok := errors.AsType[redis.Error](err); ok && !errors.Is(err, redis.Nil) {
		word, _, _ := strings.Cut(e.Error(), " ")
		return word
	}
	return ""
}

// refused reports whether trying again is of no use.
func refused(err error) bool {
	switch code(err) {
	case "ERR", "NOPERM", "NOAUTH", "WRONGPASS", "NEEDTLS", "WRONGTYPE", "DENIED":
		return true
	}
	return false
}

// applied reports whether a command may have been executed though it failed.
func applied(err error) bool {
	switch code(err) {
	case "", "UNCERTAIN":
		return true
	}
	return false
}
