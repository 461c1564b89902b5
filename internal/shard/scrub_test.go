package shard

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// scrubAlone makes the node scrub although it is alone, and plays a second voter
// who finds what tell makes of the node's own hash; 0: it does not answer.
// It returns the pieces of a scrub of all rows.
func scrubAlone(t *testing.T, n *testNode, tell func(hash uint64) uint64) (pieces []scrubbed) {
	t.Helper()
	n.call(func(r *Replica) {
		r.host.scrubPiece = 300
		r.members.voters = []cluster.NodeID{1, 2}
	})
	var seen uint64
	n.wait("end of the scrub", func() (end bool) {
		n.call(func(r *Replica) {
			done := r.audit.piece
			if done.index == seen || done.index != r.leader.audits.round.Index {
				return
			}
			seen = done.index
			pieces = append(pieces, done)
			if hash := tell(done.hash); hash != 0 {
				r.leader.audits.told(2, done.index, hash)
			}
			end = done.next == nil
		})
		return end
	})
	return pieces
}

// TestScrubPieces goes through all rows in pieces, each beginning where the one
// before ended, twice the same; a second voter that never answers delays it but
// does not stop it.
func TestScrubPieces(t *testing.T) {
	for _, answers := range []bool{true, false} {
		t.Run(fmt.Sprint("answers ", answers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newTestNode(t, 1)
				n.lead()
				for i := range 12 {
					n.run(fmt.Sprintf("SET key:%d %s", i, strings.Repeat("x", 60)))
				}
				n.stop()
				n.scrub = 2 * time.Second
				n.open()
				n.start(2)
				n.lead()
				tell := func(hash uint64) uint64 {
					if answers {
						return hash
					}
					return 0
				}
				pieces := scrubAlone(t, n, tell)
				if len(pieces) < 4 {
					t.Fatalf("%d pieces", len(pieces))
				}
				rows := func(from []byte) (next []byte, count int) {
					v, _, err := n.view(&Read{})
					n.must(err)
					defer v.Release()
					next, err = v.Piece(cluster.AllSlots, from, 300, func([]byte, []byte) error { count++; return nil })
					n.must(err)
					return next, count
				}
				var from []byte
				for i, p := range pieces {
					next, count := rows(from)
					if string(next) != string(p.next) || count == 0 {
						t.Errorf("piece %d of %d rows ends before %x, want %x", i, count, p.next, next)
					}
					from = next
				}
				n.stop()
			})
		})
	}
}

// TestScrubMeetsRotInMemory stops a node whose memory differs from its store: another
// process is enough to mend that, so its data is not called damaged.
func TestScrubMeetsRotInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		var failed error
		n.stop()
		n.fatal = func(err error) { failed = err }
		n.open()
		n.start(2)
		n.call(func(r *Replica) {
			r.audit.hashed(scrubbed{r: r, err: fmt.Errorf("row 1: %w", store.ErrMemory)})
			if !errors.Is(failed, store.ErrMemory) || errors.Is(failed, store.ErrDamaged) {
				t.Errorf("%v", failed)
			}
		})
		n.stop()
	})
}

// TestScrubTie stops a leader whose rows differ from those of the other one.
func TestScrubTie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.run("SET a 1")
		var failed error
		n.stop()
		n.scrub, n.fatal = time.Second, func(err error) { failed = err }
		n.open()
		n.start(2)
		n.lead()
		scrubAlone(t, n, func(hash uint64) uint64 { return hash + 1 })
		n.call(func(*Replica) {
			if failed == nil || !strings.Contains(failed.Error(), "no majority agrees") {
				t.Errorf("the leader goes on: %v", failed)
			}
		})
		n.stop()
	})
}
