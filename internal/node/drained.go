package node

import (
	"fmt"
	"strings"

	"tutti/internal/cluster"
)

// refusalMax is how many other nodes a drained node names.
const refusalMax = 2

// refusal is what node id answers its clients by the map m, if it is drained: it is
// to have no replica, and has none. Else it is empty. TRYAGAIN is what clients of
// clusters know as a reason to ask another node.
func refusal(m *cluster.Map, id cluster.NodeID) string {
	me, ok := m.Member(id)
	if !ok || me.State != cluster.Draining {
		return ""
	}
	for _, s := range m.Shards {
		if _, has := s.On(id); has {
			return ""
		}
	}
	var others []string
	for _, x := range m.Members {
		if x.ID != id && x.State == cluster.Active && len(others) < refusalMax {
			others = append(others, x.Client)
		}
	}
	if len(others) == 0 {
		return "" // it is better than nobody
	}
	return fmt.Sprintf("TRYAGAIN this node is drained. Not applied. Use another one: %s", strings.Join(others, ", "))
}
