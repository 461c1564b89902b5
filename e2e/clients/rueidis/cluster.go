package main

import (
	"time"

	"github.com/redis/rueidis"
)

// The client takes nodes that say that they are a cluster for one, as these do.
func cluster(s settings) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress: s.Addrs, Username: s.User, Password: s.Password, TLSConfig: s.TLS,
		ClusterOption: rueidis.ClusterOption{ShardsRefreshInterval: 5 * time.Second},
	})
}
