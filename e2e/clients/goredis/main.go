// Command goredis is the load of go-redis. The files plain.go, sentinel.go and cluster.go are
// what an application would write; docs/CLIENTS.md shows them.
package main

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"tutti/e2e/clients/workload"
)

type settings = workload.Settings

func main() {
	workload.Load(func(mode string, s settings) (workload.Client, error) {
		client, err := connect(mode, s)
		return calls{client}, err
	})
}

func connect(mode string, s settings) (redis.UniversalClient, error) {
	switch mode {
	case "plain":
		return plain(s), nil
	case "sentinel":
		return sentinel(s), nil
	case "cluster":
		return cluster(s), nil
	}
	return nil, fmt.Errorf("no mode %q", mode)
}

// calls are what the load asks of the library.
type calls struct{ client redis.UniversalClient }

func (c calls) Add(ctx context.Context, set string, member int) error {
	return c.client.SAdd(ctx, set, member).Err()
}

func (c calls) Increment(ctx context.Context, counter string) error {
	return c.client.Incr(ctx, counter).Err()
}

func (c calls) Read(ctx context.Context, counter string) (int, error) {
	n, err := c.client.Get(ctx, counter).Int()
	if err == redis.Nil { //nolint:errorlint // as go-redis documents it
		return 0, nil
	}
	return n, err
}

func (c calls) Close() { c.client.Close() }
