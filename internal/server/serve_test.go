package server

import (
	"math/rand/v2"
	"net"
	"testing"

	"tutti/internal/command"
)

// A node that finds damage while it opens closes its server before Serve has
// begun, and listens again at once.
func TestServeAfterCloseFreesTheAddress(t *testing.T) {
	t.Parallel()
	s := New(Config{Table: command.NewTable(), Rand: rand.Uint64N})
	s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
	again, err := net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
