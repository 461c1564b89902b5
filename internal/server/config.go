package server

import (
	"sync/atomic"
	"time"
)

// config is the settings that CONFIG GET and CONFIG SET know. They belong to
// the node, not to the cluster, and last until it stops.
type config struct {
	timeout atomic.Int64 // seconds an idle client is kept; 0: for ever
}

func newConfig() *config { return &config{} }

func (c *config) idleTimeout() time.Duration { return time.Duration(c.timeout.Load()) * time.Second }
