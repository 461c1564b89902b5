package node_test

import (
	"testing"

	"tutti/internal/node/nodetest"
)

// What a command costs a node, that is its only one, from the client's bytes to
// its reply; the disk is memory. Compare the CPU of two builds that take turns.
const benchPipeline = 50

func BenchmarkGet(b *testing.B) { benchCommand(b, "GET", "k") }
func BenchmarkSet(b *testing.B) { benchCommand(b, "SET", "k", "value") }

// benchCommand sends one command again and again, benchPipeline at a time.
func benchCommand(b *testing.B, args ...string) {
	conn := nodetest.Start(b, nodetest.Options{}).Dial(0)
	conn.Do("SET", "k", "value")
	b.ReportAllocs()
	for b.Loop() {
		for range benchPipeline {
			conn.Send(args...)
		}
		for range benchPipeline {
			if _, err := conn.Receive(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
