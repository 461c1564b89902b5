package node

import (
	"log/slog"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/shard"
)

// FuzzStandTell takes what a peer answers: only the answer to the round that is
// under way is counted, and what can't be read hurts nobody.
func FuzzStandTell(f *testing.F) {
	head := []byte{standVersion, 0, 0, 0, 0, 0, 0, 0, 7}
	f.Add(shard.AppendStandings(head, []shard.Standing{{Shard: 1, Leader: 2, Term: 3, Leads: true, Replicas: []shard.Copy{{ID: 1, Node: 2}}}}))
	f.Add(shard.AppendStandings([]byte{standVersion, 0, 0, 0, 0, 0, 0, 0, 6}, nil))
	f.Add(head)
	f.Fuzz(func(t *testing.T, b []byte) {
		v := &survey{node: 1, mono: func() time.Duration { return 0 }, log: slog.New(slog.DiscardHandler),
			round: &round{id: 7, tells: make(chan tell, 1)}}
		v.told(2, b)
		v.told(2, b) // a second time, it does not block
		if n := len(v.round.tells); n > 0 && string(b[:len(head)]) != string(head) {
			t.Errorf("%x was taken for an answer", b)
		} else if n > 0 {
			q := inquiry{v: v, f: newFindings(0), m: &cluster.Map{}, asked: map[cluster.NodeID]bool{}, open: map[cluster.NodeID]bool{}}
			q.note((<-v.round.tells).list)
		}
	})
}
