package node

import (
	"strings"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/doctor"
)

// Whose clock is wrong is said once, by whichever node is asked, and of two nodes that
// they are apart.
func TestClocksThatAreOff(t *testing.T) {
	const hour = time.Hour
	for _, c := range []struct {
		name  string
		nodes int
		asked cluster.NodeID
		ahead map[cluster.NodeID]time.Duration
		says  []string // the beginning of each problem
	}{
		{"all agree", 3, 1, map[cluster.NodeID]time.Duration{2: 20 * time.Millisecond, 3: -900 * time.Millisecond}, nil},
		{"nobody is known", 3, 1, nil, nil},
		{"another's", 3, 1, map[cluster.NodeID]time.Duration{2: 10 * time.Millisecond, 3: hour}, []string{"the clock of node 3 is 59m59.99s ahead of"}},
		{"that of who is asked", 3, 2, map[cluster.NodeID]time.Duration{1: hour, 3: hour}, []string{"the clock of node 2 is 1h0m0s behind"}},
		{"two of five", 5, 1, map[cluster.NodeID]time.Duration{2: 0, 3: 0, 4: hour, 5: -hour}, []string{"the clock of node 4 is 1h0m0s ahead of", "the clock of node 5 is 1h0m0s behind"}},
		{"two nodes", 2, 1, map[cluster.NodeID]time.Duration{2: -hour}, []string{"the clocks of the two nodes are 1h0m0s apart"}},
		{"who was removed", 3, 1, map[cluster.NodeID]time.Duration{2: 0, 3: 0, 9: hour}, nil},
	} {
		s := newScene(t, c.nodes, c.nodes)
		s.e.node, s.e.ahead = c.asked, c.ahead
		v := s.e.judge()
		var got []string
		for _, p := range v.Problems {
			if strings.Contains(p.What, "clock") {
				got = append(got, p.What)
				if !strings.Contains(p.Do, "timedatectl set-ntp true") {
					t.Errorf("%s: %q is mended by %q", c.name, p.What, p.Do)
				}
			}
		}
		if len(got) != len(c.says) {
			t.Errorf("%s: %q, want %q", c.name, got, c.says)
			continue
		}
		for i, want := range c.says {
			if !strings.HasPrefix(got[i], want) {
				t.Errorf("%s: %q, want %q", c.name, got[i], want)
			}
		}
	}
}

// What only the node itself can know: a disk that is nearly full, and a certificate that
// was not renewed. A node that is well says neither.
func TestProblemsThatOnlyTheNodeKnows(t *testing.T) {
	now := time.UnixMilli(1 << 40)
	ends := func(in time.Duration) doctor.Facts { return doctor.Facts{Certificate: now.Add(in), Now: now} }
	room := func(left, total int64) doctor.Facts {
		return doctor.Facts{Dir: "/d", Disk: doctor.Disk{Known: true, Left: left << 30, Total: uint64(total << 30)}}
	}
	for _, c := range []struct {
		facts      doctor.Facts
		says, does string
	}{
		{ends(20 * time.Hour), "", ""},
		{ends(4 * time.Hour), "the certificate of node 2: valid for another 4h0m0s; ", "tutti cert renew"},
		{ends(-6 * time.Hour), "the certificate of node 2: expired 6h0m0s ago; ", "tutti cert renew"},
		{room(50, 100), "", ""},
		{room(20, 10000), "", ""}, // little of such a disk, but enough
		{room(3, 100), "the disk of node 2: 3 GiB of 100 GiB left; ", "make room on the disk of /d"},
		{doctor.Facts{}, "", ""}, // nothing is known
	} {
		list := ownProblems(2, c.facts)
		if c.says == "" {
			if len(list) > 0 {
				t.Errorf("%+v: %+v", c.facts, list)
			}
			continue
		}
		if len(list) != 1 || !strings.HasPrefix(list[0].What, c.says) || !strings.HasPrefix(list[0].Do, c.does) {
			t.Errorf("%+v, want %q, %q", list, c.says, c.does)
		}
	}
}

// What mends a node that is silent depends on whether the others go on: no node can be
// removed while there is no majority.
func TestSilentNodesAreMended(t *testing.T) {
	s := newScene(t, 3, 3)
	s.freeze(3, 6*time.Second)
	if p := s.e.judge().Problems; len(p) != 1 || !strings.HasSuffix(p[0].Do, "tutti node remove 3") {
		t.Errorf("one of three is silent: %+v", p)
	}
	s.leaderless(6 * time.Second)
	p := s.e.judge().Problems
	if len(p) != 2 {
		t.Fatalf("two of three are silent: %+v", p)
	}
	for _, x := range p {
		if strings.Contains(x.Do, "node remove") || !strings.HasSuffix(x.Do, "tutti recover --help") {
			t.Errorf("two of three are silent: %+v", x)
		}
	}
}
