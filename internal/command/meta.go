package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tutti/internal/cluster"
	"tutti/internal/meta"
	"tutti/internal/resp"
)

// Commands about the cluster itself. They run on the meta shard, as those about
// keys run on the shards of these, so they are as durable and as strict.

var metaCommands = []Command{
	{Name: "tutti.map", Arity: 1, Where: OnMeta, Flags: ReadOnly | Admin | NoMulti, Group: "server", Since: "7.2.0",
		Doc: "Returns who belongs to the cluster and what lives where, as JSON, as the meta shard has it.", Run: tuttiMap},
	{Name: "tutti.member", Arity: -2, Group: "server", Since: "7.2.0", Syntax: "subcommand",
		Doc: "A container for commands about the nodes of the cluster.",
		Subs: []*Command{
			{Name: "tutti.member|set", Arity: 10, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "id name zone peer-address client-address role state version",
				Doc:    "Takes a node in (id 0: it gets the next id) or changes what is known of it; returns its id.", Run: tuttiMemberSet},
			{Name: "tutti.member|remove", Arity: 3, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "id", Doc: "Takes a node out that has no replicas.", Run: tuttiMemberRemove},
		}},
	{Name: "tutti.place", Arity: -2, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
		Syntax: "shard [node | node:learner ...]",
		Doc:    "Plans on which nodes the replicas of a shard should be; without nodes: where they are.", Run: tuttiPlace},
	{Name: "tutti.report", Arity: 2, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
		Syntax: "descriptor", Doc: "Tells the map what a shard says of itself; nodes send it.", Run: tuttiReport},
}

// beginMeta reads the map, or answers the error.
func (c *Ctx) beginMeta() *meta.Change {
	m, err := meta.Begin(c.Tx)
	if err != nil {
		c.metaError(err)
		return nil
	}
	return m
}

func (c *Ctx) metaError(err error) {
	c.Error(fmt.Sprintf("ERR %v. Not applied.", err))
}

// mapText is a map as TUTTI.MAP shows it.
type mapText struct {
	Epoch   uint64           `json:"epoch"`
	Name    string           `json:"cluster"`
	Version cluster.Version  `json:"version"`
	Members []cluster.Member `json:"members"`
	Shards  []shardText      `json:"shards"`
}

type shardText struct {
	ID         cluster.ShardID     `json:"id"`
	First      int                 `json:"first_slot"`
	End        int                 `json:"end_slot"`
	Generation uint64              `json:"generation"`
	Replicas   []cluster.Replica   `json:"replicas"`
	Want       []cluster.Placement `json:"want,omitempty"`
}

func tuttiMap(c *Ctx) {
	m := c.beginMeta()
	if m == nil {
		return
	}
	t := mapText{m.Map.Epoch, m.Map.Name, m.Map.Version, m.Map.Members, nil}
	for _, s := range m.Map.Shards {
		t.Shards = append(t.Shards, shardText{s.ID, s.Slots.First, s.Slots.End, s.Generation, s.Replicas, s.Want})
	}
	text, err := json.Marshal(t)
	if err != nil {
		c.metaError(err)
		return
	}
	c.Bulk(text)
}

// number parses argument i, which must be from 0 to most.
func (c *Ctx) number(i int, most uint64) (n uint64, ok bool) {
	v, ok := c.intFrom(i, 0, TextNotInt)
	if ok && uint64(v) > most {
		c.Error(TextNotInt)
		return 0, false
	}
	return uint64(v), ok
}

func tuttiMemberSet(c *Ctx) {
	var n [4]uint64
	for k, at := range [...]int{2, 7, 8, 9} {
		var ok bool
		if n[k], ok = c.number(at, uint64(cluster.NodeMax)); !ok {
			return
		}
	}
	m := c.beginMeta()
	if m == nil {
		return
	}
	id, err := m.SetMember(cluster.Member{ID: cluster.NodeID(n[0]), Name: string(c.Args[3]), Zone: string(c.Args[4]), Peer: string(c.Args[5]),
		Client: string(c.Args[6]), Role: cluster.Role(n[1]), State: cluster.State(n[2]), Version: cluster.Version(n[3])})
	if err != nil {
		c.metaError(err)
		return
	}
	c.Int(int64(id))
}

func tuttiMemberRemove(c *Ctx) {
	id, ok := c.number(2, uint64(cluster.NodeMax))
	if !ok {
		return
	}
	m := c.beginMeta()
	if m == nil {
		return
	}
	switch err := m.RemoveMember(cluster.NodeID(id)); {
	case errors.Is(err, meta.ErrInUse):
		c.Error(fmt.Sprintf("ERR %v. Not applied. Place the shard's replicas elsewhere first, see TUTTI.PLACE.", err))
	case err != nil:
		c.metaError(err)
	default:
		c.OK()
	}
}

func tuttiPlace(c *Ctx) {
	id, ok := c.number(1, 1<<62)
	if !ok {
		return
	}
	var want []cluster.Placement
	for _, a := range c.Args[2:] {
		node, part, learner := strings.Cut(string(a), ":")
		n, valid := resp.ParseInt([]byte(node))
		if !valid || n <= 0 || n > int64(cluster.NodeMax) || learner && part != "learner" {
			c.Error(fmt.Sprintf("ERR '%.64s' is neither node nor node:learner. Not applied.", a))
			return
		}
		want = append(want, cluster.Placement{Node: cluster.NodeID(n), Learner: learner})
	}
	m := c.beginMeta()
	if m == nil {
		return
	}
	if err := m.Place(cluster.ShardID(id), want); err != nil {
		c.metaError(err)
		return
	}
	c.OK()
}

func tuttiReport(c *Ctx) {
	d, err := cluster.DecodeDescriptor(c.Args[1])
	if err != nil {
		c.metaError(err)
		return
	}
	m := c.beginMeta()
	if m == nil {
		return
	}
	took, err := m.Report(d)
	if err != nil {
		c.metaError(err)
		return
	}
	c.Bool(took)
}
