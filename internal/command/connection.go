package command

var connectionCommands = []Command{
	{Name: "ping", Arity: -1, Flags: Conn | Fast, Group: "connection", Since: "1.0.0",
		Syntax: "[message]", Doc: "Answers PONG, or the message."},
	{Name: "echo", Arity: 2, Flags: Conn | Fast | Loading | Stale, Group: "connection", Since: "1.0.0",
		Syntax: "message", Doc: "Answers the message."},
	{Name: "select", Arity: 2, Flags: Conn | Fast | Loading | Stale, Group: "connection", Since: "1.0.0",
		Syntax: "index", Doc: "Chooses the logical database of this connection."},
	{Name: "quit", Arity: -1, Flags: Conn | NoAuth | NoScript | Loading | Stale | Fast, Group: "connection", Since: "1.0.0",
		Syntax: "", Doc: "Closes the connection."},
}
