package shard

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

const testShard = 3

var testSession = group.SessionID(1, 1)

// newGroup is a group of commands, one per line.
func newGroup(session, seq uint64, lines ...string) *group.Group {
	g := &group.Group{Shard: testShard, Session: session, Seq: seq, Attempt: 1, Proto: 2}
	for _, line := range lines {
		var args [][]byte
		for _, word := range strings.Fields(line) {
			args = append(args, []byte(word))
		}
		g.Cmds = append(g.Cmds, group.Command{Args: args})
	}
	return g
}

// text is a reply in one line.
func text(r group.Reply) string {
	if r.Status != group.OK {
		return fmt.Sprint("status ", r.Status)
	}
	replies := slices.Clone(r.Replies)
	for i, p := range replies {
		if len(p) == 0 {
			replies[i] = []byte("dropped ")
		}
	}
	return strings.ReplaceAll(string(bytes.Join(replies, nil)), "\r\n", " ")
}

// source is another leader of the shard, of whom there is nothing but what it
// evaluates.
type source struct {
	t     *testing.T
	state *store.State
	core  *eval.Core
	at    store.Applied
	now   int64
	seq   uint64
	ids   uint64
}

// newSource returns a leader of term 2 who knows testSession.
func newSource(t *testing.T) *source {
	t.Helper()
	state, err := store.OpenState(testStores(vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	s := &source{t: t, state: state, at: store.Applied{Index: 10, Term: 1}, now: testWall}
	if err := state.Create(cluster.Descriptor{ID: testShard}, s.at, &pb.ConfState{Voters: []uint64{1, 2}}); err != nil {
		t.Fatal(err)
	}
	s.at.Term = 2
	view := s.view()
	defer view.Release()
	if s.core, err = eval.New(eval.Config{Shard: testShard, Table: command.NewTable(), Known: keyspace.NewKnown(1),
		NewID: func() uint64 { s.ids++; return s.ids }, Rand: func(uint64) uint64 { return 0 }}, view); err != nil {
		t.Fatal(err)
	}
	s.apply(s.evaluate(&group.Group{Session: testSession, Open: true}))
	return s
}

func (s *source) view() *store.View {
	return s.state.View(testShard, s.at, keyspace.NewDatabases(), func() {})
}

// write evaluates a line as a batch of its own.
func (s *source) write(line string) *eval.Batch {
	s.t.Helper()
	s.seq++
	return s.evaluate(newGroup(testSession, s.seq, line))
}

func (s *source) evaluate(g *group.Group) *eval.Batch {
	s.t.Helper()
	newest := s.state.Newest(testShard, s.at.Index)
	b, _, err := s.core.Evaluate(eval.Input{State: newest, Owned: cluster.Descriptor{Slots: cluster.AllSlots}, Keys: newest.Keys,
		Databases: keyspace.NewDatabases(), Applied: s.at.Time, Now: s.now, Index: s.at.Index + 1, Term: s.at.Term}, []eval.Waiting{{Group: g}})
	if err != nil || b.Data == nil {
		s.t.Fatalf("no entry, %v", err)
	}
	return b
}

func (s *source) apply(b *eval.Batch) {
	s.t.Helper()
	w := s.state.NewBatch()
	var err error
	if s.at, err = w.Apply(testShard, s.at, b.Index, b.Term, b.Data); err != nil {
		s.t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		s.t.Fatal(err)
	}
	s.core.Applied(b)
}
