package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tutti/internal/node"
)

func statusCommand() *cobra.Command {
	var addr string
	var asJSON bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "Say whether the cluster is safe now",
		Example: "  tutti status\n  tutti status --json --addr 127.0.0.1:6380",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return printStatus(addr, asJSON)
		},
	}
	c.Flags().StringVar(&addr, "addr", "127.0.0.1:6379", "address of any node")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printStatus(addr string, asJSON bool) error {
	s, err := askStatus(addr, 3*time.Second)
	if err != nil {
		return &exitError{code: exitUnreachable, what: fmt.Sprintf("cannot reach %s: %v", addr, err), do: "name another node with --addr, or start one: tutti dev"}
	}
	// Every node is asked for its own pid and position; one that can't be
	// reached stays as the first one sees it.
	for i, m := range s.Nodes {
		if own, err := askStatus(m.Client, time.Second); err == nil {
			s.Nodes[i].PID = ownPID(own)
		} else if m.ID != s.Node {
			s.Nodes[i].Up = false
		}
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(s)
	}
	fmt.Printf("%s  %s\n", s.Cluster, s.Verdict)
	for _, m := range s.Nodes {
		state := "down"
		if m.Up {
			state = "up"
		}
		leads := 0
		for _, sh := range s.Shards {
			if sh.Leader == m.ID {
				leads++
			}
		}
		fmt.Printf("  node %d  %-21s %-5s leads %d of %d shards\n", m.ID, m.Client, state, leads, len(s.Shards))
	}
	return nil
}

func ownPID(s node.Status) int {
	for _, m := range s.Nodes {
		if m.ID == s.Node {
			return m.PID
		}
	}
	return 0
}
