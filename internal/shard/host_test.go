package shard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/peer"
	"tutti/internal/spike"
	"tutti/internal/store"
)

// nobody is a listener to which nobody connects.
type nobody struct{ closed chan struct{} }

func (n nobody) Accept() (net.Conn, error) { <-n.closed; return nil, net.ErrClosed }
func (n nobody) Close() error              { close(n.closed); return nil }
func (n nobody) Addr() net.Addr            { return &net.TCPAddr{} }

// testNode is one node with one shard, alone, inside a synctest bubble.
type testNode struct {
	t       *testing.T
	fs      *vfs.MemFS
	clock   Clock
	log     *store.Log
	state   *store.State
	links   *peer.Links
	host    *Host
	ids     *atomic.Uint64
	session uint64
	seq     uint64
	term    uint64
	scrub   time.Duration // see Config.ScrubEvery
	data    uint64        // its generation
	fatal   func(err error)
	chance  func() // called before each draw
	spikes  *spike.Log
	dial    func(context.Context, cluster.NodeID) (net.Conn, error) // by the links
}

// testDescriptor is that of a shard with all slots, replica n on node n.
func testDescriptor(voters ...uint64) cluster.Descriptor {
	d := cluster.Descriptor{ID: testShard, Slots: cluster.AllSlots, Generation: 1}
	for _, n := range voters {
		d.Replicas = append(d.Replicas, cluster.Replica{ID: cluster.ReplicaID(n), Node: cluster.NodeID(n)})
		d.Next = cluster.ReplicaID(n + 1)
	}
	return d
}

// testMap holds the map of a cluster of that shard only.
func testMap(t testing.TB, d cluster.Descriptor) *cluster.Holder {
	t.Helper()
	m := cluster.Map{Epoch: 1, Name: "test", Version: cluster.Newest, Shards: []cluster.Shard{{Descriptor: d}}}
	for _, r := range d.Replicas {
		m.Members = append(m.Members, cluster.Member{ID: r.Node})
	}
	made, err := cluster.NewMap(m)
	if err != nil {
		t.Fatal(err)
	}
	return cluster.NewHolder(made, func([]byte) error { return nil })
}

func testStores(fs vfs.FS) store.Config {
	return store.Config{FS: fs, Dir: "node", Small: true, RowBytes: 128 << 10}
}

// newTestNode forms and starts a node whose shard has these voters.
func newTestNode(t *testing.T, voters ...uint64) *testNode {
	t.Helper()
	n := &testNode{t: t, fs: vfs.NewCrashableMem(), clock: SystemClock(), session: testSession, ids: new(atomic.Uint64), fatal: func(err error) { panic(err) },
		chance: func() {}, spikes: spike.New(SystemClock().Wall)}
	n.must(n.fs.MkdirAll("node", 0o755))
	root, err := n.fs.OpenDir("/")
	n.must(errors.Join(err, root.Sync(), root.Close()))
	n.open()
	n.must(n.state.Create(testDescriptor(voters...), store.Applied{Index: 10, Term: 1}, &pb.ConfState{Voters: voters}))
	n.must(n.log.Create(testShard, 1, 10, 1))
	n.start(1)
	return n
}

func (n *testNode) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *testNode) open() {
	n.t.Helper()
	var err error
	n.log, err = store.OpenLog(testStores(n.fs))
	n.must(err)
	n.state, err = store.OpenState(testStores(n.fs))
	n.must(err)
}

func (n *testNode) start(incarnation uint64) {
	n.t.Helper()
	n.links = peer.New(peer.Config{Node: 1, Listener: nobody{make(chan struct{})}, Dial: n.dial, Wall: n.clock.Wall, Mono: n.clock.Mono})
	var err error
	n.host, err = Open(Config{Node: 1, Incarnation: incarnation, Generation: n.data, Map: testMap(n.t, testDescriptor(1)), Log: n.log, State: n.state,
		Links: n.links, Table: command.NewTable(), Clock: n.clock, NewID: func() uint64 { return n.ids.Add(1) },
		Rand: func(uint64) uint64 { n.chance(); return 0 }, Spikes: n.spikes, Events: Events{Fatal: func(err error) { n.fatal(err) }}, ScrubEvery: n.scrub})
	n.must(err)
	n.host.Start()
}

func (n *testNode) stop() {
	n.t.Helper()
	n.links.Close()
	n.host.Close()
	n.must(errors.Join(n.log.Close(), n.state.Close()))
}

// lead waits until the node leads and opens the session.
func (n *testNode) lead() {
	n.t.Helper()
	n.wait("leader", func() bool { return n.host.Lead(testShard).Self })
	n.term = n.host.Lead(testShard).Term
	if r := n.do(&group.Group{Open: true}); r.Status != group.OK {
		n.t.Fatalf("opening the session: status %d", r.Status)
	}
}

// wait lets virtual time pass until ok says yes.
func (n *testNode) wait(what string, ok func() bool) {
	n.t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			n.t.Fatalf("no %s", what)
		}
	}
}

// submit hands a group to the node and returns where its reply comes.
func (n *testNode) submit(g *group.Group) chan group.Reply {
	done := make(chan group.Reply, 2)
	g.Shard, g.Session, g.Term, g.Done = testShard, n.session, n.term, func(r group.Reply) { done <- r }
	n.host.Submit(g)
	return done
}

func (n *testNode) do(g *group.Group) group.Reply { return <-n.submit(g) }

// run evaluates one group of commands.
func (n *testNode) run(lines ...string) string {
	n.seq++
	g := newGroup(n.session, n.seq, lines...)
	g.Floor = n.seq - 1
	return text(n.do(g))
}

func (n *testNode) want(got, want string) {
	n.t.Helper()
	if got != want {
		n.t.Errorf("got %q, want %q", got, want)
	}
}

// call runs f on the replica's loop.
func (n *testNode) call(f func(r *Replica)) {
	n.t.Helper()
	n.must(n.host.call(context.Background(), testShard, f))
}

func (n *testNode) info() Info {
	n.t.Helper()
	i, err := n.host.Replica(context.Background(), testShard)
	n.must(err)
	return i
}

// view asks for a view.
func (n *testNode) view(q *Read) (*store.View, int64, error) {
	type result struct {
		v   *store.View
		now int64
		err error
	}
	done := make(chan result, 1)
	q.Shard, q.Done = testShard, func(v *store.View, now int64, err error) { done <- result{v, now, err} }
	n.host.Read(q)
	r := <-done
	return r.v, r.now, r.err
}

// TestHost writes, reads, restarts and reads again.
func TestHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.want(n.run("SET a 1", "INCR a"), "+OK :2 ")
		n.want(n.run("GET a"), "$1 2 ")
		n.want(n.run("SETNX a 5"), ":0 ")
		at := n.info().Applied
		v, _, err := n.view(&Read{})
		n.must(err)
		if v.Index < at {
			t.Errorf("a view at %d after %d was applied", v.Index, at)
		}
		v.Release()
		n.stop()
		n.open()
		n.start(2)
		n.lead()
		n.want(n.run("GET a"), "$1 2 ")
		n.stop()
	})
}

// Nobody could keep the only voter from leading, so it waits for nobody: neither when
// it is formed nor when it begins again.
func TestTheOnlyVoterLeadsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		for start := range 2 {
			began := time.Now()
			n.lead()
			if took := time.Since(began); took >= TickDefault {
				t.Errorf("start %d: it led after %v", start, took)
			}
			n.stop()
			if start == 0 {
				n.open()
				n.start(2)
			}
		}
	})
}

// TestHostCrash cuts the power after an answer: what was answered is there, and
// the same sequence is not executed again.
func TestHostCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.want(n.run("INCR a"), ":1 ")
		n.want(n.run("INCR a"), ":2 ")
		clone := n.fs.CrashClone(vfs.CrashCloneCfg{})
		n.stop()
		n.fs = clone
		n.open()
		n.start(2)
		n.lead()
		g := newGroup(n.session, n.seq, "INCR a")
		g.Attempt = 2
		n.want(text(n.do(g)), ":2 ")
		n.want(n.run("GET a"), "$1 2 ")
		n.stop()
	})
}

// TestAttempts refuses what is meant for another term, unknown or answered, and
// gives a repetition the reply of the first.
func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		early := n.do(newGroup(n.session, 1, "INCR a"))
		if early.Status != group.NotLeader {
			t.Errorf("before there is a leader: status %d", early.Status)
		}
		n.lead()
		n.want(n.run("INCR a"), ":1 ")
		n.want(text(n.do(newGroup(n.session, 1, "INCR a"))), ":1 ")
		for _, term := range []uint64{n.term - 1, n.term + 1} {
			n.term, term = term, n.term
			if r := n.do(newGroup(n.session, 2, "INCR a")); r.Status != group.NotLeader || r.Leader != 1 {
				t.Errorf("meant for another term: %+v", r)
			}
			n.term = term
		}
		g := newGroup(n.session, 3, "INCR a")
		g.Floor = 2
		n.want(text(n.do(g)), ":2 ")
		if r := n.do(newGroup(n.session, 1, "INCR a")); r.Status != group.Pruned {
			t.Errorf("acknowledged: status %d", r.Status)
		}
		n.session = group.SessionID(9, 9)
		if r := n.do(newGroup(n.session, 1, "INCR a")); r.Status != group.NoSession {
			t.Errorf("unknown session: status %d", r.Status)
		}
		n.session = testSession
		// Two attempts under way: the later one gets the reply, the earlier none.
		var first, second chan group.Reply
		n.call(func(r *Replica) {
			first, second = n.submit(newGroup(n.session, 4, "INCR a")), n.submit(newGroup(n.session, 4, "INCR a"))
		})
		n.want(text(<-second), ":3 ")
		synctest.Wait()
		if len(first) != 0 {
			t.Error("both attempts were answered")
		}
		n.stop()
	})
}

// TestUnconfirmed takes the majority away: neither a batch without effects nor
// a repetition of it is answered, and a read fails.
func TestUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.want(n.run("SET a 1"), "+OK ")
		// From here on a second voter, who is not there, has to agree; this node
		// still leads until it notices.
		n.call(func(r *Replica) {
			r.members.conf = r.raft.ApplyConfChange(&pb.ConfChange{Type: pb.ConfChangeAddNode.Enum(), NodeId: new(uint64(2))})
		})
		g, again := newGroup(n.session, 2, "GET a"), newGroup(n.session, 2, "GET a")
		again.Attempt = 2
		first := n.submit(g)
		synctest.Wait()
		second := n.submit(again)
		synctest.Wait()
		if len(first)+len(second) != 0 {
			t.Fatal("answered without a majority")
		}
		if r := <-second; r.Status != group.Lost || r.Attempt != 2 {
			t.Errorf("at the end: %+v", r)
		}
		if _, _, err := n.view(&Read{}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("read: %v", err)
		}
		n.stop()
	})
}

// added is the context of a change that adds the replica n on node n.
func added(n uint64) []byte {
	return encodeAdded([]cluster.Replica{{ID: cluster.ReplicaID(n), Node: cluster.NodeID(n)}})
}

// TestConfChangeIsDurable crashes once a configuration change is applied: that
// it was committed must not be forgotten.
func TestConfChangeIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		for _, c := range []struct {
			change   *pb.ConfChangeV2
			learners int // then
			joint    bool
		}{
			{&pb.ConfChangeV2{Context: added(2), Changes: []*pb.ConfChangeSingle{{Type: pb.ConfChangeAddLearnerNode.Enum(), NodeId: new(uint64(2))}}}, 1, false},
			{&pb.ConfChangeV2{Context: added(3), Changes: []*pb.ConfChangeSingle{{Type: pb.ConfChangeAddLearnerNode.Enum(), NodeId: new(uint64(3))}}}, 2, false},
			{&pb.ConfChangeV2{Context: added(4), Transition: pb.ConfChangeTransitionJointExplicit.Enum(),
				Changes: []*pb.ConfChangeSingle{{Type: pb.ConfChangeAddLearnerNode.Enum(), NodeId: new(uint64(4))}}}, 3, true},
			{&pb.ConfChangeV2{}, 3, false},
		} {
			var index uint64
			n.call(func(r *Replica) {
				index = r.appends.lastIndex + 1
				n.must(r.raft.ProposeConfChange(c.change))
				r.loop.touch(r)
			})
			applied := func() (done bool) {
				n.call(func(r *Replica) {
					done = len(r.members.conf.GetLearners()) == c.learners && joint(r.members.conf) == c.joint
				})
				return done
			}
			n.wait("configuration", applied)
			fs := n.fs.CrashClone(vfs.CrashCloneCfg{})
			log, err := store.OpenLog(testStores(fs))
			n.must(err)
			s, err := log.Shard(testShard, 10, 1, nil)
			n.must(err)
			if hs, _, _ := s.InitialState(); hs.GetCommit() < index {
				t.Errorf("change %d is applied, and after a crash %d is committed", index, hs.GetCommit())
			}
			n.must(log.Close())
		}
		n.want(n.run("SET a 1"), "+OK ") // learners have no vote
		n.stop()
		n.open()
		n.start(2)
		if got := n.conf(); !slices.Equal(got, []uint64{2, 3, 4}) {
			t.Errorf("after a start the learners are %v", got)
		}
		n.stop()
	})
}

func (n *testNode) conf() (learners []uint64) {
	n.call(func(r *Replica) { learners = r.members.conf.GetLearners() })
	return learners
}

// keys counts the keys without looking at any, so that none expires by that.
func (n *testNode) keys() (keys int64) {
	n.call(func(r *Replica) {
		var err error
		if keys, err = r.machine.view.Keys(0); err != nil {
			n.t.Error(err)
		}
	})
	return keys
}

// TestSweep lets keys expire on an idle shard.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		// All in one slot: after each sweep the next deadline must be found.
		n.run("SET {t}a 1 PX 1000", "SET {t}b 1 PX 5000", "SET {t}c 1 PX 9000", "SET other 1")
		n.run("PERSIST {t}a")
		time.Sleep(4 * time.Second) // over the deadline that is none any more
		if got := n.keys(); got != 4 {
			t.Errorf("%d keys after 4 s", got)
		}
		time.Sleep(1200 * time.Millisecond)
		if got := n.keys(); got != 3 {
			t.Errorf("%d keys after 5.2 s", got)
		}
		idle := n.info().Applied
		time.Sleep(3 * time.Second)
		if got := n.info().Applied; got != idle {
			t.Errorf("%d entries while nothing was due", got-idle)
		}
		n.stop() // a new leader learns what is due from the rows
		n.open()
		n.start(2)
		n.lead()
		time.Sleep(2 * time.Second)
		if got := n.keys(); got != 2 {
			t.Errorf("%d keys after 10 s", got)
		}
		n.stop()
	})
}

// TestSweepTrash removes big collections and flushed databases, then rests.
func TestSweepTrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		rows := func() (count int) {
			v, _, err := n.view(&Read{})
			n.must(err)
			defer v.Release()
			n.must(v.Rows(cluster.AllSlots, func(row, _ []byte) error {
				if row[0] != 0 && row[3] != 'v' {
					count++
				}
				return nil
			}))
			return count
		}
		for _, key := range []string{"x", "y"} {
			line := "SADD " + key
			for i := range 2000 {
				line += fmt.Sprint(" ", i)
			}
			n.run(line)
		}
		n.run("DEL x", "SET late 1")
		n.run("RENAME y z")
		if rows() < 4000 {
			t.Error("deleted at once")
		}
		// A leader that has just begun finds the mark in the rows and in its own
		// batches.
		n.stop()
		n.open()
		n.start(2)
		n.lead()
		n.run("DEL z")
		time.Sleep(2 * time.Second)
		if got := rows(); got != 1 {
			t.Errorf("%d rows are left", got)
		}
		n.run("SET a 1", "SET b 1")
		n.run("FLUSHDB", "SET c 1")
		time.Sleep(3 * time.Second)
		if got := rows(); got != 1 {
			t.Errorf("%d rows are left of a flushed database", got)
		}
		var trash []uint32
		n.call(func(r *Replica) { trash = r.machine.dbs.Trash() })
		if len(trash) != 0 {
			t.Errorf("databases %v are still to be purged", trash)
		}
		idle := n.info().Applied
		time.Sleep(time.Second)
		if got := n.info().Applied; got != idle {
			t.Errorf("%d entries on an idle shard", got-idle)
		}
		n.stop()
	})
}

// TestSweepDropped loses a proposal with a sweep in it: the keys are swept by
// a later one.
func TestSweepDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.run("SET a 1 PX 100", "SET b 1 PX 100")
		n.call(func(r *Replica) {
			time.Sleep(200 * time.Millisecond) // on the loop: nothing is swept meanwhile
			in := r.leader.input(r.machine.applied.Time+200, eval.Shortage{})
			b, _, err := r.leader.core.Evaluate(in, nil)
			if err != nil || b.Data == nil {
				t.Errorf("nothing was swept, %v", err)
			}
			r.leader.sweep.dropped()
		})
		time.Sleep(time.Second)
		if got := n.keys(); got != 0 {
			t.Errorf("%d keys", got)
		}
		n.stop()
	})
}

// TestReadTime waits for a shard time with one entry, and not for one that has
// not come.
func TestReadTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.run("SET a 1 PX 100000")
		before := n.info()
		v, now, err := n.view(&Read{})
		n.must(err)
		v.Release()
		time.Sleep(50 * time.Millisecond)
		want := now + 30
		v, _, err = n.view(&Read{MinIndex: before.Applied, MinTime: want})
		n.must(err)
		if v.Time < want {
			t.Errorf("view at time %d, wanted %d", v.Time, want)
		}
		v.Release()
		if got := n.info().Applied - before.Applied; got != 1 {
			t.Errorf("%d entries for one tick", got)
		}
		// A time in the future comes when it has come, without entries until then.
		before = n.info()
		start := time.Now()
		v, _, err = n.view(&Read{MinIndex: before.Applied, MinTime: before.ShardTime + 2000})
		n.must(err)
		v.Release()
		if d := time.Since(start); d < 1800*time.Millisecond {
			t.Errorf("served after %v", d)
		}
		if got := n.info().Applied - before.Applied; got != 1 {
			t.Errorf("%d entries for one tick", got)
		}
		n.stop()
	})
}

// TestClockAcrossLeaders lets a key expire, and leads again with a clock an
// hour slow: it stays expired, and times to live go on.
func TestClockAcrossLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.run("SET a 1 PX 1000", "SET b 1 PX 10000")
		time.Sleep(1001 * time.Millisecond)
		n.want(n.run("GET a"), "$-1 ")
		before := n.info().ShardTime
		n.stop()
		wall := n.clock.Wall
		n.clock.Wall = func() int64 { return wall() - 3_600_000 }
		n.open()
		n.start(2)
		n.lead()
		n.want(n.run("GET a", "GET b"), "$-1 $1 1 ")
		time.Sleep(10 * time.Second) // slewed: at most a twentieth slower
		n.want(n.run("GET b"), "$-1 ")
		if now := n.info().ShardTime; now < before+9000 || now > before+12_000 {
			t.Errorf("shard time went from %d to %d", before, now)
		}
		n.stop()
	})
}

// TestHostClose answers all that waits.
func TestHostClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2) // which never has a majority
		g := n.submit(newGroup(n.session, 1, "SET a 1"))
		failed := make(chan error, 2)
		q := func() *Read {
			return &Read{Shard: testShard, Done: func(_ *store.View, _ int64, err error) { failed <- err }}
		}
		n.host.Read(q())
		if r := <-g; r.Status != group.NotLeader {
			t.Errorf("status %d", r.Status)
		}
		synctest.Wait()
		n.links.Close()
		for _, l := range n.host.loops { // what comes in the last moment
			l.mu.Lock()
			l.inbox = append(l.inbox, q())
			l.mu.Unlock()
		}
		n.host.Close()
		for range 2 {
			if err := <-failed; !errors.Is(err, ErrUnavailable) {
				t.Errorf("read: %v", err)
			}
		}
		n.must(errors.Join(n.log.Close(), n.state.Close()))
	})
}

// TestTruncate checks that the log gets shorter once the state is durable.
func TestTruncate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.call(func(r *Replica) { r.host.cfg.LogBytesMax = 1 })
		for i := range 2 * keepEntries {
			n.run(fmt.Sprint("SET a ", i))
		}
		time.Sleep(5 * time.Second)
		got := n.info()
		if d := got.LastIndex - got.FirstIndex; d < keepEntries-1 || d > keepEntries+10 {
			t.Errorf("the log keeps %d entries", d+1)
		}
		n.fs = n.fs.CrashClone(vfs.CrashCloneCfg{})
		old := *n
		n.open()
		n.start(2)
		n.lead()
		n.want(n.run("GET a"), fmt.Sprintf("$3 %d ", 2*keepEntries-1))
		n.stop()
		old.stop()
	})
}
