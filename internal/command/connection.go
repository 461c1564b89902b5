package command

// The flags that most commands share that the entry node answers by itself:
// anybody may call them, only administrators, or they print help.
const (
	ownFlags   = NoScript | Loading | Stale
	adminFlags = ownFlags | Admin
	helpFlags  = Loading | Stale
)

const helpDoc = "Lists the subcommands."

var connectionCommands = []Command{
	{Name: "ping", Arity: -1, Where: OnConnection, Flags: Fast, Group: "connection", Since: "1.0.0",
		Syntax: "[message]", Doc: "Answers PONG, or the message."},
	{Name: "echo", Arity: 2, Where: OnConnection, Flags: Fast | Loading | Stale, Group: "connection", Since: "1.0.0",
		Syntax: "message", Doc: "Answers the message."},
	{Name: "select", Arity: 2, Where: OnConnection, Flags: Fast | Loading | Stale, Group: "connection", Since: "1.0.0",
		Syntax: "index", Doc: "Chooses the logical database of this connection."},
	{Name: "quit", Arity: -1, Where: OnConnection, Flags: AtOnce | ownFlags | NoAuth | Fast, Group: "connection", Since: "1.0.0",
		Doc: "Closes the connection."},
	{Name: "auth", Arity: -2, Where: OnConnection, Flags: ownFlags | NoAuth | Fast, Group: "connection", Since: "1.0.0",
		Syntax: "[username] password", Doc: "Logs in."},
	{Name: "hello", Arity: -1, Where: OnConnection, Flags: ownFlags | NoAuth | Fast, Group: "connection", Since: "6.0.0",
		Syntax: "[protover [AUTH username password] [SETNAME clientname]]", Doc: "Chooses RESP 2 or 3 and describes the server."},
	{Name: "reset", Arity: 1, Where: OnConnection, Flags: AtOnce | ownFlags | NoAuth | Fast, Group: "connection", Since: "6.2.0",
		Doc: "Brings the connection back to how it began."},
	{Name: "client", Arity: -2, Group: "connection", Since: "2.4.0", Syntax: "subcommand", Doc: "A container for commands about connections.",
		Subs: clientCommands},
}

var clientCommands = []*Command{
	{Name: "client|caching", Arity: 3, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "6.0.0",
		Syntax: "<YES | NO>", Doc: "Says whether what the next command reads is kept, so that changes of it are told."},
	{Name: "client|getname", Arity: 2, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "2.6.9",
		Doc: "Returns the name of this connection."},
	{Name: "client|getredir", Arity: 2, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "6.0.0",
		Doc: "Returns to which connection what this one is told of keys goes, 0: to itself, -1: it is told nothing."},
	{Name: "client|help", Arity: 2, Where: OnNode, Flags: helpFlags, Group: "connection", Since: "5.0.0", Doc: helpDoc},
	{Name: "client|id", Arity: 2, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "5.0.0",
		Doc: "Returns the number of this connection, which this node gives to no other until it restarts."},
	{Name: "client|info", Arity: 2, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "6.2.0",
		Doc: "Describes this connection."},
	{Name: "client|kill", Arity: -3, Where: OnNode, Flags: adminFlags, Group: "connection", Since: "2.4.0",
		Syntax: "<ip:port | <ID client-id | TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB> | USER username | ADDR ip:port | LADDR ip:port | SKIPME yes/no> ...>",
		Doc:    "Closes connections of this node."},
	{Name: "client|list", Arity: -2, Where: OnNode, Flags: adminFlags, Group: "connection", Since: "2.4.0",
		Syntax: "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]", Doc: "Describes the connections of this node."},
	{Name: "client|no-evict", Arity: 3, Where: OnConnection, Flags: adminFlags, Group: "connection", Since: "7.0.0",
		Syntax: "<ON | OFF>", Doc: "Accepted; connections are never evicted."},
	{Name: "client|no-touch", Arity: 3, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "7.2.0",
		Syntax: "<ON | OFF>", Doc: "Accepted; access times are not kept."},
	{Name: "client|pause", Arity: -3, Where: OnNode, Flags: adminFlags, Group: "connection", Since: "2.9.50",
		Syntax: "timeout [WRITE | ALL]", Doc: "Makes the clients of this node wait, all or those that write."},
	{Name: "client|reply", Arity: 3, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "3.2.0",
		Syntax: "<ON | OFF | SKIP>", Doc: "Says whether commands are answered."},
	{Name: "client|setinfo", Arity: 4, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "7.2.0",
		Syntax: "<LIB-NAME libname | LIB-VER libver>", Doc: "Tells which client library this connection uses."},
	{Name: "client|setname", Arity: 3, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "2.6.9",
		Syntax: "connection-name", Doc: "Names this connection."},
	{Name: "client|tracking", Arity: -3, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "6.0.0",
		Syntax: "<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
		Doc:    "Has this connection, or another one, told when keys change that it has read, with NOLOOP by others only."},
	{Name: "client|trackinginfo", Arity: 2, Where: OnConnection, Flags: ownFlags, Group: "connection", Since: "6.2.0",
		Doc: "Describes what this connection is told of keys."},
	{Name: "client|unblock", Arity: -3, Where: OnNode, Flags: adminFlags, Group: "connection", Since: "5.0.0",
		Syntax: "client-id [TIMEOUT | ERROR]", Doc: "Ends the wait of a connection in a blocking command."},
	{Name: "client|unpause", Arity: 2, Where: OnNode, Flags: adminFlags, Group: "connection", Since: "6.2.0",
		Doc: "Ends CLIENT PAUSE."},
}
