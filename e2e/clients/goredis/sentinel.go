package main

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// Every node is a sentinel, and names the node that leads.
func sentinel(s settings) redis.UniversalClient {
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: s.master, SentinelAddrs: s.addrs, SentinelUsername: s.user, SentinelPassword: s.password,
		Username: s.user, Password: s.password, TLSConfig: s.tls,
		MaxRetries: 30, MinRetryBackoff: 50 * time.Millisecond, MaxRetryBackoff: 500 * time.Millisecond,
		ReadTimeout: 10 * time.Second,
	})
}
