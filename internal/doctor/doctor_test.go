package doctor

import (
	"strings"
	"testing"
	"time"
)

// healthy is a node that nothing is wrong with.
func healthy() Facts {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	return Facts{
		Dir: "/var/lib/tutti", Disk: Disk{Known: true, Total: 90 << 30, Left: 60 << 30},
		Fsyncs: Fsyncs{Count: 1000, Within: 4 * time.Millisecond},
		Peers: []Peer{{Node: 2, Addr: "10.0.0.2:7379", Up: true, Ahead: 3 * time.Millisecond, AheadKnown: true},
			{Node: 3, Addr: "[fd00::3]:7379", Up: true, Ahead: -20 * time.Millisecond, AheadKnown: true}},
		Files: Files{Limit: 65536, Needed: 13000}, Memory: Memory{Available: 8 << 30, Buffers: 1 << 30},
		Certificate: now.Add(20 * time.Hour), Now: now,
	}
}

func TestChecks(t *testing.T) {
	for _, c := range []struct {
		name  string
		check string
		state State
		says  string // in what, why or do
		with  func(f *Facts)
	}{
		{"all is well", "", Pass, "", func(*Facts) {}},
		{"little room", "disk", Warn, "3 GiB of 90 GiB left", func(f *Facts) { f.Disk.Left = 3 << 30 }},
		{"full", "disk", Fail, "make room on the disk of /var/lib/tutti", func(f *Facts) { f.Disk.Left, f.Disk.Full = 1<<20, true }},
		{"less than nothing", "disk", Fail, "0 B of 90 GiB", func(f *Facts) { f.Disk.Left, f.Disk.Full = -1, true }},
		{"a disk that does not tell", "disk", Warn, "does not tell", func(f *Facts) { f.Disk = Disk{} }},
		{"few fsyncs", "fsync", Pass, "too few", func(f *Facts) { f.Fsyncs = Fsyncs{Count: 3, Within: time.Minute} }},
		{"slow fsyncs", "fsync", Warn, "at most 200ms", func(f *Facts) { f.Fsyncs.Within = 200 * time.Millisecond }},
		{"very slow fsyncs", "fsync", Fail, "majority", func(f *Facts) { f.Fsyncs.Within = 2 * time.Second }},
		{"endless fsyncs", "fsync", Fail, "longer than 10 s", func(f *Facts) { f.Fsyncs.Within = 0 }},
		{"a peer is not reached", "links", Fail, "nc -vz fd00::3 7379", func(f *Facts) { f.Peers[1].Up = false }},
		{"a peer may be dead", "links", Fail, "it does not run, or", func(f *Facts) { f.Peers[1].Up = false }},
		{"alone", "links", Pass, "no other nodes", func(f *Facts) { f.Peers = nil }},
		{"a clock is ahead", "clock", Warn, "node 2 is 1h0m0s ahead of this one's", func(f *Facts) { f.Peers[0].Ahead = time.Hour }},
		{"a clock is behind", "clock", Warn, "node 3 is 2s behind this one's", func(f *Facts) { f.Peers[1].Ahead = -2 * time.Second }},
		{"no clock is known", "clock", Pass, "no other clock", func(f *Facts) { f.Peers[0].AheadKnown, f.Peers[1].AheadKnown = false, false }},
		{"few files", "files", Warn, "ulimit -n 65536", func(f *Facts) { f.Files.Limit = 1024 }},
		{"files unknown", "files", Pass, "not known", func(f *Facts) { f.Files.Limit = 0 }},
		{"a small machine", "memory", Warn, "GOMEMLIMIT=921MiB", func(f *Facts) { f.Memory.Available = 1 << 30 }},
		{"told too much", "memory", Warn, "GOMEMLIMIT is 16 GiB", func(f *Facts) { f.Memory.Told = 16 << 30 }},
		{"told of a small machine", "memory", Pass, "", func(f *Facts) { f.Memory = Memory{Available: 1 << 30, Told: 900 << 20, Buffers: 600 << 20} }},
		{"memory unknown", "memory", Pass, "not known", func(f *Facts) { f.Memory.Available = 0 }},
		{"a certificate near its end", "certificate", Warn, "another 2h0m0s", func(f *Facts) { f.Certificate = f.Now.Add(2 * time.Hour) }},
		{"a certificate beyond its end", "certificate", Warn, "expired 1h0m0s ago", func(f *Facts) { f.Certificate = f.Now.Add(-time.Hour) }},
		{"no certificate", "certificate", Pass, "not known", func(f *Facts) { f.Certificate = time.Time{} }},
		{"damage", "data", Warn, "damaged-0", func(f *Facts) { f.Damage = "damaged-0: wrong checksum" }},
		{"rows", "data", Fail, "2 commands", func(f *Facts) { f.Unreadable = 2 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := healthy()
			c.with(&f)
			for _, got := range f.Checks() {
				if got.Name != c.check {
					if got.State != Pass {
						t.Errorf("%+v", got)
					}
					continue
				}
				if got.State != c.state || !strings.Contains(got.What+"\n"+got.Why+"\n"+got.Do, c.says) {
					t.Errorf("%+v, want %s and %q", got, c.state, c.says)
				}
			}
			for _, got := range f.Checks() {
				if got.What == "" || (got.State == Pass) != (got.Why == "") || (got.State == Pass) != (got.Do == "") {
					t.Errorf("a check that did not pass says why it matters and what mends it: %+v", got)
				}
			}
		})
	}
}
