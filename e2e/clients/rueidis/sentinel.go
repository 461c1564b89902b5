package main

import (
	"time"

	"github.com/redis/rueidis"
)

// Every node is a sentinel, and names the node that leads.
func sentinel(s settings) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress: s.Addrs, Username: s.User, Password: s.Password, TLSConfig: s.TLS,
		Sentinel: rueidis.SentinelOption{
			MasterSet: s.Master, Username: s.User, Password: s.Password, TLSConfig: s.TLS,
			TopologyRefreshInterval: 5 * time.Second,
		},
	})
}
