// Package audit is what replicas are judged by: whether they hold the same
// (compare.go), what they hold (piece.go), and whether a leader's disk is the
// slow one (health.go), or its links (reach.go). It asks nobody and sends nothing; package shard does.
package audit
