package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

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
			{Name: "tutti.member|announce", Arity: 6, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "id peer-address client-address version", Doc: "Tells what a node knows of itself; nodes send it.", Run: tuttiMemberAnnounce},
			{Name: "tutti.member|drain", Arity: -3, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "id [ACCEPT-ONE-COPY]", Doc: "Has all replicas of a node move to others.", Run: tuttiMemberDrain},
			{Name: "tutti.member|undrain", Arity: 3, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "id", Doc: "Lets a node have replicas again.", Run: memberState((*meta.Change).Undrain)},
			{Name: "tutti.member|dead", Arity: 3, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "id", Doc: "Gives a silent node up, so that others get its replicas; nodes send it.", Run: memberState((*meta.Change).Dead)},
			{Name: "tutti.member|alive", Arity: 3, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "id", Doc: "Takes a node back that was given up; nodes send it.", Run: memberState((*meta.Change).Alive)},
			{Name: "tutti.member|remove", Arity: 3, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "id", Doc: "Takes a node out that has no replicas.", Run: memberState((*meta.Change).RemoveMember)},
		}},
	{Name: "tutti.policy", Arity: -1, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
		Syntax: "[PLACEMENT auto|manual] [DEAD-AFTER seconds]",
		Doc:    "Says who decides where replicas are, and how long a node may be silent; returns both.", Run: tuttiPolicy},
	{Name: "tutti.place", Arity: -2, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
		Syntax: "shard [<node | node:learner> ...]",
		Doc:    "Plans on which nodes the replicas of a shard should be; without nodes: where they are.", Run: tuttiPlace},
	{Name: "tutti.report", Arity: 2, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
		Syntax: "descriptor", Doc: "Tells the map what a shard says of itself; nodes send it.", Run: tuttiReport},
	{Name: "tutti.token", Arity: -2, Group: "server", Since: "7.2.0", Syntax: "subcommand",
		Doc: "A container for commands about the tokens with which machines join.",
		Subs: []*Command{
			{Name: "tutti.token|create", Arity: -2, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "[TTL seconds] [USES count] [ROLE node | gateway]",
				Doc:    "Makes a token with which machines join (default: one, within an hour, as a node) and returns it.", Run: tuttiTokenCreate},
			{Name: "tutti.token|list", Arity: 2, Where: OnMeta, Flags: ReadOnly | Admin | NoMulti, Group: "server", Since: "7.2.0",
				Doc: "Returns the tokens as JSON, without their secrets.", Run: tuttiTokenList},
			{Name: "tutti.token|revoke", Arity: 3, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "id", Doc: "Removes a token; nobody joins with it any more.", Run: tuttiTokenRevoke},
		}},
	{Name: "tutti.cert", Arity: -2, Group: "server", Since: "7.2.0", Syntax: "subcommand",
		Doc: "A container for commands about the certificates of nodes and who signs them.",
		Subs: []*Command{
			{Name: "tutti.cert|list", Arity: 2, Where: OnMeta, Flags: ReadOnly | Admin | NoMulti, Group: "server", Since: "7.2.0",
				Doc: "Returns the authorities, and what certificates the nodes have, as JSON.", Run: tuttiCertList},
			{Name: "tutti.cert|rotate", Arity: 2, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Doc: "Begins to replace the authority by a new one; the nodes do the rest.", Run: tuttiCertRotate},
			{Name: "tutti.cert|renew", Arity: 2, Where: OnNode, Flags: Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Doc: "Has this node renew its certificates, and returns when it uses them."},
			{Name: "tutti.cert|sign", Arity: -5, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "node request host [host ...]", Doc: "Signs new certificates for a node's own key; nodes send it.", Run: tuttiCertSign},
			{Name: "tutti.cert|confirm", Arity: 5, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
				Syntax: "node generation expires", Doc: "Tells what a node has and uses; nodes send it.", Run: tuttiCertConfirm},
		}},
	{Name: "tutti.join", Arity: 3, Where: OnMeta, Flags: Write | Admin | NoMulti | NoScript, Group: "server", Since: "7.2.0",
		Syntax: "exporter request", Doc: "Takes a machine in that has a token; the node it asks sends it.", Run: tuttiJoin},
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

func tuttiMemberAnnounce(c *Ctx) {
	id, ok := c.number(2, uint64(cluster.NodeMax))
	if !ok {
		return
	}
	version, ok := c.number(5, 1<<62)
	if !ok {
		return
	}
	if m := c.beginMeta(); m != nil {
		c.changed(m.Announce(cluster.NodeID(id), string(c.Args[3]), string(c.Args[4]), cluster.Version(version)))
	}
}

// changed answers how a change of the cluster went.
func (c *Ctx) changed(err error) {
	switch {
	case err == nil:
		c.OK()
	case errors.Is(err, meta.ErrInUse):
		c.Error(fmt.Sprintf("ERR %v. Not applied. Drain the node first: TUTTI.MEMBER DRAIN.", err))
	case errors.Is(err, meta.ErrOneCopy):
		c.Error(fmt.Sprintf("ONECOPY %v. Not applied. Add a node first, or say ACCEPT-ONE-COPY.", err))
	default:
		c.metaError(err)
	}
}

// memberState returns a command that changes the state of a member.
func memberState(f func(*meta.Change, cluster.NodeID) error) func(c *Ctx) {
	return func(c *Ctx) {
		id, ok := c.number(2, uint64(cluster.NodeMax))
		if !ok {
			return
		}
		if m := c.beginMeta(); m != nil {
			c.changed(f(m, cluster.NodeID(id)))
		}
	}
}

func tuttiMemberDrain(c *Ctx) {
	id, ok := c.number(2, uint64(cluster.NodeMax))
	if !ok {
		return
	}
	accept := len(c.Args) == 4 && strings.EqualFold(string(c.Args[3]), "accept-one-copy")
	if len(c.Args) > 3 && !accept {
		c.Error(TextSyntax)
		return
	}
	if m := c.beginMeta(); m != nil {
		c.changed(m.Drain(cluster.NodeID(id), accept))
	}
}

// silenceMax is the longest that a node may be silent, in seconds: a week. Whoever
// wants more wants to decide it by hand.
const silenceMax = 7 * 24 * 3600

func tuttiPolicy(c *Ctx) {
	m := c.beginMeta()
	if m == nil {
		return
	}
	p := m.Map.Policy
	for i := 1; i < len(c.Args); i += 2 {
		if i+1 == len(c.Args) {
			c.Error(TextSyntax)
			return
		}
		switch value := strings.ToLower(string(c.Args[i+1])); strings.ToLower(string(c.Args[i])) {
		case "placement":
			if p.Manual = value == "manual"; !p.Manual && value != "auto" {
				c.Error(fmt.Sprintf("ERR placement '%.64s' is neither auto nor manual. Not applied.", value))
				return
			}
		case "dead-after":
			seconds, ok := between(c, i+1, 0, silenceMax)
			if !ok {
				return
			}
			p.DeadAfter = time.Duration(seconds) * time.Second
		default:
			c.Error(TextSyntax)
			return
		}
	}
	if len(c.Args) > 1 {
		if err := m.SetPolicy(p); err != nil {
			c.metaError(err)
			return
		}
	}
	placement := "auto"
	if p.Manual {
		placement = "manual"
	}
	c.Map(2)
	c.BulkString("placement")
	c.BulkString(placement)
	c.BulkString("dead-after")
	c.Int(int64(p.Silence() / time.Second))
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
	c.changed(m.Place(cluster.ShardID(id), want))
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
