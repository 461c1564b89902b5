package tutti_test

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"tutti"
	"tutti/tuttitest"
)

type resizeArgs struct {
	Image string
	Width int
}

// resize stands for some work.
func resize(_ context.Context, a resizeArgs) (string, error) {
	if a.Width <= 0 {
		return "", tutti.Dead(errors.New("an image needs a width"))
	}
	return fmt.Sprintf("%s-%d.png", a.Image, a.Width), nil
}

// A queue with what its tasks take and give. Programs that add tasks, and workers,
// share it.
func ExampleNewTask() {
	var thumbnails = tutti.NewTask("thumbnails", resize) // func(context.Context, resizeArgs) (string, error)

	client := redis.NewClient(&redis.Options{Addr: address()}) // any node, or a gateway
	ctx := context.Background()
	job, err := thumbnails.Add(ctx, client, resizeArgs{"holiday", 80}, tutti.Options{Unique: "holiday:80"})
	if err != nil {
		panic(err)
	}
	go func() { _ = tutti.Work(ctx, client, tutti.WorkConfig{}, thumbnails) }() // most likely on another machine
	file, err := job.Wait(ctx)
	fmt.Println(file, err)
	// Output: holiday-80.png <nil>
}

// A worker ends on SIGTERM once it has recorded how the tasks in its hands have ended.
func ExampleWork() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client := redis.NewClient(&redis.Options{Addr: address()})
	defer client.Close()
	report := tutti.NewTask("reports", func(ctx context.Context, year int) (string, error) {
		for month := range 12 {
			tutti.Progress(ctx, float64(month)/12, "reading") // TASK.GET shows it
			if ctx.Err() != nil {
				return "", context.Cause(ctx) // cancelled, or another worker has it now
			}
		}
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGTERM) // what systemd does at the end
		return fmt.Sprint("all of ", year), nil
	})
	job, _ := report.Add(ctx, client, 1815, tutti.Options{Priority: new(0)})
	err := tutti.Work(ctx, client, tutti.WorkConfig{Concurrency: 8}, report)
	result, _ := job.Wait(context.Background())
	fmt.Println(err, result)
	// Output: <nil> all of 1815
}

// Results come in the order of the inputs, however many workers there are.
func ExampleTask_Map() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	client := redis.NewClient(&redis.Options{Addr: address()})
	lengths := tutti.NewTask("lengths", func(_ context.Context, line string) (int, error) { return len(line), nil })
	go func() { _ = tutti.Work(ctx, client, tutti.WorkConfig{Concurrency: 8}, lengths) }()
	total := 0
	lines := slices.Values([]string{"one", "three", "seven"})
	for n, err := range lengths.Map(ctx, client, lines, tutti.Options{}) {
		if err != nil {
			fmt.Println(err) // of this line; the others go on
			continue
		}
		total += n
	}
	fmt.Println(total)
	// Output: 13
}

// What a handler writes in this way is written once, however often it runs.
func ExampleEffects() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	client := redis.NewClient(&redis.Options{Addr: address()})
	pay := tutti.NewTask("payments", func(ctx context.Context, cents int64) (string, error) {
		tutti.Effects(ctx).IncrBy(ctx, "balance", cents) // together with the result, or not at all
		return "paid", nil
	})
	go func() { _ = tutti.Work(ctx, client, tutti.WorkConfig{}, pay) }()
	job, _ := pay.Add(ctx, client, 250, tutti.Options{})
	state, err := job.Wait(ctx)
	fmt.Println(state, err, client.Get(ctx, "balance").Val())
	// Output: paid <nil> 250
}

func TestThumbnails(t *testing.T) {
	t.Parallel()
	cluster := tuttitest.Start(t) // three nodes in this process, until the test ends
	client := cluster.Client(0)
	thumbnails := tutti.NewTask("thumbnails", resize)
	cluster.Work(1, tutti.WorkConfig{}, thumbnails)
	job, err := thumbnails.Add(t.Context(), client, resizeArgs{"holiday", 0}, tutti.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cluster.Kill(2) // the others go on
	if _, err := job.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "an image needs a width") {
		t.Error(err)
	}
}

// address is where the examples find a cluster. It is in memory, and ends with the
// process.
var address = sync.OnceValue(func() string { return tuttitest.Start(exampleT{}).Addr(0) })

// exampleT is what tuttitest needs of a test: an example has none.
type exampleT struct{ testing.TB }

func (exampleT) Helper()           {}
func (exampleT) Cleanup(func())    {}
func (exampleT) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
