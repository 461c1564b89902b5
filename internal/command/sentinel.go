package command

// Commands of Redis Sentinel, for clients that ask it where the master is. The
// nodes answer by themselves.

var sentinelCommands = []Command{
	{Name: "sentinel", Arity: -2, Group: "server", Since: "2.8.4", Syntax: "subcommand", Doc: "A container for the commands of Redis Sentinel.",
		Subs: []*Command{
			{Name: "sentinel|ckquorum", Arity: 3, Where: OnNode, Flags: Stale, Group: "server", Since: "2.8.4",
				Syntax: "master-name", Doc: "Says whether a leader is known."},
			{Name: "sentinel|get-master-addr-by-name", Arity: 3, Where: OnNode, Flags: Stale, Group: "server", Since: "2.8.4",
				Syntax: "master-name", Doc: "Returns the address of the node that leads; any name stands for this cluster."},
			{Name: "sentinel|help", Arity: 2, Where: OnNode, Flags: helpFlags, Group: "server", Since: "6.2.0", Doc: helpDoc},
			{Name: "sentinel|master", Arity: 3, Where: OnNode, Flags: Stale, Group: "server", Since: "2.8.4",
				Syntax: "master-name", Doc: "Describes the node that leads."},
			{Name: "sentinel|masters", Arity: 2, Where: OnNode, Flags: Stale, Group: "server", Since: "2.8.4",
				Doc: "Describes the node that leads, under the cluster's name and under mymaster."},
			{Name: "sentinel|myid", Arity: 2, Where: OnNode, Flags: Stale, Group: "server", Since: "6.2.0",
				Doc: "Returns the name of this node in CLUSTER NODES."},
			{Name: "sentinel|replicas", Arity: 3, Where: OnNode, Flags: Stale, Group: "server", Since: "5.0.0",
				Syntax: "master-name", Doc: "Describes the other nodes."},
			{Name: "sentinel|sentinels", Arity: 3, Where: OnNode, Flags: Stale, Group: "server", Since: "2.8.4",
				Syntax: "master-name", Doc: "Describes the other nodes: each answers as this one."},
			{Name: "sentinel|slaves", Arity: 3, Where: OnNode, Flags: Stale, Group: "server", Since: "2.8.0",
				Syntax: "master-name", Doc: "Describes the other nodes."},
		}},
}
