package process

import "context"

// Quiet takes what the client library says of nodes that are down.
type Quiet struct{}

// Printf is of redis.SetLogger.
func (Quiet) Printf(context.Context, string, ...any) {}
