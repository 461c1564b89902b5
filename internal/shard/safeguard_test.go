package shard

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/store"
)

// The tests here each kill a mutant that no other test of this package would
// notice; see package mutant in internal/proof.

// message is one from node 2, which leads or wants to.
func (n *testNode) message(typ pb.MessageType, term uint64) *pb.Message {
	return &pb.Message{Type: typ.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(term)}
}

// entry is one of another leader, which sets a.
func (n *testNode) entry(index, term uint64, line string) *pb.Entry {
	n.t.Helper()
	src := newSource(n.t)
	src.now = n.info().ShardTime + 1
	b := src.write(line)
	return &pb.Entry{Index: &index, Term: &term, Type: pb.EntryNormal.Enum(), Data: b.Data}
}

// asked asks for a view and returns where it comes.
func (n *testNode) asked() chan *store.View {
	done := make(chan *store.View, 1)
	n.host.Read(&Read{Shard: testShard, Done: func(v *store.View, _ int64, _ error) { done <- v }})
	synctest.Wait()
	return done
}

func (n *testNode) served(v chan *store.View, want bool) {
	n.t.Helper()
	synctest.Wait()
	if got := len(v) == 1; got != want {
		n.t.Errorf("served: %v, want %v", got, want)
	}
	if len(v) == 1 {
		(<-v).Release()
	}
}

// TestEmptyBatchOfAnotherTerm lets a leader evaluate a group without effects,
// lose its leadership to another, which writes, and lead again: the second
// attempt gets what is true now, not what the first had found.
func TestEmptyBatchOfAnotherTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.want(n.run("SET a old"), "+OK ")
		voter := &pb.ConfChange{Type: pb.ConfChangeAddNode.Enum(), NodeId: new(uint64(2))}
		n.call(func(r *Replica) { r.members.set(r.raft.ApplyConfChange(voter), testDescriptor(1, 2)) })
		first := n.submit(newGroup(n.session, 2, "GET a"))
		synctest.Wait()
		var second chan group.Reply
		app := n.message(pb.MsgApp, n.term+1)
		last := n.info().LastIndex
		app.Index, app.LogTerm, app.Commit = new(last), new(n.term), new(last+1)
		app.Entries = []*pb.Entry{n.entry(last+1, n.term+1, "SET a new")}
		n.call(func(r *Replica) {
			r.step(app)
			r.host.cfg.LeadChanged = func(_ cluster.ShardID, l Lead) {
				if l.Node == 1 && second == nil { // leads, but has not applied its own entry
					n.term = l.Term
					again := newGroup(n.session, 2, "GET a")
					again.Attempt = 2
					second = n.submit(again)
				}
			}
		})
		if r := <-first; r.Status != group.Lost {
			t.Errorf("the first attempt: %+v", r)
		}
		n.wait("entry of the other leader", func() bool { return n.info().Applied == last+1 })
		voter.Type = pb.ConfChangeRemoveNode.Enum()
		n.call(func(r *Replica) { r.members.conf = r.raft.ApplyConfChange(voter) })
		n.wait("leader", func() bool { return n.host.Lead(testShard).Self })
		n.want(text(<-second), "$3 new ")
		n.stop()
	})
}

// follow makes the node a follower of node 2.
func (n *testNode) follow() {
	n.t.Helper()
	n.call(func(r *Replica) { r.step(n.message(pb.MsgHeartbeat, 2)) })
	n.wait("leader", func() bool { return n.host.Lead(testShard).Node == 2 })
}

// round is the ReadIndex round in flight.
func (n *testNode) round() (id uint64) {
	n.call(func(r *Replica) { id = r.reads.count })
	return id
}

// tell answers a round as the leader does.
func (n *testNode) tell(id, index uint64) { n.call(func(r *Replica) { r.reads.told(id, index, 0) }) }

// TestAnswerToOneRoundOnly answers a follower's ReadIndex round twice: the
// second answer says nothing of the round that is under way then.
func TestAnswerToOneRoundOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2, 3)
		n.follow()
		first := n.asked()
		id := n.round()
		n.tell(id, 10)
		n.served(first, true)
		second := n.asked()
		n.tell(id, 10) // doubled, or of an attempt before
		n.served(second, false)
		n.tell(n.round(), 10)
		n.served(second, true)
		n.stop()
	})
}

// TestReadJoinsNextRound lets a read come while a round is in flight: what the
// leader knew when that began may be older than the read.
func TestReadJoinsNextRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2, 3)
		n.follow()
		first := n.asked()
		id := n.round()
		second := n.asked()
		n.tell(id, 10)
		n.served(first, true)
		n.served(second, false)
		n.tell(n.round(), 10)
		n.served(second, true)
		n.stop()
	})
}

// TestRoundsOnTheirWay lets reads come while rounds are on a long way: each begins one of
// its own up to roundsMax, and the answer to one is that of those before it, too, but not of
// those behind it.
func TestRoundsOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2, 3)
		n.follow()
		var reads []chan *store.View
		var ids []uint64
		for range roundsMax + 2 {
			reads, ids = append(reads, n.asked()), append(ids, n.round())
			time.Sleep(roundPace)
		}
		want := []uint64{ids[0], ids[0] + 1, ids[0] + 2, ids[0] + 3, ids[0] + 3, ids[0] + 3}
		if !slices.Equal(ids, want) {
			t.Fatalf("%d reads began rounds up to %v, want %v", len(reads), ids, want)
		}
		n.tell(ids[1], 10)
		for i, v := range reads {
			n.served(v, i < 2)
		}
		n.tell(ids[0], 10)
		n.tell(ids[2], 10)
		n.served(reads[2], true)
		n.served(reads[3], false)
		n.tell(n.round(), 10) // of those who found roundsMax on their way
		for _, v := range reads[3:] {
			n.served(v, true)
		}
		n.stop()
	})
}

// TestAnswerToAnyAttempt answers an attempt of a round after it was asked again,
// as over a long link: the answer is for those who were in the round then, and not
// for who has come since.
func TestAnswerToAnyAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2, 3)
		n.follow()
		first := n.asked()
		early := n.round()
		second := n.asked()
		n.hear((readRetryTicks + 2) * TickDefault)
		if n.round() == early {
			t.Fatal("the round was not asked again")
		}
		n.tell(early, 10)
		n.served(first, true)
		n.served(second, false)
		n.tell(early, 10)
		n.served(second, false)
		n.tell(n.round(), 10)
		n.served(second, true)
		n.stop()
	})
}

// TestReadInFlightIsGivenUp has a leader that is heard and answers no round: who
// asked is told so in time, the first and those behind it.
func TestReadInFlightIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2, 3)
		n.follow()
		first, second := n.asked(), n.asked()
		n.hear((readMaxTicks + 2) * TickDefault)
		for i, v := range []chan *store.View{first, second} {
			if len(v) == 0 {
				t.Errorf("read %d still waits", i+1)
			} else if <-v != nil {
				t.Errorf("read %d was served", i+1)
			}
		}
		third := n.asked()
		n.tell(n.round(), 10)
		n.served(third, true)
		n.stop()
	})
}

// hear lets time pass while node 2 leads.
func (n *testNode) hear(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(TickDefault) {
		n.call(func(r *Replica) { r.step(n.message(pb.MsgHeartbeat, 2)) })
	}
	synctest.Wait()
}

// TestReadWaitsForItsIndex confirms a read at an index that the follower has
// not applied.
func TestReadWaitsForItsIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2, 3)
		n.follow()
		read := n.asked()
		n.tell(n.round(), 11)
		n.served(read, false)
		app := n.message(pb.MsgApp, 2)
		app.Index, app.LogTerm, app.Commit = new(uint64(10)), new(uint64(1)), new(uint64(11))
		app.Entries = []*pb.Entry{n.entry(11, 2, "SET a 1")}
		n.call(func(r *Replica) { r.step(app) })
		n.wait("entry", func() bool { return n.info().Applied == 11 })
		n.served(read, true)
		n.stop()
	})
}

// TestRetryKeepsItsReads repeats a group that reads and writes under a later
// leader: the reads must not see the group's own write.
func TestRetryKeepsItsReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.want(n.run("GET a", "INCR a", "GET b", "SET b x"), "$-1 :1 $-1 +OK ")
		n.stop()
		n.open()
		n.start(2)
		n.lead()
		n.want(text(n.do(newGroup(n.session, n.seq, "GET a", "INCR a", "GET b", "SET b x"))), "$-1 :1 $-1 +OK ")
		n.stop()
	})
}

// TestRetryKeepsSmallReplies repeats a group with one large reply under a later
// leader: only that one is gone, as its size is no matter of the others.
func TestRetryKeepsSmallReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.run("SET big "+strings.Repeat("x", eval.ReplyKeepMax), "SET a "+strings.Repeat("y", eval.ReplyKeepMax-100))
		n.run("GET big", "INCR n", "GET a", "GET n")
		n.stop()
		n.open()
		n.start(2)
		n.lead()
		got := text(n.do(newGroup(n.session, n.seq, "GET big", "INCR n", "GET a", "GET n")))
		if want := fmt.Sprintf("dropped :1 $%d %s $1 1 ", eval.ReplyKeepMax-100, strings.Repeat("y", eval.ReplyKeepMax-100)); got != want {
			t.Errorf("%.60q… of %d bytes, want %.60q… of %d", got, len(got), want, len(want))
		}
		n.stop()
	})
}

// TestLatestAttemptIsAnswered lets two attempts wait for one evaluation: the
// entry node has given up the first.
func TestLatestAttemptIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		var first, second chan group.Reply
		n.call(func(*Replica) {
			again := newGroup(n.session, 1, "INCR a")
			again.Attempt = 2
			first, second = n.submit(newGroup(n.session, 1, "INCR a")), n.submit(again)
		})
		synctest.Wait()
		if len(first) != 0 || len(second) != 1 {
			t.Errorf("%d answers to the first attempt, %d to the second", len(first), len(second))
		}
		n.stop()
	})
}

// TestTruncateKeepsUndurable applies more than the log keeps, without a flush
// of the state: nothing of the log may go, or the next start lacks it.
func TestTruncateKeepsUndurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		for i := range 2 * keepEntries {
			n.run(fmt.Sprint("SET a ", i))
		}
		time.Sleep(5 * time.Second)
		if got := n.info(); got.FirstIndex != 11 {
			t.Errorf("the log begins at %d", got.FirstIndex)
		}
		n.stop()
	})
}

// TestLogIsBoundedInBytes writes fewer entries than the log keeps for followers
// that are behind, but more bytes.
func TestLogIsBoundedInBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 128 MiB in entries of 1 MiB, slow under the race detector; go test without -short runs it")
	}
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.call(func(r *Replica) { r.host.cfg.LogBytesMax = 1 })
		const entries, entryBytes = keepEntries / 2, 1 << 20
		value := strings.Repeat("v", entryBytes)
		for range entries {
			n.want(n.run("SET a "+value), "+OK ")
		}
		time.Sleep(5 * time.Second)
		got := n.info()
		if kept, keeps := (got.LastIndex-got.FirstIndex)*entryBytes, min(keepBytes, n.log.Keeps()); kept > keeps+(16<<20) || kept < keeps-(4<<20) {
			t.Errorf("the log keeps %d MiB", kept>>20)
		}
		n.stop()
	})
}

// TestLearnersAreSpared has raft ask everybody in rounds of reads: voters are asked in
// each, learners hear one heartbeat a tick, and those that ask nothing always.
func TestLearnersAreSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		beat := func(to uint64, context string) *pb.Message {
			return &pb.Message{Type: pb.MsgHeartbeat.Enum(), To: &to, Context: []byte(context)}
		}
		n.call(func(r *Replica) {
			r.members.conf = &pb.ConfState{Voters: []uint64{1, 2}, Learners: []uint64{3}}
			for range 3 {
				sent := 0
				for range 4 {
					if !r.outbox.spares(beat(3, "round")) {
						sent++
					}
					if r.outbox.spares(beat(2, "round")) || r.outbox.spares(beat(3, "")) {
						t.Error("a heartbeat is spared that is needed")
					}
				}
				if sent != 1 {
					t.Errorf("a learner got %d heartbeats within a tick", sent)
				}
				r.ticks++
			}
		})
		n.stop()
	})
}

// TestLostRecordAnswersNothing repeats a group whose recorded reply can't be
// found: the node stops, and says neither that it was applied nor applies it
// again.
func TestLostRecordAnswersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.want(n.run("INCR a"), ":1 ")
		n.stop()
		n.open()
		n.start(2)
		n.lead()
		var failed error
		n.fatal = func(err error) { failed = err }
		other := newSource(t).view() // which does not have it
		var again chan group.Reply
		n.call(func(r *Replica) {
			view := r.machine.view
			r.machine.view = other
			g := newGroup(n.session, n.seq, "INCR a")
			again = make(chan group.Reply, 1)
			g.Term, g.Done = n.term, func(reply group.Reply) { again <- reply }
			r.admit(g)
			r.machine.view = view
			if len(r.leader.queue.groups) != 0 {
				t.Error("it is to be evaluated again")
			}
		})
		other.Release()
		synctest.Wait()
		if len(again) != 0 || failed == nil {
			t.Errorf("%d answers, %v", len(again), failed)
		}
		n.stop()
	})
}
