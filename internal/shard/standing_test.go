package shard

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"tutti/internal/cluster"
)

func testStandings() []Standing {
	return []Standing{
		{Shard: 0, Leader: 2, Term: 7},
		{Shard: 300, Leader: 1, Term: 9, Leads: true, Commit: 1 << 40, Replicas: []Copy{
			{ID: 1, Node: 1, Match: 1 << 40, Stays: true, Confirmed: true},
			{ID: 2, Node: 2, Match: 5, Silent: 1500 * time.Millisecond, Part: cluster.Leaving},
			{ID: 9, Node: 3, Data: 4, Part: cluster.Learner, Silent: time.Millisecond},
		}, Asking: []cluster.NodeID{3, 1000}},
	}
}

// TestGoldenStandings keeps the bytes of the format: whoever changes them gives
// it another version.
func TestGoldenStandings(t *testing.T) {
	const name = "testdata/standings.v1.hex"
	got := AppendStandings(nil, testStandings())
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v; the bytes are now %x", err, got)
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || !bytes.Equal(want, got) {
		t.Errorf("in %s: %x, now %x, %v", name, want, got, err)
	}
	if list, err := DecodeStandings(want); err != nil || !reflect.DeepEqual(list, testStandings()) {
		t.Errorf("%s reads as %+v, %v", name, list, err)
	}
}

// FuzzStandings reads what a peer tells: it is refused, or it is what would be
// written so but for times and flags that this version has no use for.
func FuzzStandings(f *testing.F) {
	f.Add(AppendStandings(nil, nil))
	f.Add(AppendStandings(nil, testStandings()))
	f.Add([]byte{standingVersion + 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := DecodeStandings(b)
		if err != nil {
			if !errors.Is(err, ErrStanding) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := DecodeStandings(AppendStandings(nil, list))
		if err != nil || !reflect.DeepEqual(list, again) {
			t.Errorf("%+v becomes %+v, %v", list, again, err)
		}
		for _, s := range list {
			s.Votes()
			s.SpareZones(func(cluster.NodeID) string { return "" })
		}
	})
}

// The losses that are survived are those that no choice of nodes, or of zones,
// refutes.
func TestSpareIsTheWorstCase(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		s := Standing{Leads: true}
		zones := make(map[cluster.NodeID]string)
		joint := r.IntN(3) == 0
		for i := range 1 + r.IntN(7) {
			node := cluster.NodeID(i + 1)
			c := Copy{ID: cluster.ReplicaID(node), Node: node, Confirmed: r.IntN(4) > 0, Part: cluster.Part(r.IntN(2))}
			if joint && r.IntN(2) == 0 {
				c.Part, c.Stays = cluster.Leaving, false
			} else if joint && c.Part == cluster.Voter {
				c.Stays = r.IntN(2) == 0
			}
			zones[node] = string(rune('a' + r.IntN(3)))
			s.Replicas = append(s.Replicas, c)
		}
		if got, want := max(s.Spare(), -1), worst(s, func(n cluster.NodeID) string { return string(rune(n)) }); got != want {
			t.Fatalf("%d nodes, by trying %d: %+v", got, want, s)
		}
		zone := func(n cluster.NodeID) string { return zones[n] }
		if got, want := max(s.SpareZones(zone), -1), worst(s, zone); got != want {
			t.Fatalf("%d zones, by trying %d: %+v in %v", got, want, s, zones)
		}
	}
}

// worst tries the loss of each set of zones that hold a confirmed vote.
func worst(s Standing, zone func(cluster.NodeID) string) int {
	var all []string
	seen := make(map[string]bool)
	for _, c := range s.Replicas {
		if z := zone(c.Node); c.Confirmed && c.Part != cluster.Learner && !seen[z] {
			seen[z] = true
			all = append(all, z)
		}
	}
	fewest := len(all) + 1
	for set := range 1 << len(all) {
		lost := make(map[string]bool)
		for i, z := range all {
			if set>>i&1 == 1 {
				lost[z] = true
			}
		}
		if !decides(s, func(c Copy) bool { return c.Confirmed && !lost[zone(c.Node)] }) {
			fewest = min(fewest, len(lost))
		}
	}
	return fewest - 1
}

func decides(s Standing, there func(Copy) bool) bool {
	var now, old, nowHas, oldHas int
	for _, c := range s.Replicas {
		count := 0
		if there(c) {
			count = 1
		}
		if c.Part == cluster.Voter {
			now, nowHas = now+1, nowHas+count
		}
		if c.Part == cluster.Leaving || c.Stays {
			old, oldHas = old+1, oldHas+count
		}
	}
	return nowHas > now/2 && (old == 0 || oldHas > old/2)
}
