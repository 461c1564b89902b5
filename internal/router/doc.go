// Package router brings groups of commands to the shards that own their keys.
//
// It finds the shard of a slot and the shard's leader, numbers every group of
// writes in this node's session with the shard, and sends a group again, under
// the same number, until it is answered or its time is up. Because the shard
// remembers what it has answered, a group is applied once, however often it is
// sent; a client sees a pause at a leader change, not an error.
package router
