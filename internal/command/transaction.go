package command

var transactionCommands = []Command{
	{Name: "multi", Arity: 1, Where: OnConnection, Flags: AtOnce | NoScript | Loading | Stale | Fast, Group: "transactions", Since: "1.2.0",
		Doc: "Starts a transaction: what follows is queued until EXEC."},
	{Name: "exec", Arity: 1, Where: OnConnection, Flags: AtOnce | NoScript | Loading | Stale, Group: "transactions", Since: "1.2.0",
		Doc: "Executes the queued commands as one atomic step."},
	{Name: "discard", Arity: 1, Where: OnConnection, Flags: AtOnce | NoScript | Loading | Stale | Fast, Group: "transactions", Since: "2.0.0",
		Doc: "Forgets the queued commands."},
	{Name: "watch", Arity: -2, Where: OnConnection, Flags: AtOnce | NoScript | Loading | Stale | Fast, Keys: allKeys, Group: "transactions", Since: "2.2.0",
		Syntax: "key [key ...]", Doc: "Makes the next EXEC fail if one of the keys changes before it."},
	{Name: "unwatch", Arity: 1, Where: OnConnection, Flags: NoScript | Loading | Stale | Fast, Group: "transactions", Since: "2.2.0",
		Doc: "Forgets the watched keys."},
}
