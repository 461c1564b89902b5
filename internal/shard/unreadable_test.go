package shard

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/store"
)

// rowOf finds the object row of a key that is there.
func (n *testNode) rowOf(key string) (row []byte) {
	n.t.Helper()
	n.call(func(r *Replica) {
		it, err := r.machine.view.Iter([]byte{1}, []byte{2})
		n.must(err)
		for ok := it.First(); ok; ok = it.Next() {
			if bytes.HasSuffix(it.Key(), []byte(key)) && len(it.Value()) > 0 {
				row = bytes.Clone(it.Key())
			}
		}
		n.must(it.Close())
	})
	if row == nil {
		n.t.Fatalf("there is no row of %s", key)
	}
	return row
}

// TestHostUnreadable leads over a row that can't be read: the node goes on, counts
// and logs.
func TestHostUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		var log bytes.Buffer
		n.lead()
		n.run("RPUSH k v")
		row := n.rowOf("k")
		n.call(func(r *Replica) {
			b := n.state.NewBatch()
			w := store.NewWriteSet(r.machine.applied.Time, 0)
			w.Put(row, []byte("\x09\x63"))
			if _, err := b.Apply(testShard, r.machine.applied, r.machine.applied.Index+1, r.machine.applied.Term, w); err != nil {
				t.Error(err)
			}
			if err := errors.Join(b.Commit(), n.state.Settle(testShard)); err != nil {
				t.Error(err)
			}
			r.host.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		for i := range 3 {
			if got := n.run("GET k", "SET k v", "INCR n"); !strings.Contains(got, "-NEEDVERSION") || !strings.HasSuffix(got, fmt.Sprintf(":%d ", i+1)) {
				t.Errorf("%q", got)
			}
		}
		n.call(func(*Replica) {
			if lines := strings.Count(log.String(), "a row can't be read"); lines != 1 || !strings.Contains(log.String(), `\"k\"`) {
				t.Errorf("%d lines: %s", lines, log.String())
			}
		})
		time.Sleep(unreadableEvery)
		n.run("GET k")
		n.call(func(r *Replica) {
			if lines := strings.Count(log.String(), "a row can't be read"); lines != 2 || r.host.Unreadable() != 7 {
				t.Errorf("%d lines, %d met", lines, r.host.Unreadable())
			}
		})
		n.stop()
	})
}
