package router

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/group"
)

// late tells that a command that waited has got something.
func (r *testRouter) late(seq uint64) {
	r.router.Reply(2, group.Reply{Shard: testShard, Session: r.stream.session, Seq: seq, Late: true, Replies: [][]byte{[]byte("$1\r\nx\r\n")}})
}

// block sends a command that waits, as the first of the session.
func (r *testRouter) block() (*Waiting, chan Result) {
	done := make(chan Result, 2)
	g := &group.Group{Proto: 2, Cmds: []group.Command{{Args: [][]byte{[]byte("BLPOP"), []byte("q"), []byte("0")}}}}
	w := r.router.Wait(testShard, g, nil, func(res Result) { done <- res })
	r.answer(0, 1, group.OK)
	return w, done
}

// unacknowledged reports what is to be told of late answers that have come.
func (r *testRouter) unacknowledged() int {
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	return len(r.stream.waits.got)
}

func (r *testRouter) waiting() int {
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	return len(r.stream.waits.bySeq)
}

// TestLateAnswerBeforeTheFirst lets what a command waited for come before the word
// that it waits. The leader must remember it until that word is here: an attempt to
// register it may still be on its way.
func TestLateAnswerBeforeTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		_, done := r.block()
		r.late(1)
		want(t, done, `["$1\r\nx\r\n"]`)
		if n := r.unacknowledged(); n != 0 {
			t.Error("acknowledged while a registration is on its way")
		}
		time.Sleep(resendAfter + 2*retryEvery)
		r.stream.mu.Lock()
		if g := r.stream.open[1].g; !g.Wait.Cancel || g.Waiter() != 1 || len(g.Cmds) != 0 {
			t.Errorf("sent again is %+v", g.Wait)
		}
		r.stream.mu.Unlock()
		r.answer(1, 2, group.OK)
		wantNone(t, done)
		r.late(1) // the leader has not heard that it came
		if r.unacknowledged() != 1 || r.waiting() != 0 {
			t.Errorf("%d acknowledged, %d wait", r.unacknowledged(), r.waiting())
		}
		r.close()
	})
}

// TestCancel: the shard is asked, and what it says counts.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		w, done := r.block()
		w.Cancel()
		if r.attempt(2) != 0 {
			t.Error("cancelled before it is known to wait")
		}
		r.answer(1, 1, group.Parked)
		wantNone(t, done)
		r.router.Reply(2, group.Reply{Shard: testShard, Session: r.stream.session, Seq: 2, Attempt: r.attempt(2)})
		if res := <-done; !res.Cancelled || r.waiting() != 0 {
			t.Errorf("%+v", res)
		}
		r.close()
	})
}

// TestRegisteredAnew: who waits is registered with every new leader, and when the
// link to it breaks, with its name and place; the round is another one each time.
func TestRegisteredAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		_, done := r.block()
		before := r.stream.open[1].g.Wait.Round
		r.router.Reply(2, group.Reply{Shard: testShard, Session: r.stream.session, Seq: 1, Attempt: 1, Status: group.Parked, Order: 77})
		lead := r.host.Lead(testShard)
		lead.Term++
		r.router.LeadChanged(testShard, lead)
		r.stream.mu.Lock()
		g := r.stream.open[2].g
		r.stream.mu.Unlock()
		if g.Wait.Seq != 1 || g.Wait.Order != 77 || g.Wait.Round != before+1 || len(g.Cmds) != 1 {
			t.Errorf("%+v", g.Wait)
		}
		r.answer(2, 1, group.Parked)
		r.router.Reply(2, group.Reply{Shard: testShard, Session: r.stream.session, Seq: 1, Late: true, Status: group.Lost})
		if r.attempt(3) == 0 {
			t.Error("not registered after its leader has ended")
		}
		r.router.Close()
		want(t, done, "UNCERTAIN")
		r.close()
	})
}

// TestLineIsKept: commands that wait reach a new leader in the order in which they came,
// whether they have been registered before or not, or the first could miss what the
// next one gets.
func TestLineIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, false)
		defer r.close()
		const n = 20
		var all []chan Result
		for range n {
			done := make(chan Result, 1)
			g := &group.Group{Proto: 2, Cmds: []group.Command{{Args: [][]byte{[]byte("BLPOP"), []byte("q"), []byte("0")}}}}
			r.router.Wait(testShard, g, nil, func(res Result) { done <- res })
			all = append(all, done)
		}
		r.host.Start()
		for i, done := range all {
			want(t, r.write(fmt.Sprintf("RPUSH q %02d", i)), `[":1\r\n"]`)
			select {
			case res := <-done:
				done <- res
			case <-time.After(time.Minute):
				t.Fatalf("the one who came as number %d waits still", i)
			}
			want(t, done, fmt.Sprintf(`["*2\r\n$1\r\nq\r\n$2\r\n%02d\r\n"]`, i))
		}
	})
}

// TestOrderOfRegistering: those that wait and those whose registration is under way go
// to a new leader in one order.
func TestOrderOfRegistering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRouter(t, true)
		r.leaderGone()
		const n = 30
		_, _ = r.block()
		for range n - 1 {
			g := &group.Group{Proto: 2, Cmds: []group.Command{{Args: [][]byte{[]byte("BLPOP"), []byte("q"), []byte("0")}}}}
			r.router.Wait(testShard, g, nil, func(Result) {})
		}
		for seq := uint64(1); seq <= n; seq += 2 {
			r.router.Reply(2, group.Reply{Shard: testShard, Session: r.stream.session, Seq: seq, Attempt: 1, Status: group.Parked, Order: 100 + seq})
		}
		lead := r.host.Lead(testShard)
		lead.Term++
		before := r.stream.last
		r.router.LeadChanged(testShard, lead)
		r.stream.mu.Lock()
		for i, c := range r.stream.some(func(c *call) bool { return c.w != nil }) {
			if c.w.seq != uint64(i+1) || c.g.Wait.Round != r.stream.waits.round {
				t.Errorf("%d in line is %d, of round %d", i, c.w.seq, c.g.Wait.Round)
			}
			if i%2 == 0 && c.g.Seq != before+1+uint64(i/2) {
				t.Errorf("%d has been registered again as %d", c.w.seq, c.g.Seq)
			}
		}
		r.stream.mu.Unlock()
		r.close()
	})
}
