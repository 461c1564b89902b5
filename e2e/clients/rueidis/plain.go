package main

import "github.com/redis/rueidis"

// One address: that of a gateway, or of a node that may be gone for seconds
// while it starts again. What the client reads by DoCache it keeps, until a node
// tells it that the key has changed.
func plain(s settings) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress: s.Addrs, Username: s.User, Password: s.Password, TLSConfig: s.TLS,
		ForceSingleClient: true,
	})
}
