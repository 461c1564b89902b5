package node

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/peer/peertest"
	"tutti/internal/router"
)

// testKeeper keeps the map of a node that is alone; what it tells meta comes to
// the channel.
func testKeeper(t *testing.T) (*mapKeeper, *cluster.Map, chan *told) {
	t.Helper()
	m, err := cluster.NewMap(cluster.Map{Epoch: 1, Version: cluster.Newest, Members: []cluster.Member{{ID: 1, Version: cluster.Newest}},
		Shards: []cluster.Shard{{Descriptor: cluster.Descriptor{ID: 1, Slots: cluster.AllSlots, Generation: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	k := newMapKeeper(cluster.NewHolder(m, func([]byte) error { return nil }), cluster.Member{ID: 1, Version: cluster.Newest}, slog.New(slog.DiscardHandler), func(err error) { t.Error(err) })
	sent := make(chan *told, 10)
	k.changed = func() {}
	k.write = func(g *group.Group, done func(router.Result)) { sent <- &told{g, done} }
	return k, m, sent
}

type told struct {
	*group.Group
	done func(router.Result)
}

// Meta has no leader for a while: what this node has to tell waits, and the newest
// map does not.
func TestTellingDoesNotHoldUpTaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, m, sent := testKeeper(t)
		k.run()
		defer k.close()
		report := func(generation uint64) {
			k.report(cluster.Descriptor{ID: 1, Slots: cluster.AllSlots, Generation: generation})
			synctest.Wait()
		}
		report(2)
		if len(sent) != 1 {
			t.Fatalf("meta was told %d times", len(sent))
		}
		first := <-sent
		next := m
		hear := func(f func(next *cluster.Map)) {
			t.Helper()
			var err error
			if next, err = next.Change(f); err != nil {
				t.Fatal(err)
			}
			k.hear(next.Encode(nil))
			synctest.Wait()
			if got := k.holder.Map().Epoch; got != next.Epoch {
				t.Fatalf("the map has epoch %d, want %d", got, next.Epoch)
			}
		}
		hear(func(*cluster.Map) {})
		report(3)
		hear(func(*cluster.Map) {})
		if len(sent) != 0 {
			t.Fatal("meta is told twice at once")
		}
		// What came in meanwhile is told at once when meta answers.
		first.done(router.Result{})
		synctest.Wait()
		if len(sent) != 1 {
			t.Fatalf("%d messages after the answer", len(sent))
		}
		second := <-sent
		if d, err := cluster.DecodeDescriptor(second.Cmds[0].Args[1]); err != nil || d.Generation != 3 {
			t.Errorf("told %+v, %v", d, err)
		}
		// One that failed is told again after a while, until the map shows it.
		second.done(router.Result{Err: "CLUSTERDOWN"})
		synctest.Wait()
		if len(sent) != 0 {
			t.Error("told again without a pause")
		}
		time.Sleep(retryEvery)
		synctest.Wait()
		if len(sent) != 1 {
			t.Fatalf("%d messages after a failure", len(sent))
		}
		third := <-sent
		hear(func(next *cluster.Map) {
			s, _ := next.Shard(1)
			s.Generation = 3
			next.SetShard(s)
		})
		third.done(router.Result{})
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(sent) != 0 {
			t.Error("told what the map shows")
		}
	})
}

// A node asks for the newest map while there is no link the other way to answer
// by. Its peer, whose link comes up later, has nothing to ask for, and the map is
// told all the same.
func TestMapOfAPeerWhoseLinkComesUpLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, err := cluster.NewMap(cluster.Map{Epoch: 1, Version: cluster.Newest, Members: []cluster.Member{{ID: 1, Version: cluster.Newest}, {ID: 2, Version: cluster.Newest}},
			Shards: []cluster.Shard{{Descriptor: cluster.Descriptor{ID: 1, Slots: cluster.AllSlots, Generation: 1}}}})
		if err != nil {
			t.Fatal(err)
		}
		second, err := first.Change(func(*cluster.Map) {})
		if err != nil {
			t.Fatal(err)
		}
		nets := map[cluster.NodeID]peertest.Pipes{}
		keepers := map[cluster.NodeID]*mapKeeper{}
		for id, m := range map[cluster.NodeID]*cluster.Map{1: second, 2: first} {
			nets[id] = peertest.NewPipes()
			k := newMapKeeper(cluster.NewHolder(m, func([]byte) error { return nil }), cluster.Member{ID: id, Version: cluster.Newest}, slog.New(slog.DiscardHandler), func(err error) { t.Error(err) })
			k.changed = func() {}
			keepers[id] = k
			k.open(peertest.Links(id, nets, func(node cluster.NodeID, up bool) {
				if up {
					k.linkUp(node)
				}
			}, nil), nil)
			k.links.Start()
		}
		keepers[2].run() // links it to node 1
		synctest.Wait()
		if !keepers[2].links.Up(1) {
			t.Fatal("no link")
		}
		keepers[1].links.Connect(2)
		synctest.Wait()
		if got := keepers[2].holder.Map().Epoch; got != second.Epoch {
			t.Errorf("node 2 has the map of epoch %d, want %d", got, second.Epoch)
		}
		for _, k := range keepers {
			k.close()
			k.links.Close()
		}
	})
}
