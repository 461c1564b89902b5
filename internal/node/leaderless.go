package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tutti/internal/cluster"
)

// What is said of a shard whose nodes answer and that has no leader all the same.

const (
	// leaderTripMax is the way between two voters, there and back, up to which a
	// leader lasts: the limit in docs/OPERATIONS.md. Elections end after 300 ms.
	leaderTripMax = 250 * time.Millisecond
	// electionMax is how long an election may take before it is no mere election.
	electionMax = 3 * time.Second
)

// electing reports whether nothing but a leader is missing: of each shard that has
// stopped none is known, and a majority of the nodes with votes answers.
func (e evidence) electing(v Verdict, members []member) bool {
	for _, x := range v.Shards {
		if x.NodeLosses >= 0 {
			continue
		}
		s, _ := e.m.Shard(x.Shard)
		voters, there := s.Voters(), 0
		for _, y := range members {
			if y.presence != Silent && slices.Contains(voters, y.id) {
				there++
			}
		}
		if x.Leader != 0 || there <= len(voters)/2 {
			return false
		}
	}
	return true
}

// election says that a leader is missing, and what to do if that lasts.
func (e evidence) election(v Verdict, stopped string) string {
	var missed time.Duration
	for _, x := range v.Shards {
		if x.NodeLosses < 0 {
			missed = max(missed, e.found.missed[x.Shard])
		}
	}
	if missed < electionMax {
		return fmt.Sprintf("No leader: a majority answers, and elects one, which takes less than a second. Stopped until then: %s.", stopped)
	}
	return fmt.Sprintf("No leader: a majority answers, and has elected none for %s, as node %d sees it; that takes less than a second if disks and links are well. "+
		"Stopped until then: %s. Nothing is lost. On each node: tutti doctor, and its log, the lines about votes and the disk.", span(missed), e.node, stopped)
}

// distant says how far voters are from this node if that is why no leader lasts:
// of a shard that has stopped a majority answers, and this node, which votes, has
// no majority within leaderTripMax. "": that is not why.
func (e evidence) distant(v Verdict, members []member) string {
	for _, x := range v.Shards {
		s, _ := e.m.Shard(x.Shard)
		voters := s.Voters()
		if x.NodeLosses >= 0 || !slices.Contains(voters, e.node) {
			continue
		}
		var far []string
		near := 0
		for _, y := range members {
			if y.presence == Silent || !slices.Contains(voters, y.id) {
				continue
			}
			if d := e.trip(y.id); y.id != e.node && d > leaderTripMax {
				far = append(far, fmt.Sprintf("%d ms to node %d", d.Milliseconds(), y.id))
			} else {
				near++
			}
		}
		if majority := len(voters)/2 + 1; near < majority && near+len(far) >= majority {
			return strings.Join(far, ", ")
		}
	}
	return ""
}

func farApart(node cluster.NodeID, far, stopped string) string {
	return fmt.Sprintf("No leader: a majority answers, but too slowly: seen from node %d the way there and back takes %s. "+
		"No leader lasts if that is more than %d ms between the nodes that vote. Stopped until the links are faster: %s. Nothing is lost. "+
		"If only node %d is so far away, ask another one.", node, far, leaderTripMax.Milliseconds(), stopped, node)
}
