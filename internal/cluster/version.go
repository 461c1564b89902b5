package cluster

// Version numbers the formats of everything that nodes write for each other, on
// disk and on the wire. A node confirms the newest it reads; the map's version
// is the lowest that all members have confirmed. What a version brought is
// written only once the map has reached it, so a node never meets what it can't
// read, and nodes of two versions make one cluster while one is replaced by the
// other. A node does not start in a cluster whose version it does not read.
type Version uint64

// The versions.
const (
	// V1 is the first.
	V1 Version = 1
	// V2 brought rows of streams.
	V2 Version = 2
	// V3 brought deadlines of the fields of hashes.
	V3 Version = 3
	// V4 brought lists of several runs.
	V4 Version = 4
	// V5 brought streams that count their entries by blocks, and rounds of reads for
	// which voters vouch.
	V5 Version = 5
	// V6 brought strings whose value lies in rows.
	V6 Version = 6
	// V7 brought write sets that come in pieces.
	V7 Version = 7
	// V8 brought large groups and replies that are carried over streams of their own.
	V8 Version = 8
	// Oldest is the oldest that this program reads and writes.
	Oldest = V1
	// Newest is the newest that this program reads and writes.
	Newest = V8
)

// Confirmed returns the version that all members have confirmed.
func (m *Map) Confirmed() Version {
	v := Newest
	for i, x := range m.Members {
		if i == 0 || x.Version < v {
			v = x.Version
		}
	}
	return v
}
