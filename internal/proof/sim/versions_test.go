package sim

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"tutti/internal/cluster"
)

// version returns the version of the formats that the cluster writes.
func (c operator) version() cluster.Version {
	c.t.Helper()
	var m struct {
		Version cluster.Version `json:"version"`
	}
	if err := json.Unmarshal([]byte(c.ask("TUTTI.MAP")), &m); err != nil {
		c.t.Fatal(err)
	}
	return m.Version
}

// renewWith restarts node i as a program that reads formats up to a version.
func (c operator) renewWith(i int, v cluster.Version) {
	c.t.Helper()
	c.Stop(i)
	c.opts.Formats[i] = v
	c.Start(i)
}

// renewAll brings a cluster of three to the version that wrote a format first, while others
// write: as long as node 3 reads only the version before, nobody writes the format, which is
// what written counts on the disk of a node. Then each node loses its power in turn.
func (c operator) renewAll(v cluster.Version, written func(i int) int) {
	c.t.Helper()
	c.renewWith(1, v)
	c.renewWith(2, v)
	time.Sleep(2 * time.Second)
	if n := written(2); n > 0 {
		c.t.Errorf("%d objects have a format that node 3 can't read", n)
	}
	c.renewWith(3, v)
	for c.version() < v {
		time.Sleep(time.Second)
	}
	inTurn(c.Cluster, 2*time.Second, true)
}

// A cluster is brought to a later version node by node, under load. As long as one
// node confirms only the version before, all write that one's formats; from then
// on that there is none, no node of it is let in again.
func TestTwoVersionsInOneCluster(t *testing.T) {
	const later = cluster.Newest + 1
	bubbleLoad(t, Options{Seed: 430, Formats: make(map[int]cluster.Version)}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
		c := operator{all}
		for _, i := range []int{2, 1} {
			c.renewWith(i, later)
			time.Sleep(3 * time.Second)
			if got := c.version(); got != cluster.Newest {
				t.Fatalf("node 3 reads version %d, and the cluster writes %d", cluster.Newest, got)
			}
		}
		c.renewWith(1, cluster.Newest) // it can be taken back, as nothing has been written
		time.Sleep(3 * time.Second)
		c.renewWith(3, later)
		time.Sleep(3 * time.Second)
		if got := c.version(); got != cluster.Newest {
			t.Fatalf("node 1 reads version %d again, and the cluster writes %d", cluster.Newest, got)
		}
		c.renewWith(1, later)
		time.Sleep(3 * time.Second)
		if got := c.version(); got != later {
			t.Fatalf("all read version %d, and the cluster writes %d", later, got)
		}
		c.Stop(2)
		c.opts.Formats[2] = cluster.Newest
		if err := c.start(2); !errors.Is(err, cluster.ErrVersion) {
			t.Errorf("a node of the version before started: %v", err)
		}
		c.opts.Formats[2] = later
		c.Start(2)
	})
}
