package router

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/peer"
	"tutti/internal/shard"
	"tutti/internal/store"
)

const testShard = 3

type nobody struct{ closed chan struct{} }

func (n nobody) Accept() (net.Conn, error) { <-n.closed; return nil, net.ErrClosed }
func (n nobody) Close() error              { close(n.closed); return nil }
func (n nobody) Addr() net.Addr            { return &net.TCPAddr{} }

// testRouter is a router over the host of a node that is alone. The host can
// be stopped while it leads: attempts then reach nobody, and the test answers
// them itself.
type testRouter struct {
	t      *testing.T
	router *Router
	host   *shard.Host
	stream *stream
	stores []interface{ Close() error }
	links  *peer.Links
	stop   func()
}

func newTestRouter(t *testing.T, start bool) *testRouter {
	t.Helper()
	fs := vfs.NewMem()
	cfg := store.Config{FS: fs, Dir: "node", Small: true}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(fs.MkdirAll("node", 0o755))
	log, err := store.OpenLog(cfg)
	must(err)
	state, err := store.OpenState(cfg)
	must(err)
	d := cluster.Descriptor{ID: testShard, Slots: cluster.AllSlots, Generation: 1, Next: 2, Replicas: []cluster.Replica{{ID: 1, Node: 1}}}
	must(state.Create(d, store.Applied{Index: 10, Term: 1}, &pb.ConfState{Voters: []uint64{1}}))
	must(log.Create(testShard, 1, 10, 1))
	clock := shard.SystemClock()
	m, err := cluster.NewMap(cluster.Map{Epoch: 1, Version: cluster.Newest, Members: []cluster.Member{{ID: 1}}, Shards: []cluster.Shard{{Descriptor: d}}})
	must(err)
	maps := cluster.NewHolder(m, func([]byte) error { return nil })
	r := &testRouter{t: t, stores: []interface{ Close() error }{log, state}}
	r.router = New(Config{Node: 1, Incarnation: 1, Map: maps})
	r.links = peer.New(peer.Config{Node: 1, Listener: nobody{make(chan struct{})}, Wall: clock.Wall})
	var ids atomic.Uint64
	r.host, err = shard.Open(shard.Config{Node: 1, Incarnation: 1, Map: maps, Log: log, State: state, Links: r.links, Table: command.NewTable(),
		Clock: clock, NewID: func() uint64 { return ids.Add(1) }, Rand: func(uint64) uint64 { return 0 },
		Events: shard.Events{Reply: r.router.Reply, LeadChanged: r.router.LeadChanged, Fatal: func(err error) { panic(err) }}})
	must(err)
	r.router.Start(r.host)
	r.stream = r.router.stream(testShard)
	r.stop = func() {
		r.stop = func() {}
		r.links.Close()
		r.host.Close()
	}
	if start {
		r.host.Start()
	}
	return r
}

// leaderGone stops the host once it leads.
func (r *testRouter) leaderGone() {
	r.t.Helper()
	for !r.host.Lead(testShard).Self {
		time.Sleep(time.Millisecond)
	}
	r.stop()
}

func (r *testRouter) close() {
	r.t.Helper()
	r.router.Close()
	r.stop()
	for _, s := range r.stores {
		if err := s.Close(); err != nil {
			r.t.Error(err)
		}
	}
}

// write sends a group and returns where its result comes.
func (r *testRouter) write(lines ...string) chan Result {
	done := make(chan Result, 2)
	g := &group.Group{Proto: 2}
	for _, line := range lines {
		var args [][]byte
		for _, word := range strings.Fields(line) {
			args = append(args, []byte(word))
		}
		g.Cmds = append(g.Cmds, group.Command{Args: args})
	}
	r.router.Write(testShard, g, func(res Result) { done <- res })
	return done
}

// attempt returns the latest attempt of a sequence, 0 if there is none.
func (r *testRouter) attempt(seq uint64) uint32 {
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	if c := r.stream.open[seq]; c != nil {
		return c.g.Attempt
	}
	return 0
}

// answer answers an attempt as the leader would.
func (r *testRouter) answer(seq uint64, attempt uint32, status group.Status) {
	r.router.Reply(2, group.Reply{Shard: testShard, Session: r.stream.session, Seq: seq, Attempt: attempt, Status: status, Replies: [][]byte{[]byte("+OK\r\n")}})
}

func code(res Result) string {
	if res.Err == "" {
		return fmt.Sprintf("%q", res.Reply.Replies)
	}
	word, _, _ := strings.Cut(res.Err, " ")
	return word
}

func wantNone(t *testing.T, done chan Result) {
	t.Helper()
	synctest.Wait()
	if len(done) > 0 {
		t.Errorf("answered: %+v", <-done)
	}
}

func want(t *testing.T, done chan Result, want string) {
	t.Helper()
	if got := code(<-done); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestWrite writes through a node from the moment it starts.
func TestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		first := r.write("INCR a") // there is no leader yet
		second := r.write("SET b 1", "GET b")
		want(t, first, `[":1\r\n"]`)
		want(t, second, `["+OK\r\n" "$1\r\n1\r\n"]`)
		for i := range 300 {
			want(t, r.write("INCR a"), fmt.Sprintf(`[":%d\r\n"]`, i+2))
		}
		r.stream.mu.Lock()
		if r.stream.floor != 302 || len(r.stream.open) != 0 {
			t.Errorf("floor %d, %d open", r.stream.floor, len(r.stream.open))
		}
		r.stream.mu.Unlock()
		r.close()
		want(t, r.write("INCR a"), "UNCERTAIN")
	})
}

// TestNoLeader gives up what was never sent, as certainly not applied.
func TestNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, false)
		start := time.Now()
		res := <-r.write("INCR a")
		if code(res) != "CLUSTERDOWN" || !strings.Contains(res.Err, "Not applied") {
			t.Error(res.Err)
		}
		if d := time.Since(start); d < TimeoutDefault || d > TimeoutDefault+2*retryEvery {
			t.Errorf("after %v", d)
		}
		// The next waits its own time, though the session was given up too.
		time.Sleep(time.Minute)
		done := r.write("INCR a")
		time.Sleep(3 * time.Second)
		r.host.Start()
		want(t, done, `[":1\r\n"]`)
		r.close()
	})
}

// TestSessionGivenUp lets the opening of the session time out while a later
// group still waits: it is opened again.
func TestSessionGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, false)
		first := r.write("INCR a")
		time.Sleep(3 * time.Second)
		second := r.write("INCR a")
		want(t, first, "CLUSTERDOWN")
		r.host.Start()
		want(t, second, `[":1\r\n"]`)
		r.close()
	})
}

// TestAttempts answers attempts one by one.
func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		done := r.write("INCR a")
		if r.attempt(0) != 1 || r.attempt(1) != 0 {
			t.Errorf("attempts %d, %d: a group was sent before the session is open", r.attempt(0), r.attempt(1))
		}
		r.answer(0, 1, group.OK)
		if r.attempt(1) != 1 {
			t.Errorf("attempt %d", r.attempt(1))
		}
		time.Sleep(resendAfter + 2*retryEvery)
		if r.attempt(1) != 2 {
			t.Errorf("attempt %d after no answer", r.attempt(1))
		}
		r.answer(1, 1, group.OK) // of an attempt that is not the latest
		wantNone(t, done)
		r.answer(1, 2, group.NotLeader)
		wantNone(t, done)
		time.Sleep(2 * retryEvery)
		if r.attempt(1) != 3 {
			t.Errorf("attempt %d after a refusal", r.attempt(1))
		}
		lead := r.host.Lead(testShard)
		lead.Term++
		r.router.LeadChanged(testShard, lead)
		if r.attempt(1) != 4 {
			t.Errorf("attempt %d after a change of leader", r.attempt(1))
		}
		r.answer(1, 4, group.OK)
		want(t, done, `["+OK\r\n"]`)
		r.answer(1, 4, group.OK) // doubled by the network
		wantNone(t, done)
		r.close()
	})
}

// A large group is carried, and not sent again while it is known to have come: each time it costs as
// much.
func TestAttemptsOfLargeGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		done := r.write("SET a " + strings.Repeat("x", 3<<20))
		r.answer(0, 1, group.OK)
		time.Sleep(resendCarried - 2*retryEvery)
		if r.attempt(1) != 1 {
			t.Errorf("attempt %d before it is due", r.attempt(1))
		}
		time.Sleep(4 * retryEvery)
		if r.attempt(1) != 2 {
			t.Errorf("attempt %d after no answer", r.attempt(1))
		}
		r.answer(1, 2, group.OK)
		want(t, done, `["+OK\r\n"]`)
		r.close()
	})
}

// TestOlderAttemptIsIgnored lets the answer to an attempt come after the next
// has left: what it says may be undone by then.
func TestOlderAttemptIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		done := r.write("INCR a")
		r.answer(0, 1, group.OK)
		time.Sleep(resendAfter + 2*retryEvery)
		r.answer(1, 1, group.OK)
		wantNone(t, done)
		r.close()
	})
}

// An answer that lacks replies must not pass for one.
func TestAnswerThatIsTooShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		done := r.write("SET a 1", "GET a")
		r.answer(0, 1, group.OK)
		synctest.Wait()
		r.answer(1, 1, group.OK) // with one reply
		want(t, done, "UNCERTAIN")
		r.close()
	})
}

// TestDroppedReplies gives a retried group the replies that were kept, and an
// error for each that was not.
func TestDroppedReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		done := r.write("GET a", "INCR n")
		r.answer(0, 1, group.OK)
		r.answer(1, 1, group.Lost)
		synctest.Wait()
		time.Sleep(2 * retryEvery)
		kept := [][]byte{nil, []byte(":1\r\n")}
		r.stream.reply(group.Reply{Shard: testShard, Session: r.stream.session, Seq: 1, Attempt: r.attempt(1), Replies: kept})
		result := <-done
		if got := result.Reply.Replies; result.Err != "" || len(got) != 2 || string(got[0]) != "-"+errDropped(testShard)+"\r\n" || string(got[1]) != ":1\r\n" {
			t.Errorf("%q, %q", result.Err, got)
		}
		if kept[0] != nil {
			t.Error("the leader's record has changed")
		}
		r.close()
	})
}

// TestOutcomes maps each status to what the client reads.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name     string
		statuses []group.Status // of the attempts, one after the other
		want     string
	}{
		{"ok", []group.Status{group.OK}, `["+OK\r\n"]`},
		{"watch failed", []group.Status{group.WatchFailed}, `["+OK\r\n"]`},
		{"busy", []group.Status{group.Busy}, "BUSY"},
		{"refused, then busy", []group.Status{group.NotLeader, group.Busy}, "BUSY"},
		{"lost, then busy, then ok", []group.Status{group.Lost, group.Busy, group.OK}, `["+OK\r\n"]`},
		{"no session", []group.Status{group.NoSession}, "UNCERTAIN"},
		{"pruned", []group.Status{group.Pruned}, "UNCERTAIN"},
		{"refused until the end", []group.Status{group.NotLeader, group.NotLeader}, "CLUSTERDOWN"},
		{"lost, then refused until the end", []group.Status{group.Lost, group.NotLeader}, "UNCERTAIN"},
		{"no answer", nil, "UNCERTAIN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newTestRouter(t, true)
				r.leaderGone()
				done := r.write("INCR a")
				r.answer(0, 1, group.OK)
				refused := func() bool { return len(c.statuses) > 0 && c.statuses[len(c.statuses)-1] == group.NotLeader }
				for i, status := range c.statuses {
					if i > 0 {
						time.Sleep(2 * retryEvery)
					}
					r.answer(1, uint32(i+1), status)
				}
				for refused() && len(done) == 0 { // and so on
					time.Sleep(retryEvery / 2)
					r.answer(1, r.attempt(1), group.NotLeader)
				}
				want(t, done, c.want)
				r.close()
			})
		})
	}
}

// TestNewSession opens the session again when the shard does not know it.
func TestNewSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		first := r.write("INCR a")
		r.answer(0, 1, group.OK)
		r.answer(1, 1, group.NoSession)
		want(t, first, "UNCERTAIN")
		second := r.write("INCR a")
		if r.attempt(0) != 1 || r.attempt(2) != 0 {
			t.Errorf("attempts %d, %d", r.attempt(0), r.attempt(2))
		}
		r.answer(0, 1, group.OK)
		r.answer(2, 1, group.OK)
		want(t, second, `["+OK\r\n"]`)
		r.close()
	})
}

// TestFloor checks that the floor is below the oldest open sequence, and that
// writers wait when it is too far behind.
func TestFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		var list []chan Result
		for range 4 {
			list = append(list, r.write("INCR a"))
		}
		r.answer(0, 1, group.OK)
		floor := func() uint64 {
			r.stream.mu.Lock()
			defer r.stream.mu.Unlock()
			return r.stream.floor
		}
		var floors []uint64
		for _, seq := range []uint64{2, 4, 1, 3} {
			r.answer(seq, 1, group.OK)
			<-list[seq-1]
			floors = append(floors, floor())
		}
		if !slices.Equal(floors, []uint64{0, 0, 2, 4}) {
			t.Errorf("floors %v", floors)
		}
		oldest := r.write("INCR a")
		r.stream.mu.Lock()
		r.stream.last = r.stream.floor + openMax // as if so many were open behind it
		r.stream.mu.Unlock()
		written := make(chan chan Result)
		go func() { written <- r.write("INCR a") }()
		synctest.Wait()
		if len(written) > 0 {
			t.Error("not held back")
		}
		r.answer(5, 1, group.OK)
		<-oldest
		done := <-written
		if g := floor(); g != openMax+4 {
			t.Errorf("floor %d", g)
		}
		r.answer(openMax+5, 1, group.OK)
		want(t, done, `["+OK\r\n"]`)
		r.close()
	})
}

// A group whose time is over says what has happened: not always that a leader left.
func TestWhatIsSaidOfGroupsThatAreGivenUp(t *testing.T) {
	const unsure = ". The write may or may not have been applied. Read before you retry."
	for _, c := range []struct {
		name     string
		statuses []group.Status // of the attempts, one after the other
		want     string
	}{
		{"no answer", nil, "UNCERTAIN node 1 leads shard 3 and has not answered for 5s: this command or what came before takes long, or it reaches no majority of the nodes" + unsure},
		{"lost", []group.Status{group.Lost}, "UNCERTAIN the leader of shard 3 left before answering, and no other has answered for 5s" + unsure},
		{"refused", []group.Status{group.NotLeader}, "CLUSTERDOWN shard 3 has had no leader for 5s. Not applied, safe to retry."},
		{"pruned", []group.Status{group.Pruned}, "UNCERTAIN shard 3 keeps no record of the commands of this node any more" + unsure},
		{"no session", []group.Status{group.NoSession}, "UNCERTAIN shard 3 keeps no record of the commands of this node any more" + unsure},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newTestRouter(t, true)
				r.leaderGone()
				done := r.write("INCR a")
				r.answer(0, 1, group.OK)
				for len(done) == 0 {
					if len(c.statuses) > 0 {
						r.answer(1, r.attempt(1), c.statuses[0])
					}
					time.Sleep(retryEvery / 2)
					synctest.Wait()
				}
				if got := (<-done).Err; !saidAt(got, c.want) {
					t.Errorf("%s, want %s", got, c.want)
				}
				r.close()
			})
		})
	}
}

// Where leaders have followed each other it names the one that leads now; where a leader
// is known, but nothing could be sent to it, it names that.
func TestWhatIsSaidNamesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		now := time.Now()
		for _, c := range []struct {
			call call
			want string
		}{
			{call{trial: trial{began: now, left: true}}, "UNCERTAIN the leader of shard 3 left before answering, and node 1, which leads it now, has not answered either for 5s."},
			{call{certain: true, trial: trial{began: now}}, "CLUSTERDOWN node 1 leads shard 3 and has not been reached from here for 5s. Not applied"},
		} {
			r.stream.mu.Lock()
			got := r.stream.gaveUp(&c.call, now.Add(TimeoutDefault)).Err
			r.stream.mu.Unlock()
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		}
		r.close()
	})
}

// saidAt compares what was said but for how long it took, by up to one retry.
func saidAt(got, want string) bool {
	return strings.Replace(got, "5.1s", "5s", 1) == want
}

// TestClose fails what waits, once.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		done := r.write("INCR a")
		r.answer(0, 1, group.OK)
		r.close()
		want(t, done, "UNCERTAIN")
		r.answer(1, 1, group.OK)
		time.Sleep(2 * TimeoutDefault)
		wantNone(t, done)
	})
}

// TestRead asks the replica here.
func TestRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		want(t, r.write("SET a 1"), `["+OK\r\n"]`)
		errs := make(chan error, 1)
		r.router.Read(&shard.Read{Shard: testShard, Done: func(v *store.View, _ int64, err error) {
			if err == nil {
				var keys int64
				if keys, err = v.Keys(0); keys != 1 {
					err = errors.Join(err, errors.New("another number of keys"))
				}
				v.Release()
			}
			errs <- err
		}})
		if err := <-errs; err != nil {
			t.Error(err)
		}
		r.close()
	})
}

// TestMoved gives back what a shard refuses, under a sequence that is done with,
// and a deadline that is not the router's.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		want(t, r.write("SET a 1"), `["+OK\r\n"]`)
		for err := shard.ErrNotLeader; err != nil; time.Sleep(time.Millisecond) {
			err = r.router.SetSlots(t.Context(), testShard, cluster.SlotRange{First: 0, End: 100})
		}
		time.Sleep(time.Second)
		g := &group.Group{Proto: 2, Claim: group.Claim{Slots: cluster.AllSlots, Generation: 1}, Cmds: []group.Command{{Args: [][]byte{[]byte("DBSIZE")}}}}
		done := make(chan Result, 1)
		r.router.Write(testShard, g, func(res Result) { done <- res })
		res := <-done
		ref := res.Reply.Refusal()
		if res.Err != "" || ref == nil || ref.Owned.Slots.End != 100 || ref.Owned.Generation != 2 {
			t.Fatalf("%+v", res)
		}
		old := r.router.Map()
		next := r.router.Newer(old)
		select {
		case <-next:
			t.Error("there is no newer map")
		default:
		}
		r.router.Learn(ref)
		<-next
		if m := r.router.Map(); m == old || m.Owner(99) == nil || m.Owner(100) != nil {
			t.Error("what the shard said was not learnt")
		}
		<-r.router.Newer(old)
		r.stream.mu.Lock()
		if r.stream.floor != 2 || len(r.stream.open) != 0 {
			t.Errorf("floor %d, %d open", r.stream.floor, len(r.stream.open))
		}
		r.stream.mu.Unlock()
		r.stop()
		start := time.Now()
		r.router.Write(testShard, &group.Group{Until: start.Add(time.Second), Cmds: g.Cmds}, func(res Result) { done <- res })
		if res := <-done; res.Err == "" || time.Since(start) > time.Second+2*retryEvery {
			t.Errorf("after %v: %+v", time.Since(start), res)
		}
		r.close()
	})
}
