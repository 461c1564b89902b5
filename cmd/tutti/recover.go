package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/node"
)

func recoverCommand() *cobra.Command {
	var dir, confirm string
	c := &cobra.Command{
		Use:   "recover --dir DIR",
		Short: "Bring a cluster back that has lost the majority of its nodes for ever",
		Long: `Makes the node in DIR the only member of its cluster, with what its copies hold.
What was acknowledged and is on none of them is lost, so it first says what it knows
and asks. The node must not run. Of several nodes that are left take the one that
shows the highest term, and then the highest position; the others are wiped and join
again. The nodes that are given up must never be started with their data again.`,
		Example: "  tutti recover --dir /var/lib/tutti",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return recoverNode(dir, confirm) },
	}
	c.Flags().StringVar(&dir, "dir", "", "the node's folder")
	c.Flags().StringVar(&confirm, "confirm", "", "the cluster's name, instead of being asked")
	_ = c.MarkFlagRequired("dir")
	return c
}

func recoverNode(dir, confirm string) error {
	r, err := node.PlanRecovery(vfs.Default, dir)
	if err != nil {
		return notRecovered(err)
	}
	showRecovery(r)
	if confirm == "" {
		fmt.Printf("Type the cluster's name to go on, anything else to leave all as it is: ")
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		confirm = strings.TrimSpace(line)
	}
	if confirm != r.Cluster {
		return &exitError{code: exitFailed, what: fmt.Sprintf("not confirmed: %q is not the cluster's name", confirm), safe: "nothing was changed", do: "tutti recover --dir " + dir}
	}
	if err := r.Recover(); err != nil {
		return notRecovered(err)
	}
	fmt.Printf("%s now consists of node %d alone. Start it: tutti start --dir %s\n", r.Cluster, r.Node, dir)
	return nil
}

func notRecovered(err error) error {
	if errors.Is(err, node.ErrNotNeeded) {
		return &exitError{code: exitFailed, what: err.Error(), safe: "nothing was changed", do: "tutti start"}
	}
	return &exitError{code: exitFailed, what: err.Error(), safe: "what the copies hold is as it was", do: "mend that and run it again"}
}

func showRecovery(r node.Recovery) {
	fmt.Printf("cluster %s, node %d\n", r.Cluster, r.Node)
	for _, s := range r.Shards {
		what := fmt.Sprintf("slots %d to %d", s.Slots.First, s.Slots.End-1)
		if s.ID == cluster.Meta {
			what = "the cluster itself"
		}
		part := fmt.Sprintf("one of %d that decided", s.Voters)
		if s.Learner {
			part = "a learner, which did not decide"
		}
		fmt.Printf("  shard %d, %s: this copy, %s, ends at term %d, position %d; it was in order on %s\n", s.ID, what, part, s.Term, s.Last, s.Time.Format(time.DateTime))
	}
	var names []string
	for _, x := range r.Lost {
		names = append(names, fmt.Sprintf("%s (%s)", nodeName(x), x.Peer))
	}
	if len(names) > 0 {
		fmt.Printf("  given up for ever: %s\n", strings.Join(names, ", "))
	}
	fmt.Println("  LOST: whatever was acknowledged and did not reach this copy. Nothing here can tell how much that is.")
	fmt.Println("  The nodes that are given up must never run with their data again: wipe them, then tutti join.")
}
