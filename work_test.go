package tutti_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tutti"
	"tutti/tuttitest"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

type word struct{ Text string }

type length struct{ N int }

func measure(_ context.Context, w word) (length, error) { return length{len(w.Text)}, nil }

// worker is a call of tutti.Work that a test has started.
type worker struct {
	stop func()
	end  chan error
}

// startWork runs a worker until the test ends, or it is stopped.
func startWork(t *testing.T, c *redis.Client, cfg tutti.WorkConfig, tasks ...tutti.Handler) *worker {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	w := &worker{stop: stop, end: make(chan error, 1)}
	var running sync.WaitGroup
	running.Go(func() { w.end <- tutti.Work(ctx, c, cfg, tasks...) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return w
}

// within returns what comes from a channel.
func within[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("nothing came for %v", patience)
	}
	return v
}

// field asks for one field of a task.
func field(t *testing.T, c *redis.Client, id, name string) any {
	t.Helper()
	reply, err := c.Do(t.Context(), "TASK.GET", id).Result()
	if err != nil {
		t.Fatal(err)
	}
	return reply.(map[any]any)[name]
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestTask(t *testing.T) {
	t.Parallel()
	c := tuttitest.Start(t).Client(1)
	task := tutti.NewTask("words", measure)
	job := must[tutti.Job[length]](t)(task.Add(t.Context(), c, word{"hello"}, tutti.Options{}))
	startWork(t, c, tutti.WorkConfig{Name: "first"}, task)
	if got, err := job.Wait(t.Context()); err != nil || got.N != 5 {
		t.Fatalf("%v, %v", got, err)
	}
	if by := field(t, c, job.ID, "worker").(string); !strings.HasPrefix(by, "first-") {
		t.Errorf("done by %s", by)
	}
	if _, err := task.Job(c, job.ID+"0").Wait(t.Context()); !errors.Is(err, tutti.ErrUnknown) {
		t.Errorf("a task that never was: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	later := must[tutti.Job[length]](t)(task.Add(t.Context(), c, word{}, tutti.Options{Delay: time.Hour}))
	if _, err := later.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no result within the context's time: %v", err)
	}
	if ok, err := later.Cancel(t.Context()); !ok || err != nil {
		t.Errorf("cancelled: %v, %v", ok, err)
	}
	if _, err := later.Wait(t.Context()); !errors.Is(err, tutti.ErrCancelled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestEveryTaskOnceByTwoWorkers(t *testing.T) {
	t.Parallel()
	const n = 1000
	cluster := tuttitest.Start(t)
	var runs [n]atomic.Int32
	var by [2]atomic.Int32
	var tasks [2]*tutti.Task[int, int]
	for i := range tasks {
		tasks[i] = tutti.NewTask("numbers", func(_ context.Context, x int) (int, error) {
			runs[x].Add(1)
			by[i].Add(1)
			return 2 * x, nil
		})
	}
	inputs := make([]int, n)
	for i := range inputs {
		inputs[i] = i
	}
	jobs := must[[]tutti.Job[int]](t)(tasks[0].AddAll(t.Context(), cluster.Client(0), inputs, tutti.Options{}))
	for i := range tasks {
		startWork(t, cluster.Client(i), tutti.WorkConfig{Concurrency: 16}, tasks[i])
	}
	i := 0
	for got, err := range tutti.Results(t.Context(), jobs) {
		if err != nil || got != 2*i {
			t.Fatalf("task %d: %d, %v", i, got, err)
		}
		i++
	}
	if i != n {
		t.Errorf("%d results", i)
	}
	for x := range runs {
		if got := runs[x].Load(); got != 1 {
			t.Errorf("task %d ran %d times", x, got)
		}
	}
	if by[0].Load() == 0 || by[1].Load() == 0 {
		t.Errorf("the workers ran %d and %d", by[0].Load(), by[1].Load())
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	c := tuttitest.Start(t).Client(0)
	task := tutti.NewTask[string, string]("options", nil)
	task.Defaults = tutti.Options{Retries: new(3), BackoffMin: time.Millisecond, Keep: time.Hour}
	add := func(o tutti.Options) string {
		t.Helper()
		return must[tutti.Job[string]](t)(task.Add(t.Context(), c, "x", o)).ID
	}
	first := add(tutti.Options{Unique: "u", Priority: new(0)})
	if again := add(tutti.Options{Unique: "u"}); again != first {
		t.Errorf("%s has the unique key of %s", again, first)
	}
	child := add(tutti.Options{
		After: []string{first}, Key: "k", Near: "data", Retries: new(0), BackoffMax: time.Millisecond * 3 / 2,
		Timeout: time.Second, TTL: time.Hour, Keep: time.Minute, KeepFailed: time.Minute, At: time.Now().Add(time.Hour),
	})
	for _, want := range []struct {
		id, field string
		value     any
	}{
		{first, "prio", int64(0)}, {first, "retries", int64(3)}, {first, "unique", "u"}, {first, "state", "ready"},
		{child, "prio", int64(5)}, {child, "retries", int64(0)}, {child, "key", "k"}, {child, "state", "waiting"}, {child, "waits-for", int64(1)},
	} {
		if got := field(t, c, want.id, want.field); got != want.value {
			t.Errorf("%s of %s is %v, not %v", want.field, want.id, got, want.value)
		}
	}
	if jobs, err := task.AddAll(t.Context(), c, make([]string, 1001), tutti.Options{}); err == nil {
		t.Errorf("added %d at once", len(jobs))
	}
	if jobs, err := task.AddAll(t.Context(), c, nil, tutti.Options{}); err != nil || len(jobs) != 0 {
		t.Errorf("added nothing: %v, %v", jobs, err)
	}
}

func TestHandlersFail(t *testing.T) {
	t.Parallel()
	c := tuttitest.Start(t).Client(0)
	fail := map[string]error{
		"once":  tutti.RetryIn(errors.New("not yet"), 0),
		"never": errors.New("no"),
		"dead":  fmt.Errorf("for good: %w", tutti.Dead(errors.New("no use"))),
	}
	task := tutti.NewTask("failing", func(ctx context.Context, how string) (int, error) {
		claim, ok := tutti.ClaimOf(ctx)
		switch {
		case !ok || claim.Queue != "failing" || claim.Token == 0:
			return 0, tutti.Dead(fmt.Errorf("claim %+v", claim))
		case how == "panic":
			panic("out of luck")
		case how == "large":
			return 0, nil
		case how == "once" && claim.Attempt > 1:
			return claim.Attempt, nil
		}
		return 0, fail[how]
	})
	large := tutti.NewTask("large", func(context.Context, string) ([]byte, error) { return make([]byte, 1<<20+1), nil })
	startWork(t, c, tutti.WorkConfig{}, task, large)
	none := tutti.Options{Retries: new(0)}
	for how, want := range map[string]string{"never": "no", "dead": "for good: no use", "panic": "panic: out of luck"} {
		job := must[tutti.Job[int]](t)(task.Add(t.Context(), c, how, none))
		_, err := job.Wait(t.Context())
		dead, ok := errors.AsType[*tutti.DeadError](err)
		if !ok || len(dead.Errors) != 1 || !strings.HasPrefix(dead.Errors[0], want) {
			t.Errorf("%s: %v", how, err)
		}
	}
	if got, err := must[tutti.Job[int]](t)(task.Add(t.Context(), c, "once", tutti.Options{})).Wait(t.Context()); err != nil || got != 2 {
		t.Errorf("a second attempt: %d, %v", got, err)
	}
	if _, err := must[tutti.Job[[]byte]](t)(large.Add(t.Context(), c, "", tutti.Options{})).Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "1048577 bytes") {
		t.Errorf("a result that is too large: %v", err)
	}
	if err := tutti.Work(t.Context(), c, tutti.WorkConfig{}, task, task); err == nil {
		t.Error("two handlers of one queue")
	}
	if err := tutti.Work(t.Context(), c, tutti.WorkConfig{}); err == nil {
		t.Error("a worker of no queue")
	}
}

// What runs when the worker is to end, ends; what is waiting stays for others.
func TestWorkDrains(t *testing.T) {
	t.Parallel()
	c := tuttitest.Start(t).Client(0)
	begun, proceed := make(chan struct{}), make(chan struct{})
	task := tutti.NewTask("slow", func(ctx context.Context, i int) (int, error) {
		begun <- struct{}{}
		<-proceed
		return i, ctx.Err()
	})
	jobs := must[[]tutti.Job[int]](t)(task.AddAll(t.Context(), c, []int{1, 2, 3}, tutti.Options{}))
	w := startWork(t, c, tutti.WorkConfig{Concurrency: 2}, task)
	within(t, begun)
	within(t, begun)
	w.stop()
	close(proceed)
	if err := within(t, w.end); err != nil {
		t.Error(err)
	}
	var states []string
	for _, job := range jobs {
		states = append(states, field(t, c, job.ID, "state").(string))
	}
	if got := strings.Join(states, " "); got != "done done ready" {
		t.Errorf("the tasks are %s", got)
	}
}

// What is claimed ahead waits for a hand, and is done by the worker when it drains.
func TestAhead(t *testing.T) {
	t.Parallel()
	c := tuttitest.Start(t).Client(0)
	begun, proceed := make(chan int, 10), make(chan struct{})
	task := tutti.NewTask("ahead", func(ctx context.Context, i int) (int, error) {
		begun <- i
		<-proceed
		return i, ctx.Err()
	})
	jobs := must[[]tutti.Job[int]](t)(task.AddAll(t.Context(), c, []int{1, 2, 3, 4}, tutti.Options{}))
	w := startWork(t, c, tutti.WorkConfig{Concurrency: 1, Ahead: 2}, task)
	within(t, begun)
	if n := len(begun); n != 0 {
		t.Errorf("%d more handlers run than there are hands", n)
	}
	w.stop()
	close(proceed)
	if err := within(t, w.end); err != nil {
		t.Error(err)
	}
	var states []string
	for _, job := range jobs {
		states = append(states, field(t, c, job.ID, "state").(string))
	}
	if got := strings.Join(states, " "); got != "done done done ready" {
		t.Errorf("the tasks are %s", got)
	}
}

// A handler that has no more time is told so, and its task is for others at once.
func TestWorkEndsDraining(t *testing.T) {
	t.Parallel()
	c := tuttitest.Start(t).Client(0)
	begun := make(chan struct{}, 1)
	task := tutti.NewTask("endless", func(ctx context.Context, _ int) (int, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	job := must[tutti.Job[int]](t)(task.Add(t.Context(), c, 1, tutti.Options{}))
	w := startWork(t, c, tutti.WorkConfig{Drain: time.Millisecond}, task)
	within(t, begun)
	w.stop()
	if err := within(t, w.end); err != nil {
		t.Error(err)
	}
	next := tutti.NewTask("endless", func(context.Context, int) (int, error) { return 7, nil })
	startWork(t, c, tutti.WorkConfig{}, next)
	if got, err := job.Wait(t.Context()); err != nil || got != 7 {
		t.Errorf("%d, %v", got, err)
	}
}

// Who has lost a task, whatever the reason, learns it without asking.
func TestHandlerLearnsThatItsTaskIsGone(t *testing.T) {
	t.Parallel()
	c := tuttitest.Start(t).Client(0)
	begun, cause := make(chan struct{}), make(chan error)
	handle := func(ctx context.Context, _ int) (int, error) {
		begun <- struct{}{}
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return 0, ctx.Err()
	}
	task, timed := tutti.NewTask("cancelled", handle), tutti.NewTask("timed", handle)
	timed.Defaults.Timeout = 50 * time.Millisecond
	startWork(t, c, tutti.WorkConfig{Lease: time.Second}, task) // and looks every sixth of it
	startWork(t, c, tutti.WorkConfig{}, timed)
	job := must[tutti.Job[int]](t)(task.Add(t.Context(), c, 1, tutti.Options{}))
	within(t, begun)
	if ok, err := job.Cancel(t.Context()); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := within(t, cause); !errors.Is(err, tutti.ErrLost) {
		t.Errorf("cancelled: %v", err)
	}
	must[tutti.Job[int]](t)(timed.Add(t.Context(), c, 1, tutti.Options{Retries: new(0)}))
	within(t, begun)
	if err := within(t, cause); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("at its deadline: %v", err)
	}
}

// With no node to speak to, a worker gives its tasks up before others can have them.
func TestLostLeaseEndsHandlers(t *testing.T) {
	t.Parallel()
	cluster := tuttitest.Start(t)
	c := cluster.Client(0)
	begun, cause := make(chan struct{}), make(chan error, 1)
	task := tutti.NewTask("cut", func(ctx context.Context, _ int) (int, error) {
		begun <- struct{}{}
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return 0, ctx.Err()
	})
	job := must[tutti.Job[int]](t)(task.Add(t.Context(), c, 1, tutti.Options{}))
	w := startWork(t, c, tutti.WorkConfig{Lease: time.Second}, task)
	within(t, begun)
	cluster.Kill(0)
	if err := within(t, cause); !errors.Is(err, tutti.ErrLost) {
		t.Errorf("cut off: %v", err)
	}
	w.stop()
	if err := within(t, w.end); err != nil {
		t.Error(err)
	}
	next := tutti.NewTask("cut", func(context.Context, int) (int, error) { return 7, nil })
	other := cluster.Client(1)
	startWork(t, other, tutti.WorkConfig{}, next)
	if got, err := next.Job(other, job.ID).Wait(t.Context()); err != nil || got != 7 {
		t.Errorf("%d, %v", got, err)
	}
}

// A worker outlives its node: it goes on when there is one again.
func TestWorkOutlivesItsNode(t *testing.T) {
	t.Parallel()
	cluster := tuttitest.Start(t)
	task := tutti.NewTask("words", measure)
	// What the dead node was given for its worker comes back after a lease.
	startWork(t, cluster.Client(0), tutti.WorkConfig{Lease: time.Second}, task)
	other := cluster.Client(1)
	if got, err := must[tutti.Job[length]](t)(task.Add(t.Context(), other, word{"one"}, tutti.Options{})).Wait(t.Context()); err != nil || got.N != 3 {
		t.Fatal(got, err)
	}
	cluster.Kill(0)
	job := must[tutti.Job[length]](t)(task.Add(t.Context(), other, word{"seven"}, tutti.Options{}))
	cluster.Restart(0)
	if got, err := job.Wait(t.Context()); err != nil || got.N != 5 {
		t.Error(got, err)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	c := tuttitest.Start(t).Client(0)
	begun, end := make(chan struct{}, 1), make(chan struct{})
	task := tutti.NewTask("long", func(ctx context.Context, _ int) (int, error) {
		tutti.Progress(ctx, .25, "page 1")
		begun <- struct{}{}
		<-end
		return 1, nil
	})
	startWork(t, c, tutti.WorkConfig{Lease: 3 * time.Second}, task)
	job := must[tutti.Job[int]](t)(task.Add(t.Context(), c, 1, tutti.Options{}))
	within(t, begun)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for field(t, c, job.ID, "message") != "page 1" { // nobody is told of progress
		if ctx.Err() != nil {
			t.Fatal("no progress is shown")
		}
	}
	if got := field(t, c, job.ID, "progress"); got != "0.25" {
		t.Errorf("progress %v", got)
	}
	close(end)
	if _, err := job.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// What a handler leaves to its result is applied with it, or not at all.
func TestEffects(t *testing.T) {
	t.Parallel()
	c := tuttitest.Start(t).Client(0)
	task := tutti.NewTask("counting", func(ctx context.Context, how string) (int, error) {
		claim, _ := tutti.ClaimOf(ctx)
		tutti.Effects(ctx).Incr(ctx, "count:"+how)
		switch {
		case how == "fenced":
			if err := c.Do(ctx, "TASK.CANCEL", claim.ID).Err(); err != nil {
				return 0, err
			}
		case how == "again" && claim.Attempt == 1:
			return 0, tutti.RetryIn(errors.New("not yet"), 0)
		case how == "bad":
			tutti.Effects(ctx).Do(ctx, "NO.SUCH.COMMAND")
		}
		return claim.Attempt, nil
	})
	startWork(t, c, tutti.WorkConfig{}, task)
	for how, want := range map[string]string{"plain": "1", "again": "1", "fenced": "", "bad": ""} {
		_, err := must[tutti.Job[int]](t)(task.Add(t.Context(), c, how, tutti.Options{Retries: new(1), BackoffMin: time.Millisecond})).Wait(t.Context())
		if (err == nil) != (want != "") {
			t.Errorf("%s: %v", how, err)
		}
		if got := c.Get(t.Context(), "count:"+how).Val(); got != want {
			t.Errorf("%s: counted %q, not %q", how, got, want)
		}
	}
}

func TestMap(t *testing.T) {
	t.Parallel()
	c := tuttitest.Start(t).Client(0)
	task := tutti.NewTask("squares", func(_ context.Context, x int) (int, error) {
		if x == 7 {
			return 0, tutti.Dead(errors.New("seven"))
		}
		return x * x, nil
	})
	startWork(t, c, tutti.WorkConfig{Concurrency: 32}, task)
	const n = 1500 // more than Map has open at once
	i := 0
	for got, err := range task.Map(t.Context(), c, numbers(n), tutti.Options{}) {
		if want := i * i; i != 7 && (err != nil || got != want) || i == 7 && err == nil {
			t.Fatalf("input %d: %d, %v", i, got, err)
		}
		i++
	}
	if i != n {
		t.Errorf("%d results", i)
	}
	for _, err := range task.Map(t.Context(), c, numbers(n), tutti.Options{}) {
		if err != nil {
			t.Error(err)
		}
		break // who has enough ends it
	}
}

func numbers(n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestWorkIsRefused(t *testing.T) {
	t.Parallel()
	cluster := tuttitest.Start(t)
	admin := cluster.Client(0)
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "poor", "on", ">secret", "~other", "+task.claim").Err(); err != nil {
		t.Fatal(err)
	}
	poor := redis.NewClient(&redis.Options{Addr: cluster.Addr(0), Username: "poor", Password: "secret"})
	defer poor.Close()
	err := tutti.Work(t.Context(), poor, tutti.WorkConfig{}, tutti.NewTask("words", measure))
	if err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("a worker without rights: %v", err)
	}
}

// TestKilledWorker kills a process in the middle of its handlers.
func TestKilledWorker(t *testing.T) {
	if addr := os.Getenv("TUTTI_TEST_WORKER"); addr != "" {
		workUntilKilled(addr)
	}
	t.Parallel()
	cluster := tuttitest.Start(t)
	c := cluster.Client(0)
	const n = 20
	task := tutti.NewTask("killed", func(context.Context, int) (string, error) { return "other", nil })
	inputs := make([]int, n)
	jobs := must[[]tutti.Job[string]](t)(task.AddAll(t.Context(), c, inputs, tutti.Options{}))
	victim := exec.Command(os.Args[0], "-test.run=^TestKilledWorker$")
	victim.Env = append(os.Environ(), "TUTTI_TEST_WORKER="+cluster.Addr(1))
	victim.Stderr = os.Stderr
	out := must[interface{ Read([]byte) (int, error) }](t)(victim.StdoutPipe())
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var begun [1]byte
	_, err := out.Read(begun[:]) // a handler runs
	_ = victim.Process.Kill()
	_ = victim.Wait() // it was killed
	if err != nil {
		t.Fatal(err)
	}
	startWork(t, c, tutti.WorkConfig{}, task)
	for got, err := range tutti.Results(t.Context(), jobs) {
		if err != nil || got != "other" {
			t.Fatal(got, err)
		}
	}
	reply := must[any](t)(c.Do(t.Context(), "TASK.QUEUE", "killed").Result()).(map[any]any)
	if crashed, done := reply["total-crashed"].(int64), reply["total-done"]; crashed < 1 || done != int64(n) {
		t.Errorf("%v done, %d of them taken from the worker that was killed", done, crashed)
	}
}

func workUntilKilled(addr string) {
	task := tutti.NewTask("killed", func(context.Context, int) (string, error) {
		fmt.Print("!")
		select {}
	})
	c := redis.NewClient(&redis.Options{Addr: addr})
	err := tutti.Work(context.Background(), c, tutti.WorkConfig{Concurrency: 5, Lease: time.Second}, task)
	fmt.Fprintln(os.Stderr, "the worker ended:", err)
	os.Exit(1)
}
