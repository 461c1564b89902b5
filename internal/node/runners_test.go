package node

import (
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer/peertest"
	"tutti/internal/runner"
)

// What a peer has told of its commands is known while it is linked, also when the link
// to it was down and its own link was not, so that nobody tells it again.
func TestRunnersOutliveOwnLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := cluster.NewMap(cluster.Map{Epoch: 1, Version: cluster.Newest, Members: []cluster.Member{{ID: 1, Version: cluster.Newest}, {ID: 2, Version: cluster.Newest}},
			Shards: []cluster.Shard{{Descriptor: cluster.Descriptor{ID: 1, Slots: cluster.AllSlots, Generation: 1}}}})
		if err != nil {
			t.Fatal(err)
		}
		nets := map[cluster.NodeID]peertest.Pipes{1: peertest.NewPipes(), 2: peertest.NewPipes()}
		var nodes [3]runners
		own := make(chan net.Conn, 4) // of node 2
		for _, id := range []cluster.NodeID{1, 2} {
			r, dialed := &nodes[id], (func(net.Conn))(nil)
			if id == 2 {
				dialed = func(c net.Conn) { own <- c }
			}
			n := &Node{self: Self{Node: id}, network: network{links: peertest.Links(id, nets, r.linkChanged, dialed)},
				maps: cluster.NewHolder(m, func([]byte) error { return nil })}
			r.open(n)
			n.links.Start()
			defer n.links.Close()
		}
		nodes[1].own = runner.Start(runner.Config{Node: "node-1", Max: 7, Logger: slog.New(slog.DiscardHandler), Dial: func() net.Conn {
			here, there := net.Pipe()
			there.Close()
			return here
		}})
		defer nodes[1].own.Close()
		sees := func(when string, want ...int) {
			t.Helper()
			synctest.Wait()
			var got []int
			for _, x := range nodes[2].list() {
				got = append(got, x.Max)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s node 2 knows of %v commands, want %v", when, got, want)
			}
		}
		nodes[1].links.Connect(2)
		sees("without a link of its own")
		nodes[2].links.Connect(1)
		sees("linked", 7)
		for range 2 { // both of its link
			(<-own).Close()
		}
		sees("cut off")
		time.Sleep(10 * time.Second)
		sees("linked again", 7)
	})
}
