// Command rueidis is the load of rueidis. The files plain.go, sentinel.go and cluster.go are
// what an application would write; docs/CLIENTS.md shows them. As "rueidis cache MODE" it
// reads from its client-side cache instead, see cache.go.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/redis/rueidis"

	"tutti/e2e/clients/workload"
)

type settings = workload.Settings

func main() {
	if os.Args[1] == "cache" {
		workload.Main(func(o *workload.Order) (func() any, error) { return beginCache(os.Args[2], o) })
		return
	}
	workload.Load(func(mode string, s settings) (workload.Client, error) {
		client, err := connect(mode, s)
		return calls{client}, err
	})
}

func connect(mode string, s settings) (rueidis.Client, error) {
	switch mode {
	case "plain":
		return plain(s)
	case "sentinel":
		return sentinel(s)
	case "cluster":
		return cluster(s)
	}
	return nil, fmt.Errorf("no mode %q", mode)
}

// calls are what the load asks of the library. It sends nothing but reads again by itself:
// ToRetryable says that a write may be.
type calls struct{ client rueidis.Client }

func (c calls) Add(ctx context.Context, set string, member int) error {
	return c.client.Do(ctx, c.client.B().Sadd().Key(set).Member(strconv.Itoa(member)).Build().ToRetryable()).Error()
}

func (c calls) Increment(ctx context.Context, counter string) error {
	return c.client.Do(ctx, c.client.B().Incr().Key(counter).Build().ToRetryable()).Error()
}

func (c calls) Read(ctx context.Context, counter string) (int, error) {
	n, err := c.client.Do(ctx, c.client.B().Get().Key(counter).Build()).AsInt64()
	if rueidis.IsRedisNil(err) {
		return 0, nil
	}
	return int(n), err
}

func (c calls) Close() { c.client.Close() }
