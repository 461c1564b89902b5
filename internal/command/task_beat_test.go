package command

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
	"tutti/internal/task"
)

func idIn(slot uint16, number uint64) string {
	return string(task.AppendID(nil, []byte("q"), task.Ref{Slot: slot, Number: number}))
}

func line(text string) (args [][]byte) {
	for _, w := range strings.Fields(text) {
		args = append(args, []byte(w))
	}
	return args
}

// Each shard gets the ids that lie in it, and one without any is told of the worker
// all the same.
func TestBeatIsSplit(t *testing.T) {
	shards := []cluster.Shard{}
	for i, end := range []int{100, 5000, keyspace.Slots} {
		first := 0
		if i > 0 {
			first = shards[i-1].Slots.End
		}
		shards = append(shards, cluster.Shard{Descriptor: cluster.Descriptor{ID: cluster.ShardID(i + 1), Slots: cluster.SlotRange{First: first, End: end}}})
	}
	a, b, c := idIn(99, 1), idIn(100, 2), idIn(4999, 3)
	parts := beatParts(line("TASK.BEAT w "+c+" .1 x "+a+" .2 y "+b+" .3 z"), shards)
	for i, want := range []string{a + " .2 y", c + " .1 x " + b + " .3 z", ""} {
		got := parts[i]
		if string(got[0]) != "TUTTI.BEAT" || string(got[2]) != "w" || fmt.Sprintf("%s", got[3:]) != "["+want+"]" {
			t.Errorf("part %d: %s", i, got)
		}
		for _, at := range beatKeys(got) {
			if slot := int(keyspace.Slot(got[at])); slot < shards[i].Slots.First || slot >= shards[i].Slots.End {
				t.Errorf("part %d: %s lies in slot %d", i, got[at], slot)
			}
		}
	}
	if beatParts(line("TASK.BEAT w "+a), shards) != nil {
		t.Error("what is no beat is split")
	}
}

// The replies become one: what the worker has named goes first, in its order.
func TestBeatIsJoined(t *testing.T) {
	list := func(ids ...string) []byte {
		var w resp.Writer
		w.Array(len(ids))
		for _, id := range ids {
			w.BulkString(id)
		}
		return w.Out
	}
	down := []byte("-CLUSTERDOWN no majority\r\n")
	for _, c := range []struct {
		line    string
		replies [][]byte
		want    []byte
	}{
		{"TASK.BEAT w", [][]byte{list(), list()}, list()},
		{"TASK.BEAT w", [][]byte{list("a", "b"), list("c")}, list("a", "b", "c")},
		{"TASK.BEAT w c .1 x d .1 x a .1 x", [][]byte{list("a", "b"), list("c", "c")}, list("c", "a", "b")},
		{"TASK.BEAT w", [][]byte{list("a"), down}, list("a")},
		{"TASK.BEAT w a .1 x", [][]byte{list("a"), down}, down},
		{"TASK.BEAT w", [][]byte{down, down}, down},
	} {
		var w resp.Writer
		if beatJoin(&w, line(c.line), c.replies); string(w.Out) != string(c.want) {
			t.Errorf("%s of %q: %q, want %q", c.line, c.replies, w.Out, c.want)
		}
	}
}
