package tracking

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// net is tables of nodes, which reach each other.
type net struct {
	t      *testing.T
	tables map[cluster.NodeID]*Table
	holder map[cluster.NodeID]*cluster.Map
	links  map[cluster.NodeID]chan sent

	index   uint64 // of the entry that was written last
	mu      sync.Mutex
	away    map[cluster.NodeID]bool // have no replica
	stuck   map[cluster.NodeID]bool // whose replica confirms nothing
	cut     map[cluster.NodeID]bool // are sent nothing
	refuses map[cluster.NodeID]bool // have no room for what they are sent
}

func layoutOf(t *testing.T, splits ...int) *cluster.Map {
	t.Helper()
	m := cluster.Map{Epoch: 1, Members: []cluster.Member{{ID: 1}, {ID: 2}, {ID: 3}}}
	first := 0
	for i, end := range append(splits, cluster.AllSlots.End) {
		d := cluster.Descriptor{ID: cluster.ShardID(i + 1), Slots: cluster.SlotRange{First: first, End: end}, Next: 3,
			Replicas: []cluster.Replica{{ID: 1, Node: 1}, {ID: 2, Node: 2}}}
		m.Shards = append(m.Shards, cluster.Shard{Descriptor: d})
		first = end
	}
	made, err := cluster.NewMap(m)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// newNet makes nodes 1 and 2 with replicas, and 3 without. It runs in a bubble.
func newNet(t *testing.T) *net {
	n := &net{t: t, tables: map[cluster.NodeID]*Table{}, holder: map[cluster.NodeID]*cluster.Map{}, links: map[cluster.NodeID]chan sent{}, away: map[cluster.NodeID]bool{3: true}, stuck: map[cluster.NodeID]bool{},
		cut: map[cluster.NodeID]bool{}, refuses: map[cluster.NodeID]bool{}}
	m := layoutOf(t)
	for id := cluster.NodeID(1); id <= 3; id++ {
		n.holder[id] = m
		table := New(Config{Node: id, Map: func() *cluster.Map { return n.at(id) },
			Away:  func(cluster.ShardID) bool { return n.is(n.away, id) },
			Up:    func(to cluster.NodeID) bool { return !n.is(n.cut, id) && !n.is(n.cut, to) },
			Probe: func(_ cluster.ShardID, done func(bool)) { done(!n.is(n.stuck, id)) },
			Offer: func(to cluster.NodeID, kind peer.Kind, build func([]byte) []byte) bool {
				switch {
				case n.is(n.refuses, to):
					return false
				case n.is(n.cut, id) || n.is(n.cut, to):
					return true // it is lost on the way
				}
				n.links[to] <- sent{id, kind, build(nil)}
				return true
			}})
		n.tables[id] = table
		table.Run()
		link := make(chan sent, 1024)
		n.links[id] = link
		go func() {
			for x := range link {
				if x.kind == KindFollow {
					table.Follow(x.from, x.frame)
				} else {
					table.Fed(x.from, x.frame)
				}
			}
		}()
		t.Cleanup(func() {
			table.Close()
			close(link)
		})
	}
	return n
}

// sent is a frame on its way.
type sent struct {
	from  cluster.NodeID
	kind  peer.Kind
	frame []byte
}

func (n *net) is(what map[cluster.NodeID]bool, id cluster.NodeID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return what[id]
}

func (n *net) set(what map[cluster.NodeID]bool, id cluster.NodeID, is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	what[id] = is
}

func (n *net) at(id cluster.NodeID) *cluster.Map {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.holder[id]
}

// ear is a client and what it was told.
type ear struct {
	*Client
	mu    sync.Mutex
	heard []string
}

func (n *net) join(id cluster.NodeID, mode Mode, prefixes ...string) *ear {
	e := &ear{}
	e.Client = n.tables[id].Join(mode, prefixes, func(m *Invalidation) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if m.All { // however often
			e.heard = append(slices.DeleteFunc(e.heard, func(s string) bool { return s == "all" }), "all")
		} else {
			e.heard = append(e.heard, strings.Join(m.Keys, "+"))
		}
	})
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
	return e
}

// read has the client read keys.
func (e *ear) read(keys ...string) {
	e.Begin()
	for _, k := range keys {
		e.Remember([]byte(k))
	}
	e.End()
}

func (e *ear) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.heard, want) {
		t.Errorf("told of %q, not of %q", e.heard, want)
	}
	e.heard = nil
}

// write applies an entry on the nodes that have replicas.
func (n *net) write(keys ...string) {
	var list [][]byte
	for _, k := range keys {
		list = append(list, []byte(k))
	}
	n.index++
	for id, table := range n.tables {
		if !n.is(n.away, id) {
			table.Applied(1, Change{Index: n.index, Keys: list})
		}
	}
	synctest.Wait()
}

func bubble(t *testing.T, f func(t *testing.T, n *net)) {
	synctest.Test(t, func(t *testing.T) { f(t, newNet(t)) })
}

func TestToldOfWhatWasRead(t *testing.T) {
	bubble(t, func(t *testing.T, n *net) {
		for id := cluster.NodeID(1); id <= 3; id++ {
			e := n.join(id, Mode{})
			e.read("a", "b")
			n.write("a", "c")
			e.expect(t, "a")
			n.write("a")
			e.expect(t)
			e.Leave()
			n.write("b")
			e.expect(t)
			if u := n.tables[id].Usage(); u.Keys != 0 || u.Items != 0 || u.Clients != 0 || n.tables[id].bytes != 0 {
				t.Errorf("left behind: %+v", u)
			}
		}
	})
}

// What comes while a client executes is told at the end, once; what it reads then counts
// as read.
func TestToldBehindTheReplies(t *testing.T) {
	bubble(t, func(t *testing.T, n *net) {
		e, b := n.join(1, Mode{}), n.join(1, Mode{Broadcast: true}, "")
		for _, c := range []*ear{e, b} {
			c.Begin()
			c.Remember([]byte("a"))
		}
		n.write("a")
		n.write("a")
		e.expect(t)
		b.expect(t)
		e.End()
		b.End()
		e.expect(t, "a")
		b.expect(t, "a")
		n.write("a")
		e.expect(t)
		e.Begin()
		e.Remember([]byte("a"))
		n.tables[1].Reset(1)
		e.expect(t)
		e.End()
		e.expect(t, "a", "all")
	})
}

// Whoever is told to forget everything is told the names of what it has read last before:
// its replies may be on their way still, and that it was told once is no matter.
func TestNamesWhatWasReadLast(t *testing.T) {
	bubble(t, func(t *testing.T, n *net) {
		for _, e := range []*ear{n.join(1, Mode{}), n.join(1, Mode{Broadcast: true}, "")} {
			for i := range 5 * recentMax {
				e.read(fmt.Sprintf("%04d", i))
			}
			e.Begin()
			e.Remember([]byte("b"))
			e.Remember([]byte("0000")) // again
			n.tables[1].Reset(1)
			e.Remember([]byte("a"))
			e.End()
			synctest.Wait()
			if len(e.heard) < 2 || e.heard[len(e.heard)-1] != "all" {
				t.Fatalf("told of %q", e.heard)
			}
			named := strings.Split(strings.Join(e.heard[:len(e.heard)-1], "+"), "+")
			for i := 4*recentMax + 2; i < 5*recentMax; i++ {
				if key := fmt.Sprintf("%04d", i); !slices.Contains(named, key) {
					t.Errorf("%s, read before, is not named", key)
				}
			}
			for _, key := range []string{"a", "b", "0000"} {
				if !slices.Contains(named, key) {
					t.Errorf("%s, read meanwhile, is not named", key)
				}
			}
			if len(named) > 2*recentMax+3 {
				t.Errorf("%d are named", len(named))
			}
			e.Leave()
			time.Sleep(2 * tickEvery)
		}
	})
}

// What is heard of only after a read that has seen it is not told; whatever else is.
func TestSeenIsNotToldAgain(t *testing.T) {
	bubble(t, func(t *testing.T, n *net) {
		e := n.join(1, Mode{})
		read := func(saw uint64, during int, keys ...string) {
			e.Begin()
			for _, k := range keys {
				e.Remember([]byte(k))
			}
			for range during {
				n.write("a")
			}
			e.Saw(1, saw)
			e.End()
		}
		read(3, 2, "a") // entries 1 and 2 come while it reads, 3 behind that
		e.expect(t)
		n.write("a")
		e.expect(t)
		n.write("a")
		e.expect(t, "a")
		read(5, 2, "a") // it has not seen entry 6
		e.expect(t, "a")
		n.write("a")
		e.expect(t)
		// What it keeps of the key from before does not become newer by another read.
		read(7, 0, "a")
		read(9, 2, "a", "b")
		e.expect(t, "a")
		n.write("b")
		e.expect(t, "b")
		// Of two reads the older counts, and of one that says nothing nothing.
		e.Begin()
		e.Remember([]byte("a"))
		e.Saw(1, 12)
		e.Saw(1, 10)
		n.write("a")
		e.End()
		e.expect(t, "a")
		e.Begin()
		e.Remember([]byte("a"))
		n.write("a")
		e.End()
		e.expect(t, "a")
		// Who broadcasts is told of everything: what it keeps is unknown.
		b := n.join(1, Mode{Broadcast: true}, "a")
		b.Begin()
		b.Remember([]byte("a"))
		n.write("a")
		b.Saw(1, 100)
		b.End()
		b.expect(t, "a")
	})
}

// Whoever may have missed something tells everybody, and knows nothing until it hears
// again.
func TestFlushes(t *testing.T) {
	for i := range flushes {
		bubble(t, func(t *testing.T, n *net) {
			x := []struct {
				name   string
				node   cluster.NodeID
				strike func(n *net)
				mend   func(n *net)
			}{
				{"a snapshot", 1, func(n *net) { n.tables[1].Reset(1) }, func(*net) {}},
				{"a snapshot at the feed", 3, func(n *net) { n.tables[1].Reset(1); n.tables[2].Reset(1) }, func(*net) {}},
				{"no majority", 1, func(n *net) { n.set(n.stuck, 1, true); time.Sleep(staleMax + 2*tickEvery) }, func(n *net) { n.set(n.stuck, 1, false) }},
				{"no majority at the feed", 3, func(n *net) {
					n.set(n.stuck, 1, true)
					n.set(n.stuck, 2, true)
					time.Sleep(staleMax + 2*tickEvery)
				}, func(n *net) { n.set(n.stuck, 1, false); n.set(n.stuck, 2, false) }},
				{"a replica that went", 1, func(n *net) { n.set(n.away, 1, true); time.Sleep(tickEvery) }, func(*net) {}},
				{"a replica that came", 3, func(n *net) { n.set(n.away, 3, false); time.Sleep(tickEvery) }, func(*net) {}},
				{"a silent feed", 3, func(n *net) { n.set(n.cut, 3, true); time.Sleep(staleMax + 2*tickEvery) }, func(n *net) { n.set(n.cut, 3, false) }},
				{"a link that broke", 3, func(n *net) {
					n.set(n.cut, 3, true)
					n.tables[3].LinkChanged(1, false)
					n.tables[3].LinkChanged(2, false)
				}, func(n *net) { n.set(n.cut, 3, false) }},
				{"a feed with a gap", 3, func(n *net) {
					n.set(n.cut, 3, true)
					n.write("a")
					n.set(n.cut, 3, false)
					n.write("unrelated")
				}, func(*net) {}},
				{"a feed that had no room", 3, func(n *net) {
					n.set(n.refuses, 3, true)
					n.write("a")
					n.set(n.refuses, 3, false)
					time.Sleep(staleMax + 2*tickEvery)
				}, func(*net) {}},
				{"slots that moved", 1, func(n *net) {
					n.mu.Lock()
					n.holder[1] = layoutOf(n.t, 8000)
					n.mu.Unlock()
					time.Sleep(tickEvery)
				}, func(*net) {}},
			}[i]
			e, b := n.join(x.node, Mode{}), n.join(x.node, Mode{Broadcast: true}, "a")
			e.read("a")
			x.strike(n)
			t.Log(x.name)
			e.expect(t, "a", "all")
			b.expect(t, "all")
			x.mend(n)
			time.Sleep(feedMax + 3*tickEvery)
			e.read("a")
			b.read("a")
			e.expect(t)
			b.expect(t)
			n.write("a")
			e.expect(t, "a")
			b.expect(t, "a")
		})
	}
}

// flushes is how many cases TestFlushes has.
const flushes = 11

// What is read while nobody would tell of changes is told to be old at once.
func TestUnheardIsOldAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, n *net) {
		n.set(n.stuck, 1, true)
		e, b := n.join(1, Mode{}), n.join(1, Mode{Broadcast: true}, "a")
		e.read("a", "b")
		b.read("a", "b")
		e.expect(t, "a", "b")
		b.expect(t, "a")
		if n.tables[1].Ready() == nil {
			t.Error("it hears of everything")
		}
		n.set(n.stuck, 1, false)
		time.Sleep(2 * tickEvery)
		e.read("a")
		e.expect(t)
		if n.tables[1].Ready() != nil {
			t.Error("it does not hear of everything")
		}
		// Slots that moved while it read: the map of then says who was not listened to.
		e.Begin()
		e.Remember([]byte("a"))
		n.mu.Lock()
		n.holder[1] = layoutOf(t, 8000)
		n.mu.Unlock()
		e.End()
		e.expect(t, "a+b", "all")
	})
}

// A client with NOLOOP is not told of what it alone has changed in an entry, whether it is
// answered before its node hears of that or after; of all else it is.
func TestNoLoop(t *testing.T) {
	keys := func(names ...string) (list [][]byte) {
		for _, name := range names {
			list = append(list, []byte(name))
		}
		return list
	}
	orders := []struct {
		name string
		do   func(n *net, e *ear, next uint64)
		want []string // is told
	}{
		{"answered first", func(n *net, e *ear, next uint64) {
			e.Wrote(1, next, keys("k"))
			e.End()
			n.write("k")
		}, nil},
		{"answered first, and executing again", func(n *net, e *ear, next uint64) {
			e.Wrote(1, next, keys("k"))
			e.End()
			e.Begin()
			n.write("k")
			e.End()
		}, nil},
		{"heard of first", func(n *net, e *ear, next uint64) {
			n.write("k")
			e.Wrote(1, next, keys("k"))
			e.End()
		}, nil},
		{"others too, answered first", func(n *net, e *ear, next uint64) {
			e.Wrote(1, next, keys("k2"))
			e.End()
			n.write("k", "k2")
		}, []string{"k"}},
		{"others too, heard of first", func(n *net, e *ear, next uint64) {
			n.write("k2", "k")
			e.Wrote(1, next, keys("k2"))
			e.End()
		}, []string{"k"}},
		{"others before", func(n *net, e *ear, next uint64) {
			n.write("k")
			n.write("k")
			e.Wrote(1, next+1, keys("k"))
			e.End()
		}, []string{"k"}},
		{"others between", func(n *net, e *ear, next uint64) {
			n.write("k")
			n.write("k")
			e.Wrote(1, next, keys("k"))
			e.End()
		}, []string{"k"}},
		{"others behind", func(n *net, e *ear, next uint64) {
			e.Wrote(1, next, keys("k"))
			e.End()
			n.write("k")
			n.write("k")
		}, []string{"k"}},
		{"an entry that was heard of before", func(n *net, e *ear, next uint64) {
			e.Wrote(1, next-1, keys("k"))
			e.End()
			n.write("k")
		}, []string{"k"}},
		{"an entry of another shard", func(n *net, e *ear, next uint64) {
			e.Wrote(2, next, keys("k"))
			n.write("k")
			e.End()
		}, []string{"k"}},
		{"a key that is not the client's", func(n *net, e *ear, next uint64) {
			n.write("k")
			e.Wrote(1, next, nil)
			e.End()
		}, []string{"k"}},
	}
	bubble(t, func(t *testing.T, n *net) {
		for id := cluster.NodeID(1); id <= 3; id += 2 {
			for _, broadcast := range []bool{false, true} {
				mode, prefixes := Mode{NoLoop: true, Broadcast: broadcast}, []string{"k"}[:map[bool]int{true: 1}[broadcast]]
				e, other := n.join(id, mode, prefixes...), n.join(id, mode, prefixes...)
				loop := n.join(id, Mode{Broadcast: broadcast}, prefixes...)
				for _, x := range orders {
					for _, o := range []*ear{e, other, loop} {
						o.read("k")
						o.Begin()
					}
					other.End()
					loop.Wrote(1, n.index+1, keys("k")) // who has not asked for it is told
					loop.End()
					x.do(n, e, n.index+1)
					t.Log(id, broadcast, x.name)
					e.expect(t, x.want...)
					for _, o := range []*ear{other, loop} {
						if len(o.heard) == 0 || !strings.Contains(o.heard[0], "k") {
							t.Errorf("another one is told of %q", o.heard)
						}
						o.heard = nil
					}
					e.read("k")
					n.write("k")
					e.expect(t, "k")
					other.heard, loop.heard = nil, nil
				}
				e.Leave()
				other.Leave()
				loop.Leave()
			}
		}
	})
}

// A client whose command waits is told at once what others change, until the command is
// served: what is heard of from that entry on comes behind the answer, without what the
// command has changed; or at once, if the node hears of nothing any more.
func TestNoLoopOfWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T, n *net) {
		id := Waiter{Session: 5, Seq: 6}
		served := func(keys ...string) {
			n.index++
			change := Change{Index: n.index, Served: []Waiter{{5, 7}, id}}
			for _, key := range keys {
				change.Keys = append(change.Keys, []byte(key))
			}
			n.tables[1].Applied(1, change)
			synctest.Wait()
		}
		for _, broadcast := range []bool{false, true} {
			mode, prefixes := Mode{NoLoop: true, Broadcast: broadcast}, []string{"k"}[:map[bool]int{true: 1}[broadcast]]
			e := n.join(1, mode, prefixes...)
			begin := func() (turn uint64) {
				e.read("k1", "k2", "k3")
				e.Begin()
				return e.Turn()
			}
			turn := begin()
			n.write("k1")
			e.expect(t)
			e.Waits(turn, id)
			e.expect(t, "k1")
			n.write("k2")
			e.expect(t, "k2")
			served("k3", "k4")
			n.write("k4")
			e.expect(t)
			e.Waits(turn, id) // that is late
			e.Wrote(1, n.index-1, [][]byte{[]byte("k3")})
			e.End()
			e.expect(t, map[bool][]string{true: {"k4"}}[broadcast]...)

			old := turn
			turn = begin()
			e.Waits(old, id)
			n.write("k1")
			e.expect(t)
			e.Waits(turn, id)
			e.expect(t, "k1")
			served("k2")
			e.expect(t)
			e.End() // and does not say what it has changed
			e.expect(t, "k2")

			turn = begin()
			e.Waits(turn, id)
			served("k2")
			n.set(n.stuck, 1, true)
			time.Sleep(staleMax + 2*tickEvery)
			e.expect(t, "k1+k2+k3", "all")
			e.End()
			e.heard = nil
			n.set(n.stuck, 1, false)
			time.Sleep(2 * tickEvery)

			turn = begin()
			e.End()
			e.Waits(turn, id)
			e.Begin()
			served("k1")
			e.End()
			e.expect(t, "k1")
			e.Begin()
			e.Waits(e.Turn(), id)
			e.Leave()
			served("k1")
			e.expect(t)
			if len(n.tables[1].waiters) > 0 {
				t.Error("who has left waits")
			}
		}
	})
}

func TestBroadcast(t *testing.T) {
	bubble(t, func(t *testing.T, n *net) {
		for id := cluster.NodeID(1); id <= 3; id += 2 {
			e := n.join(id, Mode{Broadcast: true}, "a", "b")
			n.write("a1", "c", "a2")
			e.expect(t, "a1+a2")
			e.Begin()
			n.write("b1", "a1", "c")
			e.End()
			e.expect(t, "a1", "b1")
			e.Leave()
		}
	})
}

func TestFlushedDatabases(t *testing.T) {
	bubble(t, func(t *testing.T, n *net) {
		for id := cluster.NodeID(1); id <= 3; id += 2 {
			e := n.join(id, Mode{})
			for _, node := range []cluster.NodeID{1, 2} {
				n.tables[node].Applied(1, Change{Renamed: true})
			}
			e.expect(t, "all")
			e.Leave()
			time.Sleep(2 * followMax) // nobody wants to hear any more
		}
	})
}

func TestBounded(t *testing.T) {
	bubble(t, func(t *testing.T, n *net) {
		e := n.join(1, Mode{})
		n.tables[1].SetMax(3)
		for i := range 10 {
			e.read(fmt.Sprint(i))
		}
		synctest.Wait()
		if len(e.heard) != 7 {
			t.Errorf("told of %q", e.heard)
		}
		e.heard = nil
		n.tables[1].SetMax(0)
		long := strings.Repeat("k", 1<<20)
		for i := range 70 {
			e.read(fmt.Sprint(long, i))
		}
		if u := n.tables[1].Usage(); u.Keys > bytesMax>>20+3 || n.tables[1].bytes > bytesMax {
			t.Errorf("%+v, %d bytes", u, n.tables[1].bytes)
		}
		// Who executes for long while much changes is told everything.
		e.heard = nil
		b := n.join(1, Mode{Broadcast: true}, "")
		b.Begin()
		var many [][]byte
		for i := range dirtyMax + 1 {
			many = append(many, fmt.Append(nil, i))
		}
		n.tables[1].Applied(1, Change{Index: 1, Keys: many})
		b.End()
		b.expect(t, "all")
	})
}

// A node that nobody asks any more ends the feed.
func TestFeedsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, n *net) {
		e := n.join(3, Mode{})
		if !n.tables[1].Wanted() && !n.tables[2].Wanted() {
			t.Error("nobody feeds")
		}
		e.Leave()
		time.Sleep(2 * followMax)
		if n.tables[1].Wanted() || n.tables[2].Wanted() || n.tables[3].Wanted() {
			t.Error("the feed goes on")
		}
	})
}
