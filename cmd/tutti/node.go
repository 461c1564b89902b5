package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/node"
)

func nodeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "node",
		Short:   "Show the nodes of the cluster, and take them out of service",
		Example: "  tutti node ls\n  tutti node drain cy\n  tutti node remove cy",
		Args:    noSuchCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(nodeListCommand(), nodeShowCommand(), nodeDrainCommand(), nodeUndrainCommand(), nodeRemoveCommand())
	return c
}

func nodeListCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Short: "List the nodes", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, err := askView(t)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(v.nodes())
			}
			return v.list(os.Stdout)
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func nodeShowCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "show NODE", Short: "Show what is known of a node, by name or id", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			v, x, err := lookUp(t, args[0])
			if err != nil {
				return err
			}
			return printJSON(v.node(x))
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	return c
}

// leaving are the flags of what takes a node out of service.
type leaving struct {
	target
	verb    string // what was asked for, of "tutti node"; empty: tutti leave
	oneCopy bool
	noWait  bool
}

// command returns what was asked for, to be said again.
func (o *leaving) command(node string) string {
	if o.verb == "" {
		return "tutti leave"
	}
	return "tutti node " + o.verb + " " + node
}

func (o *leaving) flags(c *cobra.Command) {
	targetFlags(c, &o.target)
	if o.verb != "" { // who leaves is the node that is asked
		anyNode(c, &o.target)
	}
	c.Flags().BoolVar(&o.oneCopy, "accept-one-copy", false, "even if only one copy of the data is left to decide")
}

func nodeDrainCommand() *cobra.Command {
	o := leaving{verb: "drain"}
	c := &cobra.Command{
		Use: "drain NODE", Short: "Move everything that a node holds to others", Args: cobra.ExactArgs(1),
		Long: "Moves leadership, votes and copies of a node to others, and waits until nothing is left\nthere. Then the node closes the connections of its clients, each when its commands are answered,\nand sends those who come to other nodes. Interrupted, the drain goes on by itself.",
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := drainNode(o, args[0])
			return err
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&o.noWait, "no-wait", false, "do not wait until nothing is left there")
	return c
}

func nodeUndrainCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "undrain NODE", Short: "Let a node hold data again", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, x, err := lookUp(t, args[0])
			if err != nil {
				return err
			}
			if err := administer(t, "TUTTI.MEMBER", "UNDRAIN", idWord(x.ID)); err != nil {
				return err
			}
			fmt.Printf("%s may hold data again\n", nodeName(x))
			return nil
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	return c
}

func nodeRemoveCommand() *cobra.Command {
	o := leaving{verb: "remove"}
	c := &cobra.Command{
		Use: "remove NODE", Short: "Drain a node and take it out of the cluster, for ever", Args: cobra.ExactArgs(1),
		Long: "Drains a node and takes it out of the cluster: no other node speaks to it again. A node that\nis dead is removed the same way; its copies are made elsewhere.",
		RunE: func(_ *cobra.Command, args []string) error {
			x, err := drainNode(o, args[0])
			if err != nil {
				return err
			}
			return removeNode(o.target, x)
		},
	}
	o.flags(c)
	return c
}

// drainNode begins a drain, and waits for its end unless that is not wanted.
func drainNode(o leaving, name string) (cluster.Member, error) {
	_, x, err := lookUp(o.target, name)
	if err != nil {
		return x, err
	}
	args := []string{"TUTTI.MEMBER", "DRAIN", idWord(x.ID)}
	if o.oneCopy {
		args = append(args, "ACCEPT-ONE-COPY")
	}
	if err := administer(o.target, args...); err != nil {
		return x, drainRefused(err, o, x)
	}
	if o.noWait {
		fmt.Printf("%s drains; tutti node show %s says how far it is\n", nodeName(x), nodeName(x))
		return x, nil
	}
	return x, waitDrained(o, x)
}

// drainUnseen says what is known of a drain that can't be looked at any more.
func drainUnseen(err error, o leaving, x cluster.Member) error {
	e, ok := errors.AsType[*exitError](err)
	if !ok {
		return err
	}
	return &exitError{code: e.code, what: e.what, safe: "the drain goes on by itself", do: "run the same command again, through any node:  " + o.command(nodeName(x))}
}

// drainRefused says what a refused drain would have done, and what helps.
func drainRefused(err error, o leaving, x cluster.Member) error {
	e, ok := errors.AsType[*exitError](err)
	if !ok {
		return err
	}
	switch name := nodeName(x); {
	case e.code == exitUnknown:
		return &exitError{code: exitUnknown, what: e.what, safe: "the drain may have begun; to ask for it twice does no harm", do: "run the same command again, through any node:  " + o.command(name)}
	case strings.HasPrefix(e.what, "ONECOPY"):
		return &exitError{code: exitFailed, what: fmt.Sprintf("draining %s would leave one copy of the data to decide: the loss of that node would lose what was acknowledged", name),
			safe: "nothing was changed", do: fmt.Sprintf("add a node first: tutti join   or accept the risk: %s --accept-one-copy", o.command(name))}
	case strings.Contains(e.what, "last node"):
		return &exitError{code: exitFailed, what: name + " is the last node that can hold the data", safe: "nothing was changed", do: "add a node first: tutti join"}
	}
	return err
}

// drainLook is how often a drain is looked at, by whoever waits for it.
const drainLook = 300 * time.Millisecond

func waitDrained(o leaving, x cluster.Member) error {
	began, last := time.Now(), -1
	p, s := onlooker{heard: began}, stuck{moved: began}
	for {
		v, err := askView(o.target)
		if p.waits(err) {
			// A node that is drained closes the connections that it has then, and that of
			// who asks it how far it is may be one of them.
			time.Sleep(drainLook)
			continue
		}
		if err != nil {
			return drainUnseen(err, o, x)
		}
		left := v.replicas(x.ID)
		if left == 0 {
			time.Sleep(drainLook) // its clients leave meanwhile: who removes it next does not cut them off
			fmt.Printf("%s is drained after %.1f s: it holds no data\n", nodeName(x), time.Since(began).Seconds())
			return nil
		}
		if left != last {
			fmt.Printf("%s drains: %d of %d shards have a copy there\n", nodeName(x), left, len(v.Shards))
			s.goesOn()
		}
		last = left
		if s.looks() {
			if err := s.waits(v.takers(x.ID), "the drain", o.command(nodeName(x))); err != nil {
				return err
			}
		}
		time.Sleep(drainLook)
	}
}

func removeNode(t target, x cluster.Member) error {
	err := administer(t, "TUTTI.MEMBER", "REMOVE", idWord(x.ID))
	e, ok := errors.AsType[*exitError](err)
	switch {
	case ok && strings.Contains(e.what, "there is no such node"):
		// It was one when this began: somebody else has asked for the same, or this was asked twice.
		fmt.Printf("%s was removed already, as somebody else has asked for; its folder is of no more use\n", nodeName(x))
		return nil
	case ok && e.code == exitUnknown:
		return &exitError{code: e.code, what: e.what, safe: "it may have been removed; to ask for it twice does no harm",
			do: "tutti node ls   and, if it is still there:  tutti node remove " + nodeName(x)}
	case err != nil:
		return err
	}
	fmt.Printf("%s was removed; its folder is of no more use\n", nodeName(x))
	return nil
}

// clusterView is the cluster as one node shows it: the map of the meta shard and its
// own status.
type clusterView struct {
	Cluster string           `json:"cluster"`
	Members []cluster.Member `json:"members"`
	Shards  []shardView      `json:"shards"`
	status  node.Status
}

type shardView struct {
	ID       cluster.ShardID     `json:"id"`
	Replicas []cluster.Replica   `json:"replicas"`
	Want     []cluster.Placement `json:"want"`
}

func askView(t target) (clusterView, error) {
	var v clusterView
	reply, err := askCluster(t, "TUTTI.MAP")
	if err == nil {
		err = json.Unmarshal(reply.Str, &v)
	}
	if err != nil {
		return v, err
	}
	if v.status, err = t.status(statusTimeout); err != nil {
		return v, t.unreachable(err)
	}
	return v, nil
}

// lookUp asks for the cluster, and finds a node of it.
func lookUp(t target, name string) (v clusterView, x cluster.Member, err error) {
	if v, err = askView(t); err == nil {
		x, err = v.find(name)
	}
	return v, x, err
}

// find finds a member by its name or its id. What is the name of one and the id of
// another is refused: whoever removes a node must not hit the wrong one.
func (v clusterView) find(name string) (cluster.Member, error) {
	means := func(x cluster.Member) bool { return idWord(x.ID) == name || nodeName(x) == name }
	i := slices.IndexFunc(v.Members, means)
	if i < 0 {
		return cluster.Member{}, &exitError{code: exitFailed, what: fmt.Sprintf("%s has no node %q", v.Cluster, name), safe: "nothing was changed", do: "tutti node ls"}
	}
	x := v.Members[i]
	if k := slices.IndexFunc(v.Members[i+1:], means); k >= 0 {
		y := v.Members[i+1+k]
		return cluster.Member{}, &exitError{code: exitUsage, what: fmt.Sprintf("%q may be node %d (%s) or node %d (%s)", name, x.ID, nodeName(x), y.ID, nodeName(y)), safe: "nothing was changed",
			do: fmt.Sprintf("name the first %s, or the second %s", unlike(name, x), unlike(name, y))}
	}
	return x, nil
}

// unlike is what x is called too.
func unlike(name string, x cluster.Member) string {
	if id := idWord(x.ID); id != name {
		return id
	}
	return nodeName(x)
}

func idWord(id cluster.NodeID) string { return strconv.FormatUint(uint64(id), 10) }

// nodeName is what a node is called: nodes of dev clusters have no names.
func nodeName(x cluster.Member) string {
	if x.Name != "" {
		return x.Name
	}
	return "node-" + idWord(x.ID)
}

// replicas counts the shards of which a node has a replica or is to have one.
func (v clusterView) replicas(id cluster.NodeID) (n int) {
	for _, s := range v.Shards {
		has := slices.ContainsFunc(s.Replicas, func(r cluster.Replica) bool { return r.Node == id })
		if has || slices.ContainsFunc(s.Want, func(p cluster.Placement) bool { return p.Node == id }) {
			n++
		}
	}
	return n
}

// takers lists the silent nodes that are to have copies which node id gives away.
func (v clusterView) takers(id cluster.NodeID) (list []node.NodeStatus) {
	for _, x := range v.status.Nodes {
		if x.Presence != node.Silent || x.ID == id {
			continue
		}
		if slices.ContainsFunc(v.Shards, func(s shardView) bool { return s.takes(x.ID) }) {
			list = append(list, x)
		}
	}
	return list
}

// takes reports whether a node is to vote in the shard and does not yet.
func (s shardView) takes(id cluster.NodeID) bool {
	return slices.ContainsFunc(s.Want, func(p cluster.Placement) bool { return p.Node == id && !p.Learner }) &&
		!slices.ContainsFunc(s.Replicas, func(r cluster.Replica) bool { return r.Node == id && r.Part != cluster.Learner })
}

// nodeView is a node as node ls and show print it.
type nodeView struct {
	ID     cluster.NodeID  `json:"id"`
	Name   string          `json:"name"`
	Zone   string          `json:"zone,omitempty"`
	Role   string          `json:"role"`
	State  string          `json:"state"`
	Up     bool            `json:"up"`
	Client string          `json:"client"`
	Peer   string          `json:"peer"`
	Format cluster.Version `json:"formats"`
	// Votes, Learns and Leads count the shards, meta among them.
	Votes  int `json:"votes"`
	Learns int `json:"learns"`
	Leads  int `json:"leads"`
}

func (v clusterView) nodes() (list []nodeView) {
	for _, x := range v.Members {
		list = append(list, v.node(x))
	}
	return list
}

func (v clusterView) node(x cluster.Member) nodeView {
	n := nodeView{ID: x.ID, Name: nodeName(x), Zone: x.Zone, Role: x.Role.String(), State: x.State.String(), Client: x.Client, Peer: x.Peer, Format: x.Version}
	for _, s := range v.status.Nodes {
		if s.ID == x.ID {
			n.Up = s.Up
		}
	}
	for _, s := range v.Shards {
		for _, r := range s.Replicas {
			switch {
			case r.Node != x.ID:
			case r.Part == cluster.Learner:
				n.Learns++
			default:
				n.Votes++
			}
		}
	}
	for _, s := range v.status.Shards {
		if s.Leader == x.ID {
			n.Leads++
		}
	}
	return n
}

func (v clusterView) list(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tZONE\tROLE\tSTATE\tUP\tADDRESS\tVOTES\tLEARNS\tLEADS")
	for _, n := range v.nodes() {
		up := "no"
		if n.Up {
			up = "yes"
		}
		zone := n.Zone
		if zone == "" {
			zone = "-"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", n.ID, n.Name, zone, n.Role, n.State, up, n.Client, n.Votes, n.Learns, n.Leads)
	}
	return w.Flush()
}
