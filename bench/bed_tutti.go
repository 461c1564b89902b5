package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/node"
)

// tuttiSystem runs `tutti start` in folders that were formed here. Every node
// is told addresses of the switch for its peers, one for each direction.
type tuttiSystem struct {
	shards int // 0: one
}

func (tuttiSystem) traits() traits { return traits{tls: true, finalNodes: true, elects: true} }

func (tuttiSystem) end() {}

func (t tuttiSystem) place(b *bed) error {
	var members []node.Member
	var dirs []string
	for i, n := range b.nodes {
		members = append(members, node.Member{ID: cluster.NodeID(i + 1), Client: n.addr, Peer: n.peer})
		dirs = append(dirs, n.dir)
		n.args = []string{"start", "--dir", n.dir, "--log", "warn", "--clock-file", n.clockFile()}
	}
	if err := node.Form(vfs.Default, dirs, node.Formation{Cluster: "bench", Shards: max(t.shards, 1), Small: true, Members: members}); err != nil {
		return err
	}
	for i, from := range b.nodes {
		seen := append([]node.Member(nil), members...)
		for _, j := range b.others(i) {
			to := b.nodes[j]
			addr, err := b.net.Connect(from.host, to.host, to.peer)
			if err != nil {
				return err
			}
			seen[j].Peer = addr
		}
		if err := node.Readdress(vfs.Default, dirs[i:i+1], seen); err != nil {
			return err
		}
	}
	return nil
}

// statuses asks all nodes at once; nil: no answer.
func (tuttiSystem) statuses(ctx context.Context, b *bed) []*node.Status {
	all := make([]*node.Status, len(b.nodes))
	var wg sync.WaitGroup
	for i, n := range b.nodes {
		wg.Go(func() {
			var s node.Status
			if askJSON(ctx, n.addr, &s, "TUTTI.STATUS", "LOCAL") == nil {
				all[i] = &s
			}
		})
	}
	wg.Wait()
	return all
}

// leader believes the node that leads in the highest term.
func (t tuttiSystem) leader(ctx context.Context, b *bed) (leader int, term uint64, err error) {
	leader = -1
	for i, s := range t.statuses(ctx, b) {
		if s != nil && s.Shards[0].Leader == s.Node && s.Shards[0].Term > term {
			leader, term = i, s.Shards[0].Term
		}
	}
	if leader < 0 {
		return 0, 0, errors.New("no leader yet")
	}
	return leader, term, nil
}

func (tuttiSystem) probe(ctx context.Context, b *bed, i int) error {
	// A read needs a majority and a replica that keeps up.
	_, err := askRESP(ctx, b.nodes[i].addr, "EXISTS", "probe")
	return err
}

func (tuttiSystem) session(_ *bed, addrs []string) (session, error) {
	return newRESPSession(addrs), nil
}

// equalTimeout bounds the wait for replicas to apply the same.
const equalTimeout = 30 * time.Second

func (t tuttiSystem) equal(ctx context.Context, b *bed) error {
	var last error
	for end := time.Now().Add(equalTimeout); time.Now().Before(end); {
		var done bool
		if done, last = sameState(t.statuses(ctx, b)); done {
			return last
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("not equal after %v: %w", equalTimeout, last)
}

// sameState compares what all nodes have applied. It is done when they can be
// compared: at the same index.
func sameState(all []*node.Status) (done bool, err error) {
	for i, s := range all {
		if s == nil {
			return false, fmt.Errorf("node %d does not answer", i+1)
		}
		a, z := all[0].Shards[0], s.Shards[0]
		if a.Applied != z.Applied {
			return false, fmt.Errorf("node 1 has applied %d, node %d %d", a.Applied, i+1, z.Applied)
		}
		if a.Hash != z.Hash {
			return true, fmt.Errorf("at %d the hash of node 1 is %s, that of node %d %s", a.Applied, a.Hash, i+1, z.Hash)
		}
	}
	return true, nil
}
