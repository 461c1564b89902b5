// Package metrics tells Prometheus what a node has counted and how it is.
//
// What is counted is counted where it happens, by server, peer, shard and store,
// in atomics; this package asks them when it is scraped. A metric is here only if
// something computes it. Its row in families says what it means; what its labels
// can be is bounded: by the command table, by the members of the cluster, by a
// list in the code.
package metrics
