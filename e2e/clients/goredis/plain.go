package main

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// One address: that of a gateway, or of a node that may be gone for seconds
// while it starts again.
func plain(s settings) redis.UniversalClient {
	return redis.NewClient(&redis.Options{
		Addr: s.Addrs[0], Username: s.User, Password: s.Password, TLSConfig: s.TLS,
		MaxRetries: 30, MinRetryBackoff: 50 * time.Millisecond, MaxRetryBackoff: 500 * time.Millisecond,
		ReadTimeout: 10 * time.Second, // a node tries a write for five
	})
}
