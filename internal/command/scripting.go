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
	{Name: "function", Arity: -2, Group: "scripting", Since: "7.0.0", Syntax: "subcommand", Doc: "A container for commands about functions.",
		Subs: []*Command{
			{Name: "function|dump", Arity: 2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "7.0.0",
				Doc: "Returns the serialized libraries: none."},
			{Name: "function|flush", Arity: -2, Where: OnNode, Flags: Write | NoScript, Group: "scripting", Since: "7.0.0",
				Syntax: "[ASYNC | SYNC]", Doc: "Deletes all libraries; there are none."},
			{Name: "function|list", Arity: -2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "7.0.0",
				Syntax: "[LIBRARYNAME library-name-pattern] [WITHCODE]", Doc: "Returns nothing: there are no libraries."},
			{Name: "function|stats", Arity: 2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "7.0.0",
				Doc: "Tells that no function runs."},
		}},
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
				Syntax: "<YES | SYNC | NO>", Doc: "Is refused, but for NO: there is no debugger."},
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
