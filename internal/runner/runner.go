package runner

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"tutti/internal/resp"
)

// LeaseDefault is for how long a node may be silent before its commands are run
// elsewhere.
const LeaseDefault = 15 * time.Second

const (
	// placeWait is how long a claim of a place waits, before the next one does.
	placeWait = time.Minute
	// retryEvery is the pause after an error of the cluster.
	retryEvery = time.Second
)

// Config gives a Runner what it needs.
type Config struct {
	// Node is what the node is called, Start the number of this start of it: together
	// they are new.
	Node  string
	Start uint64
	// Max is how many commands run at once.
	Max int
	// Dial returns a connection to the cluster that may do everything.
	Dial   func() net.Conn
	Lease  time.Duration // zero: LeaseDefault
	Logger *slog.Logger
}

// Runner runs commands on one node. Its methods are safe for concurrent use.
type Runner struct {
	cfg   Config
	seats chan struct{} // one in it for each place that is taken or waited for

	stopping chan struct{} // closed: take nothing more
	killing  context.Context
	kill     context.CancelFunc
	wg       sync.WaitGroup // the claimer and the places

	mu     sync.Mutex // guards what follows
	state  state
	woken  chan struct{} // closed, and made anew, when paused changes
	claims *link         // of the claimer
	links  map[*link]struct{}
}

// state is what the runner is told to do.
type state struct{ paused, stopped bool }

// Start starts the runners of a node.
func Start(cfg Config) *Runner {
	if cfg.Lease == 0 {
		cfg.Lease = LeaseDefault
	}
	r := &Runner{cfg: cfg, seats: make(chan struct{}, cfg.Max), stopping: make(chan struct{}), woken: make(chan struct{}), links: make(map[*link]struct{})}
	r.killing, r.kill = context.WithCancel(context.Background())
	r.wg.Go(r.claim)
	return r
}

// Max is how many commands run at once; 0: the node takes none now.
func (r *Runner) Max() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.paused || r.state.stopped {
		return 0
	}
	return r.cfg.Max
}

// SetPaused says whether the node is to take commands. What runs goes on.
func (r *Runner) SetPaused(paused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.paused == paused {
		return
	}
	r.state.paused = paused
	close(r.woken)
	r.woken = make(chan struct{})
	if paused && r.claims != nil {
		r.claims.drop()
	}
}

// look returns whether the runner is paused, and what is closed when that changes.
func (r *Runner) look() (paused bool, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.paused, r.woken
}

// Drain takes nothing more, and waits for what runs; at the end of ctx it kills that.
// What was not run, or killed, is given back, so that another node runs it at once.
func (r *Runner) Drain(ctx context.Context) {
	r.stop()
	ended := make(chan struct{})
	go func() {
		r.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	r.kill()
	select {
	case <-ended:
	case <-time.After(giveBackMax):
	}
	r.Close()
	<-ended
}

// giveBackMax is how long commands that were killed may take to be given back.
const giveBackMax = time.Second

// stop has nothing more be taken.
func (r *Runner) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.stopped {
		return
	}
	r.state.stopped = true
	close(r.stopping)
	if r.claims != nil {
		r.claims.close()
	}
}

// Close kills what runs, and returns when all goroutines have ended. What is not
// recorded by then is run elsewhere after its lease.
func (r *Runner) Close() {
	r.stop()
	r.kill()
	r.mu.Lock()
	for l := range r.links {
		l.close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// newLink returns a link that Close closes.
func (r *Runner) newLink() *link {
	l := &link{dial: r.cfg.Dial}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links[l] = struct{}{}
	if r.killing.Err() != nil {
		l.close()
	}
	return l
}

func (r *Runner) endLink(l *link) {
	l.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.links, l)
}

// claim takes places, as long as there is a seat for one.
func (r *Runner) claim() {
	l := r.newLink()
	defer r.endLink(l)
	r.mu.Lock()
	r.claims = l
	r.mu.Unlock()
	for n := 1; r.sit(); n++ {
		// Each place is another worker. So one whose claim was not answered is not kept
		// alive by those of the others: nobody here knows what it has.
		worker := fmt.Sprintf("%.80s/%d.%d", r.cfg.Node, r.cfg.Start, n)
		p, err := r.claimPlace(l, worker)
		switch {
		case err == nil && p != nil:
			r.wg.Go(func() {
				defer func() { <-r.seats }()
				p.work()
			})
			continue
		case err != nil && !r.pause(err):
			<-r.seats
			return
		}
		<-r.seats
	}
}

// sit waits for a seat. It reports false if none is to be taken any more.
func (r *Runner) sit() bool {
	for {
		paused, changed := r.look()
		seats := r.seats
		if paused {
			seats = nil
		}
		select {
		case <-r.stopping:
			return false
		case <-changed:
		case seats <- struct{}{}:
			return true
		}
	}
}

// pause waits a little after an error. It reports false if nothing is to be tried any
// more.
func (r *Runner) pause(err error) bool {
	if paused, _ := r.look(); paused {
		return true
	}
	r.cfg.Logger.Debug("no place was claimed", slog.Any("error", err))
	select {
	case <-r.stopping:
		return false
	case <-time.After(retryEvery):
		return true
	}
}

// claimPlace claims a place; nil: there is none.
func (r *Runner) claimPlace(l *link, worker string) (*place, error) {
	tasks, err := claim(l, worker, 1, placeWait, r.cfg.Lease, Places)
	if err != nil || len(tasks) == 0 {
		return nil, err
	}
	p := &place{r: r, worker: worker, ticket: tasks[0], size: 1}
	if p.Place, err = DecodePlace(tasks[0].payload); err != nil {
		r.cfg.Logger.Warn("a place that can't be taken", slog.String("task", tasks[0].id), slog.Any("error", err))
		_, err = l.do("TASK.FAIL", tasks[0].id, tasks[0].token, err.Error(), "DEAD")
		return nil, err
	}
	return p, nil
}

// task is a task that was claimed.
type task struct {
	id, token string
	attempt   int64
	payload   []byte
}

// claim claims up to n tasks of a queue, and waits so long for the first.
func claim(l *link, worker string, n int, wait, lease time.Duration, queue string) ([]task, error) {
	v, err := l.do(claimOf(worker, n, wait, lease, queue)...)
	if err != nil {
		return nil, err
	}
	return tasksOf(v)
}

// claimOf is the command that does that.
func claimOf(worker string, n int, wait, lease time.Duration, queue string) []string {
	args := []string{"TASK.CLAIM", worker, "COUNT", strconv.Itoa(n), "LEASE", strconv.FormatInt(lease.Milliseconds(), 10)}
	if wait > 0 {
		args = append(args, "BLOCK", strconv.FormatInt(wait.Milliseconds(), 10))
	}
	return append(args, "FROM", queue)
}

// tasksOf reads its answer.
func tasksOf(v resp.Value) (list []task, err error) {
	for _, e := range v.Elems {
		if len(e.Elems) != 5 {
			return nil, fmt.Errorf("a claim is answered with %d fields", len(e.Elems))
		}
		list = append(list, task{string(e.Elems[0].Str), string(e.Elems[1].Str), e.Elems[3].Int, e.Elems[4].Str})
	}
	return list, nil
}
