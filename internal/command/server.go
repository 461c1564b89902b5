package command

var serverCommands = []Command{
	{Name: "tutti.status", Arity: 1, Flags: Conn | Admin | Loading | Stale, Group: "server", Since: "7.2.0",
		Doc: "Describes the node and the cluster as it sees it, as JSON."},
}
