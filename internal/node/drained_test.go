package node

import (
	"testing"

	"tutti/internal/cluster"
)

// A node refuses clients once it is to have no replica and has none, if somebody
// else serves them.
func TestRefusal(t *testing.T) {
	const text = "TRYAGAIN this node is drained. Not applied. Use another one: b:1, c:1"
	for _, x := range []struct {
		name   string
		states [4]cluster.State
		on     cluster.NodeID // where the replica is
		want   string
	}{
		{"active", [4]cluster.State{}, 2, ""},
		{"it still has a copy", [4]cluster.State{cluster.Draining}, 1, ""},
		{"drained", [4]cluster.State{cluster.Draining}, 2, text},
		{"the next one too", [4]cluster.State{cluster.Draining, cluster.Draining}, 3, "TRYAGAIN this node is drained. Not applied. Use another one: c:1, d:1"},
		{"the others are dead", [4]cluster.State{cluster.Draining, cluster.Dead, cluster.Dead, cluster.Dead}, 2, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			m := &cluster.Map{}
			for i, client := range []string{"a:1", "b:1", "c:1", "d:1"} {
				m.Members = append(m.Members, cluster.Member{ID: cluster.NodeID(i + 1), Client: client, State: x.states[i]})
			}
			m.Shards = []cluster.Shard{{Descriptor: cluster.Descriptor{Replicas: []cluster.Replica{{Node: x.on}}}}}
			if got := refusal(m, 1); got != x.want {
				t.Errorf("%q", got)
			}
		})
	}
	if got := refusal(&cluster.Map{}, 1); got != "" {
		t.Errorf("who was removed: %q", got)
	}
}
