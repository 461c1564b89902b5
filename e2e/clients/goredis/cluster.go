package main

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// Reads go to any node, which is no weaker here: every node answers with the
// newest value.
func cluster(s settings) redis.UniversalClient {
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: s.Addrs, Username: s.User, Password: s.Password, TLSConfig: s.TLS,
		RouteRandomly: true,
		MaxRedirects:  30, MinRetryBackoff: 50 * time.Millisecond, MaxRetryBackoff: 500 * time.Millisecond,
		ReadTimeout: 10 * time.Second,
	})
}
