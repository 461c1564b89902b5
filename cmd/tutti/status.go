package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
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

func statusCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "Say whether the cluster is safe now",
		Long:    "Says whether the cluster is safe now. Exit code 3: no node; 5: it can't accept writes now.",
		Example: "  tutti status\n  tutti status --json --addr 127.0.0.1:6380",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return printStatus(t, asJSON) },
	}
	targetFlags(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printStatus(t target, asJSON bool) error {
	s, err := t.status(statusTimeout)
	if err != nil {
		return t.unreachable(err)
	}
	askMembers(t, &s)
	if asJSON {
		err = json.NewEncoder(os.Stdout).Encode(s)
	} else {
		err = writeStatus(s)
	}
	if err != nil {
		return failed(err, "")
	}
	if s.Safety == nil || s.Safety.Safety == node.Unavailable {
		return &exitError{code: exitUnavailable} // the verdict has said it
	}
	return nil
}

// askMembers asks every node that is up for its own pid.
func askMembers(t target, s *node.Status) {
	var wg sync.WaitGroup
	for i := range s.Nodes {
		m := &s.Nodes[i]
		if m.ID == s.Node || !m.Up {
			continue
		}
		wg.Go(func() {
			if own, err := t.at(m.Client).status(statusPeerTimeout, ofItself); err == nil {
				m.PID = ownPID(own)
			}
		})
	}
	wg.Wait()
}

func ownPID(s node.Status) int {
	for _, m := range s.Nodes {
		if m.ID == s.Node {
			return m.PID
		}
	}
	return 0
}

func writeStatus(s node.Status) error {
	if _, err := fmt.Printf("%s  %s\n", s.Cluster, s.Verdict); err != nil {
		return err
	}
	for _, m := range s.Nodes {
		leads, shards := 0, 0
		for _, sh := range s.Shards {
			if sh.Shard == cluster.Meta {
				continue // it holds no data of users
			}
			if shards++; sh.Leader == m.ID {
				leads++
			}
		}
		fmt.Printf("  node %d  %-21s %-5s leads %d of %d shards\n", m.ID, m.Client, m.Presence, leads, shards)
	}
	return nil
}
