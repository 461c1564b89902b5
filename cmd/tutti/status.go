package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/node"
)

// Patience of status, which is asked when something is wrong.
const (
	statusTimeout     = 3 * time.Second // of the node that is asked
	statusPeerTimeout = time.Second     // of the others
)

// statusOptions is how status is asked for and shown.
type statusOptions struct {
	target
	asJSON, watch bool
}

func statusCommand() *cobra.Command {
	var o statusOptions
	c := &cobra.Command{
		Use:   "status",
		Short: "Say whether the cluster is safe now",
		Long: "Says whether the cluster is safe now: what its replicas have confirmed within the last second,\n" +
			"which losses it survives, what is wrong and what mends it. Exit code 3: no node; 5: something\n" +
			"has stopped.",
		Example: "  tutti status\n  tutti status --watch\n  tutti status --json --addr 127.0.0.1:6380",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if o.watch {
				return watchStatus(o)
			}
			return printStatus(o)
		},
	}
	targetFlags(c, &o.target)
	anyNode(c, &o.target)
	c.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&o.watch, "watch", false, "go on: on a terminal draw it anew each second, else print what changes, until Ctrl-C")
	return c
}

func printStatus(o statusOptions) error {
	s, err := o.status(statusTimeout)
	if err != nil {
		return o.unreachable(err)
	}
	askMembers(o.target, &s)
	if o.asJSON {
		err = json.NewEncoder(os.Stdout).Encode(s)
	} else {
		err = writeStatus(os.Stdout, s)
	}
	if err != nil {
		return failed(err, "")
	}
	if s.Safety == nil || s.Safety.Safety == node.Unavailable {
		return &exitError{code: exitUnavailable} // the verdict has said it
	}
	return nil
}

// askMembers asks every node that is up for its own pid, and for what it alone knows to
// be wrong with it.
func askMembers(t target, s *node.Status) {
	var wg sync.WaitGroup
	found := make([][]node.Problem, len(s.Nodes))
	for i := range s.Nodes {
		m := &s.Nodes[i]
		if m.ID == s.Node {
			found[i] = s.Own
		}
		if m.ID == s.Node || !m.Up {
			continue
		}
		wg.Go(func() {
			if own, err := t.at(m.Client).status(statusPeerTimeout, ofItself); err == nil {
				m.PID, found[i] = ownPID(own), own.Own
			}
		})
	}
	wg.Wait()
	if s.Safety != nil {
		s.Safety.Problems = append(s.Safety.Problems, slices.Concat(found...)...)
	}
}

func ownPID(s node.Status) int {
	for _, m := range s.Nodes {
		if m.ID == s.Node {
			return m.PID
		}
	}
	return 0
}

// writeStatus says first whether it is safe, then what the nodes do, what moves,
// and what is wrong.
func writeStatus(out io.Writer, s node.Status) error {
	fmt.Fprintf(out, "%s  %s\n", s.Cluster, s.Verdict)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	names := slices.ContainsFunc(s.Nodes, func(m node.NodeStatus) bool { return m.Name != "" })
	zones := slices.ContainsFunc(s.Nodes, func(m node.NodeStatus) bool { return m.Zone != "" })
	for _, m := range s.Nodes {
		fmt.Fprintf(w, "  node %d\t", m.ID)
		if names {
			fmt.Fprintf(w, "%s\t", m.Name)
		}
		if zones {
			fmt.Fprintf(w, "%s\t", m.Zone)
		}
		does := cluster.Gateway.String()
		if m.Role != does {
			leads, shards := leadsOf(s, m.ID)
			does = fmt.Sprintf("leads %d of %d shards", leads, shards)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", m.Client, stateText(m), does)
	}
	if err := w.Flush(); err != nil || s.Safety == nil {
		return err
	}
	for _, m := range s.Safety.Moves {
		fmt.Fprintf(out, "> %s: node %d %s%s\n", shardText(m.Shard), m.Node, m.What, behindText(m.Behind))
	}
	for _, p := range s.Safety.Problems {
		if _, err := fmt.Fprintf(out, "! %s\n    %s\n", p.What, p.Do); err != nil {
			return err
		}
	}
	return nil
}

// leadsOf counts the shards with data of users, and those that a node leads.
func leadsOf(s node.Status, id cluster.NodeID) (leads, shards int) {
	if s.Safety == nil {
		return 0, 0
	}
	for _, sh := range s.Safety.Shards {
		if sh.Shard == cluster.Meta {
			continue
		}
		if shards++; sh.Leader == id {
			leads++
		}
	}
	return leads, shards
}

func stateText(m node.NodeStatus) string {
	text := string(m.Presence)
	if m.State != cluster.Active.String() {
		text += ", " + m.State
	}
	if m.Full {
		text += ", disk full"
	}
	return text
}

func shardText(id cluster.ShardID) string {
	if id == cluster.Meta {
		return "meta"
	}
	return fmt.Sprintf("shard %d", id)
}

func behindText(entries uint64) string {
	if entries == 0 {
		return ""
	}
	return fmt.Sprintf(", %d entries behind", entries)
}
