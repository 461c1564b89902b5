package shard

import (
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
)

// A node that has lost its data once makes a replica that was handed out for what it
// has now, and none that was handed out for what it lost: another may have been put
// in the place of that one already.
func TestInvitationIsForTheDataThatIsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.stop()
		n.data = 1
		n.open()
		n.start(2)
		n.lead()
		const other = testShard + 1
		d := testDescriptor(1, 2)
		d.ID = other
		for _, c := range []struct {
			id   cluster.ReplicaID
			data uint64
			want bool
		}{{2, 0, false}, {3, 2, false}, {4, 1, true}} {
			n.host.invited(other, c.id, c.data, d, 2)
			time.Sleep(time.Second)
			if got := n.host.Has(other); got != c.want {
				t.Errorf("invited for data %d, with data %d: a replica begins %t", c.data, n.data, got)
			}
		}
		n.stop()
	})
}
