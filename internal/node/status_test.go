package node_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/node"
	"tutti/internal/node/nodetest"
)

// smallDisk is a disk that is nearly full, and says so.
type smallDisk struct{ vfs.FS }

func (smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 3 << 30, TotalBytes: 100 << 30}, nil
}

// A node with little room says so itself, to whoever asks it alone as well; the others
// don't know.
func TestStatusTellsOfLittleRoom(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{Nodes: 3, Configure: func(i int, cfg *node.Config) {
		if i == 1 {
			cfg.FS = smallDisk{cfg.FS}
		}
	}})
	for i := range 3 {
		for _, args := range [][]string{{"TUTTI.STATUS"}, {"TUTTI.STATUS", "LOCAL"}} {
			v := c.Dial(i).Do(args...)
			var s node.Status
			if err := json.Unmarshal(v.Str, &s); err != nil {
				t.Fatalf("%s: %v", v.Str, err)
			}
			if i != 1 && len(s.Own) > 0 || i == 1 && (len(s.Own) != 1 || !strings.HasPrefix(s.Own[0].What, "the disk of node 2: 3 GiB of 100 GiB left")) {
				t.Errorf("node %d, %v: %+v", i+1, args, s.Own)
			}
		}
	}
}
