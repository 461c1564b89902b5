// Package server is the front door: connections of clients, the state of each
// (database, protocol version, MULTI, WATCH), the order of replies, and the
// commands that a node answers by itself.
//
// One goroutine serves one connection. It takes all the commands that a
// pipeline has brought, hands runs of them to the router as groups, and writes
// all replies at once, in order. Commands that touch no key are answered here,
// after what came before them has been answered.
package server
