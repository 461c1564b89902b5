package main

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// Every node is a sentinel, and names the node that leads.
func sentinel(s settings) redis.UniversalClient {
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: s.Master, SentinelAddrs: s.Addrs, SentinelUsername: s.User, SentinelPassword: s.Password,
		Username: s.User, Password: s.Password, TLSConfig: s.TLS,
		MaxRetries: 30, MinRetryBackoff: 50 * time.Millisecond, MaxRetryBackoff: 500 * time.Millisecond,
		ReadTimeout: 10 * time.Second,
	})
}
