package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/node"
)

func recoverCommand() *cobra.Command {
	var dir, confirm string
	var stopped bool
	c := &cobra.Command{
		Use:   "recover --dir DIR",
		Short: "Bring a cluster back that has lost the majority of its nodes for ever",
		Long: `Makes the node in DIR the only member of its cluster, with what its copies hold.
What was acknowledged and is on none of them is lost, so it first says what it knows
and asks. The node must not run. Of several nodes that are left take the one that
shows the highest term, and then the highest position; the others are wiped and join
again. The nodes that are given up must never be started with their data again.
While one of them runs nothing is done: it would end when it hears that it is given up,
with all that it holds.`,
		Example: "  tutti recover --dir /var/lib/tutti",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return recoverNode(dir, confirm, stopped) },
	}
	c.Flags().StringVar(&dir, "dir", "", "the node's folder")
	c.Flags().StringVar(&confirm, "confirm", "", "the cluster's name, instead of being asked")
	c.Flags().BoolVar(&stopped, "others-stopped", false, "whatever answers at the addresses of the other nodes, it is not they")
	_ = c.MarkFlagRequired("dir")
	return c
}

func recoverNode(dir, confirm string, stopped bool) error {
	r, err := node.PlanRecovery(vfs.Default, dir)
	if err != nil {
		return notRecovered(err)
	}
	showRecovery(r)
	if !stopped {
		if err := refuseRunning(dir, r.Lost); err != nil {
			return err
		}
	}
	if confirm == "" {
		fmt.Printf("Type the cluster's name to go on, anything else to leave all as it is: ")
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil { // nobody has pressed return
			fmt.Println()
		}
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

// refuseRunning refuses while one of the nodes that are to be given up runs. A
// majority of them has lost nothing, and whatever they have acknowledged since
// would be gone: a node that hears that it was taken out ends.
func refuseRunning(dir string, lost []node.Member) error {
	answers := make([]bool, len(lost))
	var asked sync.WaitGroup
	for i, x := range lost {
		if x.Role == cluster.Gateway {
			continue // it holds nothing
		}
		asked.Go(func() {
			c, err := net.DialTimeout("tcp", x.Peer, answerTimeout)
			if answers[i] = err == nil; answers[i] {
				_ = c.Close()
			}
		})
	}
	asked.Wait()
	var running []string
	for i, x := range lost {
		if answers[i] {
			running = append(running, fmt.Sprintf("%s (%s)", nodeName(x), x.Peer))
		}
	}
	if len(running) == 0 {
		return nil
	}
	return &exitError{code: exitFailed, what: "not given up: still answering: " + strings.Join(running, ", "), safe: "nothing was changed",
		do: "if they are a majority nothing is lost: tutti start here. If not, stop them, and run this again; --others-stopped, if something else answers there: tutti recover --others-stopped --dir " + dir}
}

// answerTimeout is how long a node that is to be given up has to take a connection.
const answerTimeout = 2 * time.Second

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
		fmt.Printf("  shard %d, %s: this copy, %s, ends at term %d, position %d, which was written on %s\n", s.ID, what, part, s.Term, s.Last, s.Time.Format(time.DateTime))
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
