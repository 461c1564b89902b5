package command

const scriptFlags = NoScript | Stale | MovableKeys

var scriptKeys = numKeys(2)

var scriptingCommands = []Command{
	{Name: "eval", Arity: -3, Flags: scriptFlags | MayWrite, Keys: scriptKeys, Group: "scripting", Since: "2.6.0",
		Syntax: "script numkeys [key [key ...]] [arg [arg ...]]", Doc: "Runs a Lua script as one atomic step.", Run: eval},
	{Name: "eval_ro", Arity: -3, Flags: scriptFlags | ReadOnly, Keys: scriptKeys, Group: "scripting", Since: "7.0.0",
		Syntax: "script numkeys [key [key ...]] [arg [arg ...]]", Doc: "Runs a Lua script that only reads.", Run: evalRO},
	{Name: "evalsha", Arity: -3, Flags: scriptFlags | MayWrite, Keys: scriptKeys, Group: "scripting", Since: "2.6.0",
		Syntax: "sha1 numkeys [key [key ...]] [arg [arg ...]]", Doc: "Runs a Lua script that is known by its hash.", Run: evalSHA},
	{Name: "evalsha_ro", Arity: -3, Flags: scriptFlags | ReadOnly, Keys: scriptKeys, Group: "scripting", Since: "7.0.0",
		Syntax: "sha1 numkeys [key [key ...]] [arg [arg ...]]", Doc: "Runs a Lua script that only reads and is known by its hash.", Run: evalSHARO},
	{Name: "fcall", Arity: -3, Flags: scriptFlags | MayWrite, Keys: scriptKeys, Group: "scripting", Since: "7.0.0",
		Syntax: "function numkeys [key [key ...]] [arg [arg ...]]", Doc: "Calls a function of a library, as one atomic step.", Run: fcall},
	{Name: "fcall_ro", Arity: -3, Flags: scriptFlags | ReadOnly, Keys: scriptKeys, Group: "scripting", Since: "7.0.0",
		Syntax: "function numkeys [key [key ...]] [arg [arg ...]]", Doc: "Calls a function that only reads.", Run: fcallRO},
	{Name: "function", Arity: -2, Group: "scripting", Since: "7.0.0", Syntax: "subcommand", Doc: "A container for commands about functions.", Subs: functionCommands},
	{Name: "tutti.function", Arity: -2, Group: "scripting", Since: "7.2.0", Syntax: "subcommand", Doc: "A container for what nodes say of functions.", Subs: functionInternals},
	{Name: "script", Arity: -2, Group: "scripting", Since: "2.6.0", Syntax: "subcommand", Doc: "A container for commands about scripts.",
		Subs: []*Command{
			{Name: "script|exists", Arity: -3, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "2.6.0",
				Syntax: "sha1 [sha1 ...]", Doc: "Tells which scripts EVALSHA can run."},
			{Name: "script|flush", Arity: -2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "2.6.0",
				Syntax: "[ASYNC | SYNC]", Doc: "Forgets all scripts, on every node."},
			{Name: "script|load", Arity: 3, Where: OnNode, Flags: NoScript | Stale, Group: "scripting", Since: "2.6.0",
				Syntax: "script", Doc: "Has every shard keep a script, so that any node can run it with EVALSHA; returns its hash."},
			{Name: "script|kill", Arity: 2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "2.6.0",
				Doc: "Ends the scripts that take long. What they did is taken back."},
			{Name: "script|debug", Arity: 3, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "3.2.0",
				Syntax: "<YES | SYNC | NO>", Doc: "Refused: scripts are not debugged here."},
			{Name: "script|help", Arity: 2, Where: OnNode, Flags: NoScript | Loading | Stale, Group: "scripting", Since: "5.0.0",
				Doc: "Prints the subcommands."},
		}},
	{Name: "tutti.script", Arity: -2, Group: "scripting", Since: "7.2.0", Syntax: "subcommand", Doc: "A container for what nodes say of scripts.",
		Subs: []*Command{
			{Name: "tutti.script|exists", Arity: -3, Flags: internalFlags, Group: "scripting", Since: "7.2.0",
				Syntax: "sha1 [sha1 ...]", Doc: "Tells which scripts the leader of the shard can run. Nodes send it.", Run: tuttiScriptExists},
			{Name: "tutti.script|flush", Arity: 2, Flags: internalFlags, Group: "scripting", Since: "7.2.0",
				Doc: "Has the shard forget all scripts. Nodes send it.", Run: tuttiScriptFlush},
			{Name: "tutti.script|kill", Arity: 2, Flags: internalFlags, Group: "scripting", Since: "7.2.0",
				Doc: "Ends the scripts that run on the leader's node; returns how many. Nodes send it.", Run: tuttiScriptKill},
			{Name: "tutti.script|load", Arity: 3, Flags: internalFlags, Group: "scripting", Since: "7.2.0",
				Syntax: "script", Doc: "Has the shard keep a script. Nodes send it.", Run: tuttiScriptLoad},
		}},
}

var functionCommands = []*Command{
	{Name: "function|delete", Arity: 3, Where: OnNode, Flags: Write | NoScript, Group: "scripting", Since: "7.0.0",
		Syntax: "library-name", Doc: "Deletes a library and its functions."},
	{Name: "function|dump", Arity: 2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "7.0.0",
		Doc: "Returns the serialized libraries."},
	{Name: "function|flush", Arity: -2, Where: OnNode, Flags: Write | NoScript, Group: "scripting", Since: "7.0.0",
		Syntax: "[ASYNC | SYNC]", Doc: "Deletes all libraries."},
	{Name: "function|help", Arity: 2, Where: OnNode, Flags: NoScript | Loading | Stale, Group: "scripting", Since: "7.0.0",
		Doc: "Prints the subcommands."},
	{Name: "function|kill", Arity: 2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "7.0.0",
		Doc: "Ends the functions that take long. What they did is taken back."},
	{Name: "function|list", Arity: -2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "7.0.0",
		Syntax: "[LIBRARYNAME library-name-pattern] [WITHCODE]", Doc: "Lists the libraries and their functions."},
	{Name: "function|load", Arity: -3, Where: OnNode, Flags: Write | DenyOOM | NoScript, Group: "scripting", Since: "7.0.0",
		Syntax: "[REPLACE] function-code", Doc: "Loads a library: every shard knows it before the answer."},
	{Name: "function|restore", Arity: -3, Where: OnNode, Flags: Write | DenyOOM | NoScript, Group: "scripting", Since: "7.0.0",
		Syntax: "serialized-value [FLUSH | APPEND | REPLACE]", Doc: "Loads the libraries of a dump, all or none."},
	{Name: "function|stats", Arity: 2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "7.0.0",
		Doc: "Tells how many libraries and functions there are."},
}

// functionInternals are what nodes say to shards for these. The changes and what they are
// answered go to one shard, the others keep what came of it.
var functionInternals = []*Command{
	{Name: "tutti.function|delete", Arity: 3, Flags: internalFlags, Group: "scripting", Since: "7.2.0", Syntax: "library-name", Doc: "Is FUNCTION DELETE. Nodes send it.", Run: tuttiFunctionDelete},
	{Name: "tutti.function|dump", Arity: 2, Flags: internalFlags, Group: "scripting", Since: "7.2.0", Doc: "Is FUNCTION DUMP. Nodes send it.", Run: tuttiFunctionDump},
	{Name: "tutti.function|flush", Arity: 2, Flags: internalFlags, Group: "scripting", Since: "7.2.0", Doc: "Is FUNCTION FLUSH. Nodes send it.", Run: tuttiFunctionFlush},
	{Name: "tutti.function|keep", Arity: -4, Flags: internalFlags, Group: "scripting", Since: "7.2.0", Syntax: "epoch id [library-name code ...]",
		Doc: "Has the shard keep the libraries of an epoch, unless it knows a later one. Nodes send it.", Run: tuttiFunctionKeep},
	{Name: "tutti.function|list", Arity: -2, Flags: internalFlags, Group: "scripting", Since: "7.2.0", Syntax: "[LIBRARYNAME pattern] [WITHCODE]", Doc: "Is FUNCTION LIST. Nodes send it.", Run: tuttiFunctionList},
	{Name: "tutti.function|load", Arity: -3, Flags: internalFlags, Group: "scripting", Since: "7.2.0", Syntax: "[REPLACE] function-code", Doc: "Is FUNCTION LOAD. Nodes send it.", Run: tuttiFunctionLoad},
	{Name: "tutti.function|record", Arity: 2, Flags: internalFlags, Group: "scripting", Since: "7.2.0", Doc: "Returns the epoch and the id of the libraries, and their names and texts. Nodes send it.", Run: tuttiFunctionRecord},
	{Name: "tutti.function|restore", Arity: -3, Flags: internalFlags, Group: "scripting", Since: "7.2.0", Syntax: "serialized-value [policy]", Doc: "Is FUNCTION RESTORE. Nodes send it.", Run: tuttiFunctionRestore},
	{Name: "tutti.function|stats", Arity: 2, Flags: internalFlags, Group: "scripting", Since: "7.2.0", Doc: "Is FUNCTION STATS. Nodes send it.", Run: tuttiFunctionStats},
}
